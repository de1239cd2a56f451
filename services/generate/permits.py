"""Permits with a bounded queue, for one event loop: urgent waiters by class, then the others."""

import asyncio
from collections import deque

from services.runtime.errors import Overloaded
from services.runtime.priority import ClassTurns, Priority

_RETRY_AFTER_S = 2.0


class Permits:
    """``count`` permits. Urgent waiters go before background ones, the higher class of them
    first (``ClassTurns``: none is starved); each kind in turn.

    At most ``urgent_waiting_max`` urgent waiters; background ones are bounded
    by their callers (one for each open stream).
    """

    def __init__(self, count: int, urgent_waiting_max: int) -> None:
        self._free = count
        self._count = count
        self._urgent_waiting_max = urgent_waiting_max
        self._urgent: dict[Priority, deque[asyncio.Future[None]]] = {
            priority: deque() for priority in Priority
        }
        self._turns = ClassTurns()
        self._background: deque[asyncio.Future[None]] = deque()

    @property
    def held(self) -> int:
        """Permits given out."""
        return self._count - self._free

    @property
    def waiting(self) -> int:
        """Waiters of both kinds."""
        return self._urgent_waiting + len(self._background)

    @property
    def _urgent_waiting(self) -> int:
        return sum(map(len, self._urgent.values()))

    async def acquire(self, *, urgent: bool, priority: Priority = Priority.NORMAL) -> None:
        """Wait for a permit. Raises Overloaded GENERATE_QUEUE_FULL."""
        if self.try_acquire():
            return
        queue = self._urgent[priority] if urgent else self._background
        if urgent and self._urgent_waiting >= self._urgent_waiting_max:
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

    def try_acquire(self) -> bool:
        """Take a permit if one is free."""
        if not self._free:
            return False
        self._free -= 1
        return True

    def release(self) -> None:
        """Give a permit back: to the next waiter, if there is one."""
        waiting = [priority for priority, queue in self._urgent.items() if _first(queue)]
        queue = self._urgent[self._turns.take(waiting)] if waiting else self._background
        if turn := _first(queue):
            queue.remove(turn)
            turn.set_result(None)
        else:
            self._free += 1


def _first(queue: "deque[asyncio.Future[None]]") -> "asyncio.Future[None] | None":
    """The first who has not given up."""
    return next((turn for turn in queue if not turn.done()), None)
