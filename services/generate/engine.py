"""The language model and what its generations share: threads, slots, the prefill gate."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from services.generate.backends.base import ChatMessage, LanguageModel
from services.generate.generation import Generation
from services.generate.permits import Permits
from services.generate.prefill import Prefiller
from services.generate.prompt import PromptWriter
from services.generate.sampling import Sampling
from services.generate.slots import SlotPool
from services.runtime.errors import InvalidInput, LimitExceeded
from services.runtime.priority import Priority

T = TypeVar("T")

_TOKENIZER_THREADS = 2


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """Bounds of the engine: most waiting generations, most characters of a question."""

    waiting_max: int
    question_characters_max: int


class Engine:
    """Opens generations on one loaded model. Owns the model; for one event loop."""

    def __init__(self, model: LanguageModel, limits: EngineLimits) -> None:
        self.model = model
        self._limits = limits
        self._executor = ThreadPoolExecutor(
            model.slot_count + _TOKENIZER_THREADS, thread_name_prefix="language-model"
        )
        self._writer = PromptWriter(model)
        self._pool = SlotPool(model.slot_count, self._executor, limits.waiting_max)
        # One prompt is read at a time, a chunk a turn, so that none waits behind a long one.
        gate = Permits(1, urgent_waiting_max=model.slot_count)
        self._prefiller = Prefiller(model, self._pool, gate)

    @property
    def active_slots(self) -> int:
        """Slots in use, by a generation or by a thread that is still ending."""
        return self._pool.active_slots

    @property
    def waiting(self) -> int:
        """Generations and prefills that wait for a slot."""
        return self._pool.waiting

    def cached_token_count(self, generation: Generation) -> int:
        """Tokens of a generation's prompt that some slot holds."""
        return self._pool.cached_length(generation.prompt)

    async def busy_slots(self) -> int:
        """Slots that compute now, as the engine below reports it."""
        return await self._in_thread(self.model.busy_slot_count)

    async def warm_up(self) -> None:
        """Read the default system message into every slot."""
        tokens = await self._in_thread(lambda: self._writer.opening(()))
        leases = [
            await self._pool.acquire(tokens, urgent=True) for _ in range(self.model.slot_count)
        ]
        for lease in leases:
            async for _ in self._prefiller.read(lease, tokens):
                pass
            lease.release()

    async def open(
        self,
        model: str,
        messages: Sequence[ChatMessage],
        sampling: Sampling,
        priority: Priority = Priority.NORMAL,
    ) -> Generation:
        """A generation after ``messages``, of a class that decides who waits for whom. Close it.

        Raises:
            InvalidInput: UNKNOWN_MODEL; MESSAGES_REFUSED by the chat template.
            LimitExceeded: CONTEXT_TOO_LONG.
        """
        self._check_model(model)
        generation = Generation(
            self._writer,
            self._pool,
            self._prefiller,
            self._in_thread,
            sampling,
            self._limits.question_characters_max,
            priority,
        )
        await generation.begin(messages)
        return generation

    async def read_ahead(
        self, model: str, messages: Sequence[ChatMessage], lines: Sequence[str]
    ) -> tuple[int, int]:
        """Read how a prompt after ``messages`` begins, with its first lines of context, where
        nothing else wants the model. Returns its tokens, and how many of them a slot has read.

        Raises:
            InvalidInput: UNKNOWN_MODEL; MESSAGES_REFUSED by the chat template.
            LimitExceeded: CONTEXT_TOO_LONG.
        """
        self._check_model(model)
        first = not any(message.context for message in messages)
        tokens = await self._in_thread(lambda: self._writer.opening(messages))
        if lines:
            tokens += await self._in_thread(lambda: self._writer.context(lines, first=first))
        if len(tokens) > self.model.window_tokens:
            raise LimitExceeded(
                "CONTEXT_TOO_LONG",
                f"The beginning has {len(tokens)} tokens; the model's window has "
                f"{self.model.window_tokens}.",
                subject="context_lines",
            )
        return len(tokens), await self._prefiller.read_spare(tokens)

    def _check_model(self, model: str) -> None:
        if model not in ("", self.model.reference):
            raise InvalidInput(
                "UNKNOWN_MODEL",
                f"This server runs {self.model.reference}; leave model empty to use it.",
                subject="config.model",
            )

    async def finish(self) -> None:
        """Wait for the threads that are still at work; nothing can be generated any more."""
        await asyncio.to_thread(self._executor.shutdown)

    async def close(self) -> None:
        """Finish, and free the model."""
        await self.finish()
        await asyncio.to_thread(self.model.close)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)
