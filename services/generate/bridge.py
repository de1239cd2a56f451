"""From a worker thread's callback to an asynchronous iterator."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from typing import Any, Generic, TypeVar

from services.runtime.streams import items_until_done

T = TypeVar("T")

_CANCEL_POLL_S = 0.05


class CallbackBridge(Generic[T]):
    """Carries items from a thread to the loop, at most ``capacity`` ahead of their reader.

    The thread calls ``push``; a reader that falls behind makes it wait.
    """

    def __init__(self, capacity: int = 64) -> None:
        self._loop = asyncio.get_running_loop()
        self._room = threading.Semaphore(capacity)
        self._cancelled = threading.Event()
        self._items: asyncio.Queue[T] = asyncio.Queue()

    def push(self, item: T) -> bool:
        """Hand over an item, in the worker thread. True: nobody reads any more, stop."""
        while not self._room.acquire(timeout=_CANCEL_POLL_S):
            if self._cancelled.is_set():
                return True
        if self._cancelled.is_set() or self._loop.is_closed():
            return True
        self._loop.call_soon_threadsafe(self._items.put_nowait, item)
        return False

    def cancel(self) -> None:
        """Let the thread stop at its next push."""
        self._cancelled.set()

    async def drain(self, worker: "asyncio.Future[Any]") -> AsyncIterator[T]:
        """The items, until the worker has ended and all are read."""
        async with contextlib.aclosing(items_until_done(self._items, worker)) as items:
            async for item in items:
                self._room.release()
                yield item
