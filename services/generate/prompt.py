"""From a conversation to tokens, in the model's own chat template.

The template is rendered with a sentinel in the place of each utterance and cut
there. Only the pieces of the template are tokenised with control tokens; what
people wrote is not, so ``<|im_end|>`` in a question is eight characters and
cannot end the question. Each line of context is tokenised by itself, so that
the tokens of what was sent before never change with what comes after.
"""

import secrets
from collections.abc import Sequence
from functools import lru_cache

from services.generate.backends.base import ChatMessage, LanguageModel

DEFAULT_SYSTEM = "You are a helpful assistant. Be brief."
"""The same with and without context, so that every slot can hold it ready."""
CONTEXT_HEADER = (
    "Answer from these numbered notes only and cite them like [2]. If they do not tell, say so.\n"
)
QUESTION_HEADER = "Question: "


class PromptWriter:
    """Writes the prompts of one model. Its methods block: call them in a worker thread."""

    def __init__(self, model: LanguageModel) -> None:
        self._model = model
        self._sentinel = secrets.token_hex(16)
        self._pieces = lru_cache(maxsize=64)(self._render_pieces)

    def opening(self, history: Sequence[ChatMessage]) -> list[int]:
        """Everything before the content of the coming user message.

        Raises InvalidInput MESSAGES_REFUSED.
        """
        if not history or history[0].role != "system":
            history = [ChatMessage("system", DEFAULT_SYSTEM), *history]
        pieces = self._pieces(tuple(message.role for message in history))
        tokens = list(pieces[0])
        after_context = False
        for message, piece in zip(history, pieces[1:], strict=False):
            if message.context:
                tokens += self.context(message.context, first=not after_context)
                after_context = True
            # As ``closing`` wrote it when it was asked.
            header = QUESTION_HEADER if after_context and message.role == "user" else ""
            tokens += self._model.tokenize([header + message.content], special=False)
            tokens += piece
        return tokens

    def context(self, lines: Sequence[str], *, first: bool) -> list[int]:
        """The next lines of context; ``first`` where none came before, in earlier messages too."""
        header = [CONTEXT_HEADER] if first else []
        return self._model.tokenize([*header, *(f"{line}\n" for line in lines)], special=False)

    def closing(self, question: str, *, after_context: bool) -> list[int]:
        """The question and the template's words that hand over to the model; ``after_context``
        where this message or an earlier one has lines of context."""
        text = f"{QUESTION_HEADER}{question}" if after_context else question
        return [*self._model.tokenize([text], special=False), *self._pieces(("system",))[-1]]

    def answer(self, text: str) -> list[int]:
        """Tokens of generated text, as the next turn's history will hold them."""
        return self._model.tokenize([text], special=False)

    def _render_pieces(self, roles: tuple[str, ...]) -> tuple[tuple[int, ...], ...]:
        """Template tokens around the contents of ``roles`` and of one user message after them."""
        messages = [ChatMessage(role, self._sentinel) for role in (*roles, "user")]
        texts = self._model.render(messages).split(self._sentinel)
        return tuple(
            tuple(self._model.tokenize([text], special=True, start=index == 0))
            for index, text in enumerate(texts)
        )
