"""Dynamic batching of a forward pass.

Runs at once when a worker is idle and collects only while all are busy, so a
lone request never waits for company. Answers go before bulk work, and those of a
higher class before others (``priority``). What one bad
item does to a batch is undone by running the others again one by one. The idea
is that of text-embeddings-inference and infinity: batching sees nothing but
``forward``; decoding and post-processing stay outside.
"""

import asyncio
import contextvars
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from services.runtime.errors import InternalFailure, SensoriumError, Unavailable
from services.runtime.priority import ClassTurns, Priority
from services.runtime.telemetry import metrics, span

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """How a batcher behaves. ``name`` appears in spans, metrics and thread names."""

    name: str
    batch_size_max: int = 32
    bulk_batch_size_max: int = 32
    """Smaller keeps an answer from waiting long behind bulk work."""
    worker_count: int = 1
    """Forward passes at once, each in a thread of its own."""


@dataclass(slots=True)
class Meter:
    """Adds up a caller's share of the time that models ran, in seconds."""

    compute_s: float = 0.0


@dataclass(slots=True, eq=False)
class _Waiter(Generic[ItemT, ResultT]):
    item: ItemT
    future: "asyncio.Future[ResultT]"
    context: contextvars.Context
    meter: Meter | None


_Outcome = tuple[list[tuple[_Waiter[ItemT, ResultT], ResultT | SensoriumError]], float]


class DynamicBatcher(Generic[ItemT, ResultT]):
    """Gathers single items into calls of ``forward``; for one event loop.

    ``forward`` runs in a worker thread. It takes 1 to ``batch_size_max`` items
    and returns as many results in the same order.
    """

    def __init__(
        self,
        forward: Callable[[Sequence[ItemT]], Sequence[ResultT]],
        options: BatchOptions,
    ) -> None:
        self._forward = forward
        self._options = options
        self._threads = ThreadPoolExecutor(options.worker_count, f"{options.name}-forward")
        # Insertion-ordered, so that a cancelled waiter leaves in constant time.
        self._queues: dict[Priority, dict[_Waiter[ItemT, ResultT], None]] = {
            priority: {} for priority in Priority
        }
        self._turns = ClassTurns()
        self._running = 0
        self._wake: asyncio.Handle | None = None
        self._closed = False

    @property
    def pending(self) -> int:
        """Items that wait for a batch."""
        return sum(map(len, self._queues.values()))

    @property
    def running(self) -> int:
        """Batches that the workers have: forward passes under way, and one ahead of them."""
        return self._running

    async def submit(
        self, item: ItemT, *, priority: Priority = Priority.NORMAL, meter: Meter | None = None
    ) -> ResultT:
        """Runs one item, in whatever company. Cancelling drops it if it is not yet batched.

        Raises:
            SensoriumError: as ``forward`` raised it for this item alone.
            InternalFailure: ENCODER_FAILED, where ``forward`` raised anything else.
            Unavailable: SHUTTING_DOWN, after ``close``.
        """
        if self._closed:
            raise _shutting_down()
        loop = asyncio.get_running_loop()
        context = contextvars.copy_context()
        waiter: _Waiter[ItemT, ResultT] = _Waiter(item, loop.create_future(), context, meter)
        queue = self._queues[priority]
        queue[waiter] = None
        self._wake_soon(loop)
        try:
            return await waiter.future
        finally:
            queue.pop(waiter, None)

    async def submit_many(
        self,
        items: Iterable[ItemT],
        *,
        priority: Priority = Priority.NORMAL,
        meter: Meter | None = None,
    ) -> list[ResultT]:
        """Runs several items; results in order. Raises the first error after all are done."""
        outcomes = await asyncio.gather(
            *(self.submit(item, priority=priority, meter=meter) for item in items),
            return_exceptions=True,
        )
        results: list[ResultT] = []
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
            results.append(outcome)
        return results

    async def close(self) -> None:
        """Refuses new items, fails those that wait, and waits for the forward pass under way."""
        self._closed = True
        for queue in self._queues.values():
            for waiter in queue:
                if not waiter.future.done():
                    waiter.future.set_exception(_shutting_down())
            queue.clear()
        await asyncio.to_thread(self._threads.shutdown)

    def _wake_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        # One turn of the loop later, so that items submitted together go together.
        if self._wake is None and self._may_dispatch():
            self._wake = loop.call_soon(self._dispatch, loop)

    def _dispatch(self, loop: asyncio.AbstractEventLoop) -> None:
        self._wake = None
        while self.pending and self._may_dispatch():
            batch = self._take()
            if not batch:
                continue  # whoever waited has gone
            self._running += 1
            # The span of the batch belongs to the trace of its first item.
            work = self._threads.submit(batch[0].context.run, self._run, batch)
            work.add_done_callback(
                lambda done: loop.call_soon_threadsafe(self._settle, loop, done.result())
            )

    def _may_dispatch(self) -> bool:
        """Whether a worker is idle, or the next batch is full: then waiting gains nothing, and
        the worker that is free next has it without waiting for the event loop."""
        ahead = self._running - self._options.worker_count
        size = self._options.batch_size_max
        if ahead != 0 or size == 1 or not (waiting := self._waiting()):
            return ahead < 0
        due = self._turns.due(waiting)
        return due is not Priority.BULK and size <= len(self._queues[due])

    def _waiting(self) -> list[Priority]:
        return [priority for priority, queue in self._queues.items() if queue]

    def _take(self) -> list[_Waiter[ItemT, ResultT]]:
        options = self._options
        priority = self._turns.take(self._waiting())
        queue, size = self._queues[priority], options.batch_size_max
        if priority is Priority.BULK:
            size = options.bulk_batch_size_max
        batch: list[_Waiter[ItemT, ResultT]] = []
        while queue and len(batch) < size:
            waiter = next(iter(queue))
            del queue[waiter]
            if not waiter.future.done():
                batch.append(waiter)
        return batch

    def _run(self, batch: Sequence[_Waiter[ItemT, ResultT]]) -> "_Outcome[ItemT, ResultT]":
        """In a worker thread: one outcome for each item still waited for, and the seconds that
        it took."""
        batch = [waiter for waiter in batch if not waiter.future.done()]
        if not batch:
            return [], 0.0
        started = time.perf_counter()
        name = self._options.name
        with span(f"{name}.batch", batch_size=len(batch)):
            outcomes = self._outcomes([waiter.item for waiter in batch])
        elapsed_s = time.perf_counter() - started
        metrics.batch_size.record(len(batch), {"task": name})
        metrics.encoding_duration.record(elapsed_s, {"task": name})
        return list(zip(batch, outcomes, strict=True)), elapsed_s

    def _outcomes(self, items: Sequence[ItemT]) -> list[ResultT | SensoriumError]:
        try:
            results = self._forward(items)
            if len(results) != len(items):
                raise _failure()
            return list(results)
        # Whatever a model raises must reach its waiter, and only its waiter.
        except Exception as error:  # noqa: BLE001
            if len(items) > 1:
                return [self._outcomes([item])[0] for item in items]
            if isinstance(error, SensoriumError):
                return [error]
            _log.error("%s: forward pass failed", self._options.name, exc_info=error)
            return [_failure()]

    def _settle(self, loop: asyncio.AbstractEventLoop, outcome: "_Outcome[ItemT, ResultT]") -> None:
        self._running -= 1
        outcomes, elapsed_s = outcome
        for waiter, result in outcomes:
            if waiter.meter is not None:
                waiter.meter.compute_s += elapsed_s / len(outcomes)
            if waiter.future.done():
                continue
            if isinstance(result, SensoriumError):
                waiter.future.set_exception(result)
            else:
                waiter.future.set_result(result)
        if self.pending:
            self._wake_soon(loop)


def _failure() -> InternalFailure:
    return InternalFailure("ENCODER_FAILED", "The model could not process this item.")


def _shutting_down() -> Unavailable:
    return Unavailable("SHUTTING_DOWN", "The server is shutting down.")
