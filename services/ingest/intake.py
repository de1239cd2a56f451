"""The mailbox between the reader of a client's stream and the writer of one asset."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

CAPACITY_BYTES = 8 << 20
_MESSAGE_BYTES = 256
"""What a message without bytes counts."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """The next bytes."""

    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Finish:
    """All bytes are sent. ``sha256`` is empty where the client does not know it; ``tags`` and
    ``metadata`` are added to those that were announced."""

    size_bytes: int
    sha256: str
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EndOfStream:
    """The client's stream ended before the asset was finished."""


Message = Chunk | Finish | EndOfStream


class Intake:
    """A queue bounded in bytes that is emptied in one go, for one event loop."""

    def __init__(self, capacity_bytes: int = CAPACITY_BYTES) -> None:
        self._capacity_bytes = capacity_bytes
        self._messages: list[Message] = []
        self._held_bytes = 0
        self._is_closed = False
        self._filled = asyncio.Event()
        self._emptied = asyncio.Event()

    async def put(self, message: Message) -> None:
        """Add a message; waits while the queue is full. Ignored once the queue is closed."""
        while self._held_bytes >= self._capacity_bytes and not self._is_closed:
            self._emptied.clear()
            await self._emptied.wait()
        if self._is_closed:
            return
        self._messages.append(message)
        self._held_bytes += _MESSAGE_BYTES
        if isinstance(message, Chunk):
            self._held_bytes += len(message.data)
        self._filled.set()

    async def take(self, timeout_s: float | None) -> list[Message]:
        """Everything in the queue, at least one message; nothing after ``timeout_s``."""
        if not self._messages:
            self._filled.clear()
            try:
                # wait_for of Python 3.11 may lose a cancel.
                async with asyncio.timeout(timeout_s):
                    await self._filled.wait()
            except TimeoutError:
                return []
        messages, self._messages, self._held_bytes = self._messages, [], 0
        self._emptied.set()
        return messages

    def close(self) -> None:
        """Nobody reads any more: drop what is held and let producers go on."""
        self._is_closed = True
        self._messages.clear()
        self._emptied.set()
