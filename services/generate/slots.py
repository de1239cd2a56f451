"""The model's slots: who holds which, and what each has already read."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from services.generate.permits import Permits
from services.runtime.priority import Priority

T = TypeVar("T")


def common_prefix_length(left: Sequence[int], right: Sequence[int]) -> int:
    """How many tokens two sequences share at their start."""
    for index, (one, other) in enumerate(zip(left, right, strict=False)):
        if one != other:
            return index
    return min(len(left), len(right))


@dataclass(slots=True)
class Slot:
    """One sequence of the model.

    ``cached`` is what its cache is known to hold. ``claimant`` is the open
    stream whose prompt is being read into it; others take it last. ``spare``
    is who reads a chunk into it between two turns.
    """

    index: int
    cached: list[int] = field(default_factory=list)
    last_used: int = 0
    held: bool = False
    claimant: object = None
    spare: "Lease | None" = None


class Lease:
    """A slot in one caller's hands, until ``release``."""

    def __init__(self, slot: Slot, executor: Executor, give_back: Callable[[Slot], None]) -> None:
        self.slot = slot
        self._executor = executor
        self._give_back = give_back
        self._work: asyncio.Future[Any] | None = None
        self._over = asyncio.Event()

    def start(self, work: Callable[[], T]) -> "asyncio.Future[T]":
        """Run blocking work on the slot in a worker thread; one at a time.

        The future cannot be cancelled from outside: shield it. The slot is not
        given back before the work has ended, whatever becomes of the caller.
        """
        future = asyncio.get_running_loop().run_in_executor(self._executor, work)
        self._work = future
        return future

    def release(self) -> None:
        """Give the slot back, as soon as no thread works on it."""
        if self._work is None or self._work.done():
            self._end()
        else:
            self._work.add_done_callback(self._after_work)

    async def settled(self) -> None:
        """Wait until no thread works on the slot."""
        if self._work is not None and not self._work.done():
            await asyncio.wait({self._work})

    async def over(self) -> None:
        """Wait until the slot is given back."""
        await self._over.wait()

    def _after_work(self, work: "asyncio.Future[Any]") -> None:
        if not work.cancelled():
            work.exception()  # the caller who would have seen it is gone
        self._end()

    def _end(self) -> None:
        self._give_back(self.slot)
        self._over.set()


class SlotPool:
    """Hands out the free slot that has read the longest part of a prompt already."""

    def __init__(self, slot_count: int, executor: Executor, waiting_max: int) -> None:
        self._slots = [Slot(index) for index in range(slot_count)]
        self._permits = Permits(slot_count, waiting_max)
        self._executor = executor
        self._clock = 0

    @property
    def active_slots(self) -> int:
        """Slots in use, by a stream or by a thread that is still ending."""
        return self._permits.held

    @property
    def waiting(self) -> int:
        """Callers that wait for a slot."""
        return self._permits.waiting

    def cached_length(self, tokens: Sequence[int]) -> int:
        """The longest part of ``tokens`` that some slot, free or not, has read."""
        return max(common_prefix_length(slot.cached, tokens) for slot in self._slots)

    async def acquire(
        self,
        tokens: Sequence[int],
        *,
        urgent: bool,
        priority: Priority = Priority.NORMAL,
        claimant: object = None,
    ) -> Lease:
        """Wait for a slot, and claim it. Raises Overloaded GENERATE_QUEUE_FULL."""
        while reading := self._reading_spare(tokens):
            await reading.over()
        await self._permits.acquire(urgent=urgent, priority=priority)

        def worth(slot: Slot) -> tuple[bool, int, int]:
            available = slot.claimant is None or slot.claimant is claimant
            return (available, _continued(slot, tokens), -slot.last_used)

        lease = self._lease(max(self._free_slots(), key=worth))
        if claimant is not None:
            self.forget(claimant)
            lease.slot.claimant = claimant
        return lease

    def try_acquire(self, tokens: Sequence[int]) -> Lease | None:
        """A slot that no stream wants, for one chunk; None where there is none."""
        unclaimed = [slot for slot in self._free_slots() if slot.claimant is None]
        if not unclaimed or not self._permits.try_acquire():
            return None
        best = max(unclaimed, key=lambda slot: (_continued(slot, tokens), -slot.last_used))
        best.spare = self._lease(best)
        return best.spare

    def _reading_spare(self, tokens: Sequence[int]) -> Lease | None:
        """Who reads a chunk into a slot that has more of ``tokens`` than any free one. It is worth
        waiting for, and nothing could be read before it ends anyway."""
        free = max((_continued(slot, tokens) for slot in self._free_slots()), default=0)
        held = [
            slot.spare for slot in self._slots if slot.spare and _continued(slot, tokens) > free
        ]
        return held[0] if held else None

    def _free_slots(self) -> list[Slot]:
        return [slot for slot in self._slots if not slot.held]

    def _lease(self, slot: Slot) -> Lease:
        slot.held = True
        return Lease(slot, self._executor, self._give_back)

    def forget(self, claimant: object) -> None:
        """The claimant's stream is over: its slot is anyone's."""
        for slot in self._slots:
            if slot.claimant is claimant:
                slot.claimant = None

    def _give_back(self, slot: Slot) -> None:
        self._clock += 1
        slot.last_used = self._clock
        slot.held = False
        slot.spare = None
        self._permits.release()


def _continued(slot: Slot, tokens: Sequence[int]) -> int:
    """How many of ``tokens`` a slot would save: those that it has read, where they are most of
    that. A prompt that shares only its first words with a long one would destroy that for
    little. Between equals the least recently used is the least missed."""
    shared = common_prefix_length(slot.cached, tokens)
    return shared if 2 * shared >= len(slot.cached) else 0
