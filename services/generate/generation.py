"""One generation: its prompt grows line by line and is read ahead, then it is answered."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from services.generate.backends.base import ChatMessage, GeneratedText
from services.generate.bridge import CallbackBridge
from services.generate.prefill import Prefiller, aligned
from services.generate.prompt import PromptWriter
from services.generate.sampling import Sampling
from services.generate.slots import Lease, SlotPool, common_prefix_length
from services.runtime.errors import InvalidInput, LimitExceeded
from services.runtime.priority import Priority


class InThread(Protocol):
    """Runs blocking work in a worker thread."""

    def __call__(self, work: Callable[[], Any], /) -> Awaitable[Any]: ...


@dataclass(slots=True)
class Usage:
    """Tokens of a generation, kept up to date while it runs."""

    prompt_token_count: int = 0
    cached_token_count: int = 0
    completion_token_count: int = 0


@dataclass(slots=True)
class Timings:
    """Where the time went, in seconds; ``first_token_s`` is None until it came."""

    prefill_ahead_s: float = 0.0
    first_token_s: float | None = None
    total_s: float = 0.0

    @property
    def decode_s(self) -> float:
        """From the first token to the last."""
        return 0.0 if self.first_token_s is None else self.total_s - self.first_token_s


@dataclass(slots=True)
class Reading:
    """How much of the prompt the model has read, in tokens."""

    token_count: int = 0
    evaluated_count: int = 0
    """Read for this generation; the others were in the model's cache."""
    grown: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when more is read."""

    @property
    def cached_token_count(self) -> int:
        """Tokens that need not be read for this generation."""
        # What another stream pushed out was read twice.
        return max(self.token_count - self.evaluated_count, 0)

    def reached(self, token_count: int, *, begun_at: int) -> None:
        """A chunk is read."""
        self.token_count = token_count
        # Less than where it began: another slot had more of it.
        self.evaluated_count += max(token_count - begun_at, 0)
        self.grown.set()


class Generation:
    """The life of one answer: begin, append and reset, answer, close."""

    def __init__(
        self,
        writer: PromptWriter,
        pool: SlotPool,
        prefiller: Prefiller,
        in_thread: InThread,
        sampling: Sampling,
        question_characters_max: int,
        priority: Priority = Priority.NORMAL,
    ) -> None:
        self.usage = Usage()
        self.reading = Reading()
        self.timings = Timings()
        self.reached_limit = False
        self._writer = writer
        self._pool = pool
        self._prefiller = prefiller
        self._in_thread = in_thread
        self._sampling = sampling
        self._question_characters_max = question_characters_max
        self._priority = priority
        self._messages: Sequence[ChatMessage] = ()
        self._tokens: list[int] = []
        self._opening_length = 0
        self._grown = asyncio.Event()
        self._read_length = 0
        self._reader: asyncio.Task[None] | None = None

    async def begin(self, messages: Sequence[ChatMessage]) -> None:
        """Take in the conversation so far and start to read it ahead."""
        opening = await self._in_thread(lambda: self._writer.opening(messages))
        self._messages = messages
        self._extend(opening, "config.messages")
        self._opening_length = len(opening)
        self._reader = asyncio.create_task(self._read_ahead())

    async def append(self, lines: Sequence[str]) -> None:
        """Add lines of context. Raises LimitExceeded CONTEXT_TOO_LONG."""
        first = not (self._has_context or self._told_before)
        if lines:
            more = await self._in_thread(lambda: self._writer.context(lines, first=first))
            self._extend(more, "context_append.lines")

    async def reset(self) -> None:
        """Forget the context, that of earlier messages too, not the conversation."""
        opening = self._tokens[: self._opening_length]
        if self._told_before:
            self._messages = [ChatMessage(each.role, each.content) for each in self._messages]
            opening = await self._in_thread(lambda: self._writer.opening(self._messages))
        common = common_prefix_length(self._tokens, opening)
        self._tokens[:] = opening
        self._opening_length = len(opening)
        self._read_length = min(self._read_length, aligned(common))

    async def answer(self, question: str) -> AsyncGenerator[GeneratedText, None]:
        """Generate. Usage and timings fill up meanwhile.

        Raises:
            InvalidInput: QUESTION_MISSING.
            LimitExceeded: QUESTION_TOO_LONG, CONTEXT_TOO_LONG.
            Overloaded: GENERATE_QUEUE_FULL.
        """
        started_s = time.monotonic()
        self._check_question(question)
        after_context = self._has_context or self._told_before
        await self._stop_reading_ahead()
        closing = await self._in_thread(
            lambda: self._writer.closing(question, after_context=after_context)
        )
        self._extend(closing, "start.question")
        tokens = self._tokens
        self.usage.prompt_token_count = len(tokens)
        lease = await self._pool.acquire(
            tokens, urgent=True, priority=self._priority, claimant=self
        )
        try:
            cached = common_prefix_length(lease.slot.cached, tokens)
            self.usage.cached_token_count = min(cached, len(tokens) - 1)
            # What is left for the last request is between 1 and CHUNK_TOKENS.
            whole_chunks = tokens[: aligned(len(tokens) - 1)]
            read = cached
            async for position in self._prefiller.read(lease, whole_chunks, self._priority):
                self.reading.reached(position, begun_at=read)
                read = position
            async for piece in self._decode(lease):
                now_s = time.monotonic() - started_s
                if piece.token_count:
                    if not self.usage.completion_token_count:
                        self.reading.reached(len(tokens), begun_at=read)
                    self.usage.completion_token_count += piece.token_count
                    self.timings.total_s = now_s
                    if self.timings.first_token_s is None:
                        self.timings.first_token_s = now_s
                yield piece
        finally:
            lease.release()

    async def close(self) -> None:
        """Stop reading ahead, and leave the slot to others."""
        self._pool.forget(self)
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait({self._reader})
            _swallow(self._reader)

    @property
    def prompt(self) -> Sequence[int]:
        """The tokens so far."""
        return self._tokens

    @property
    def read_ahead_token_count(self) -> int:
        """Tokens of the prompt that were read before the question came."""
        return self._read_length

    @property
    def _has_context(self) -> bool:
        return len(self._tokens) > self._opening_length

    @property
    def _told_before(self) -> bool:
        """Whether earlier messages have context."""
        return any(message.context for message in self._messages)

    def _check_question(self, question: str) -> None:
        if not question.strip():
            raise InvalidInput(
                "QUESTION_MISSING", "There is no question to answer.", subject="start.question"
            )
        if len(question) > self._question_characters_max:
            raise LimitExceeded(
                "QUESTION_TOO_LONG",
                f"The question has {len(question)} characters; "
                f"at most {self._question_characters_max} are allowed.",
                subject="start.question",
            )

    def _extend(self, tokens: Sequence[int], subject: str) -> None:
        length = len(self._tokens) + len(tokens)
        window = self._prefiller.model.window_tokens
        if length + self._sampling.max_tokens > window:
            raise LimitExceeded(
                "CONTEXT_TOO_LONG",
                f"The prompt has {length} tokens and max_tokens is {self._sampling.max_tokens}; "
                f"together they must fit the model's window of {window} tokens.",
                subject=subject,
            )
        self._tokens += tokens
        self._grown.set()

    async def _read_ahead(self) -> None:
        """Read whole chunks of the prompt as they come, one a turn."""
        while True:
            self._grown.clear()
            begun_s = time.monotonic()
            await self._read_whole_chunks()
            self.timings.prefill_ahead_s += time.monotonic() - begun_s
            await self._grown.wait()

    async def _read_whole_chunks(self) -> None:
        while True:
            tokens = self._tokens[: aligned(len(self._tokens))]
            read = self._pool.cached_length(tokens)
            # Less than was read before: more streams than slots. Reading it again would
            # only push another one out; the answer will read what it needs.
            if read >= len(tokens) or read < self._read_length:
                return
            self._read_length = await self._prefiller.read_next_chunk(tokens, claimant=self)
            self.reading.reached(self._read_length, begun_at=read)

    async def _stop_reading_ahead(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.cancel()
            await asyncio.wait({reader})
            _swallow(reader)
            # A chunk under way is worth waiting for: it is part of the prompt.
            await self._prefiller.settled(self)

    async def _decode(self, lease: Lease) -> AsyncIterator[GeneratedText]:
        tokens, slot, gate = self._tokens, lease.slot, self._prefiller.gate
        slot.cached = slot.cached[: common_prefix_length(slot.cached, tokens)]
        bridge: CallbackBridge[GeneratedText] = CallbackBridge()
        await gate.acquire(urgent=True, priority=self._priority)
        reading = True
        texts: list[str] = []
        try:
            worker = lease.start(
                lambda: self._prefiller.model.stream(
                    slot.index, tokens, self._sampling, bridge.push
                )
            )
            async for piece in bridge.drain(worker):
                if piece.token_count and reading:
                    reading = False
                    gate.release()
                    slot.cached = list(tokens)
                texts.append(piece.text)
                yield piece
            self.reached_limit = (await worker).reached_limit
        finally:
            bridge.cancel()
            if reading:
                gate.release()
        # The next turn's history repeats the answer. Its last token was never evaluated.
        answer = await self._in_thread(lambda: self._writer.answer("".join(texts)))
        slot.cached = [*tokens, *answer[:-1]]


def _swallow(reader: "asyncio.Task[None]") -> None:
    """Reading ahead only saves time: where it failed, the answer meets the error itself."""
    if not reader.cancelled():
        reader.exception()
