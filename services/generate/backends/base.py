"""What a language model back end offers. All of it blocks: call it in a worker thread."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from services.generate.sampling import Sampling


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One utterance. ``role`` is system, user or assistant; ``context`` are the lines that
    came before a user's words."""

    role: str
    content: str
    context: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ScoredToken:
    """A token as text (U+FFFD where it is half a character) and its natural log-probability."""

    text: str
    logprob: float


@dataclass(frozen=True, slots=True)
class GeneratedText:
    """What one or more decoding steps brought.

    ``text`` is whole Unicode characters and may be empty while a character or a
    possible stop string is incomplete. ``token_count`` counts the steps.
    """

    text: str
    token_count: int
    logprobs: tuple[ScoredToken, ...] = ()
    alternatives: tuple[ScoredToken, ...] = ()


@dataclass(frozen=True, slots=True)
class StreamResult:
    """How a stream ended. ``reached_limit``: max_tokens, not the model, ended it."""

    completion_token_count: int
    reached_limit: bool


OnText = Callable[[GeneratedText], bool]
"""Takes new text in the worker thread; True stops the generation."""


class LanguageModel(Protocol):
    """A model with ``slot_count`` sequences, each with its own cache of a prompt."""

    reference: str
    slot_count: int
    window_tokens: int

    def tokenize(self, texts: Sequence[str], *, special: bool, start: bool = False) -> list[int]:
        """Tokens of the texts, each tokenised by itself, one after the other.

        With ``special`` the texts may hold control tokens such as ``<|im_end|>``;
        without it those are plain characters. ``start`` adds the model's
        beginning-of-sequence token where it has one.
        """
        ...

    def render(self, messages: Sequence[ChatMessage]) -> str:
        """The messages in the model's own chat template, ready for the answer.

        Raises InvalidInput MESSAGES_REFUSED where the template refuses the roles.
        """
        ...

    def prefill(self, slot: int, tokens: Sequence[int]) -> None:
        """Read ``tokens`` into a slot; what the slot already holds of them is kept."""
        ...

    def stream(
        self, slot: int, tokens: Sequence[int], sampling: Sampling, on_text: OnText
    ) -> StreamResult:
        """Continue ``tokens`` on a slot. Returns when it ended or ``on_text`` said stop."""
        ...

    def busy_slot_count(self) -> int:
        """Slots that compute now, as the engine itself reports it."""
        ...

    def close(self) -> None:
        """Free the model. No other call may run or follow."""
        ...
