"""Permits with two priorities and a bounded queue, for one event loop."""

import asyncio
from collections import deque

from services.runtime.errors import Overloaded

_RETRY_AFTER_S = 2.0


class Permits:
    """``count`` permits. Urgent waiters go before background ones; each kind in turn.

    At most ``urgent_waiting_max`` urgent waiters; background ones are bounded
    by their callers (one for each open stream).
    """

    def __init__(self, count: int, urgent_waiting_max: int) -> None:
        self._free = count
        self._count = count
        self._urgent_waiting_max = urgent_waiting_max
        self._urgent: deque[asyncio.Future[None]] = deque()
        self._background: deque[asyncio.Future[None]] = deque()

    @property
    def held(self) -> int:
        """Permits given out."""
        return self._count - self._free

    @property
    def waiting(self) -> int:
        """Waiters of both kinds."""
        return len(self._urgent) + len(self._background)

    async def acquire(self, *, urgent: bool) -> None:
        """Wait for a permit. Raises Overloaded GENERATE_QUEUE_FULL."""
        if self._free:
            self._free -= 1
            return
        queue = self._urgent if urgent else self._background
        if urgent and len(queue) >= self._urgent_waiting_max:
            raise Overloaded(
                "GENERATE_QUEUE_FULL",
                "Too many answers wait for the language model; try again shortly.",
                retry_after_s=_RETRY_AFTER_S,
            )
        turn = asyncio.get_running_loop().create_future()
        queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                queue.remove(turn)
            else:
                # It was granted in the same moment: hand it on.
                self.release()
            raise

    def release(self) -> None:
        """Give a permit back: to the next waiter, if there is one."""
        for queue in (self._urgent, self._background):
            for turn in queue:
                if not turn.done():
                    queue.remove(turn)
                    turn.set_result(None)
                    return
        self._free += 1
