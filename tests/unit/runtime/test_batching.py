"""The batcher: prompt when idle, answers before bulk, a bad item alone, cancelled ones dropped."""

import asyncio
import threading
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runtime.batching import BatchOptions, DynamicBatcher, Meter
from services.runtime.errors import InternalFailure, InvalidInput, Unavailable
from services.runtime.priority import Priority


class GatedForward:
    """Doubles its items; every batch waits for ``gate`` and is remembered."""

    def __init__(self, *, open_gate: bool = True) -> None:
        self.batches: list[list[int]] = []
        self.entered = threading.Semaphore(0)
        self.gate = threading.Event()
        if open_gate:
            self.gate.set()

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        self.entered.release()
        assert self.gate.wait(30)
        if 13 in items:
            raise InvalidInput("UNLUCKY", "Thirteen is refused.")
        if 666 in items:
            raise RuntimeError("secret detail")
        return [2 * item for item in items]

    async def wait_entered(self) -> None:
        assert await asyncio.to_thread(self.entered.acquire, True, 10)


def batcher(forward: GatedForward, *, size: int = 4, workers: int = 1) -> DynamicBatcher[int, int]:
    return DynamicBatcher(forward, BatchOptions("test", size, size, workers))


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_items_submitted_together_share_a_batch() -> None:
    forward = GatedForward()
    under_test = batcher(forward)
    assert await under_test.submit_many([1, 2, 3]) == [2, 4, 6]
    assert forward.batches == [[1, 2, 3]]
    assert (under_test.pending, under_test.running) == (0, 0)


async def test_collects_while_busy_up_to_the_limit_and_answers_before_bulk() -> None:
    forward = GatedForward(open_gate=False)
    under_test = batcher(forward)
    first = asyncio.ensure_future(under_test.submit(0))
    await forward.wait_entered()
    bulk = asyncio.ensure_future(under_test.submit_many([10, 11], priority=Priority.BULK))
    answers = asyncio.ensure_future(under_test.submit_many([1, 2, 3, 4, 5]))
    await settle()
    # A full batch is handed over ahead, so that the worker need not wait for the event loop.
    assert (under_test.pending, under_test.running) == (3, 2)
    forward.gate.set()
    assert await answers == [2, 4, 6, 8, 10]
    assert await bulk == [20, 22]
    assert await first == 0
    assert forward.batches == [[0], [1, 2, 3, 4], [5], [10, 11]]


async def test_who_gives_up_is_left_out_of_a_batch_that_was_handed_over_ahead() -> None:
    forward = GatedForward(open_gate=False)
    under_test = batcher(forward, size=2)
    first = asyncio.ensure_future(under_test.submit(0))
    await forward.wait_entered()
    ahead = [asyncio.ensure_future(under_test.submit(item)) for item in (1, 2)]
    await settle()
    assert (under_test.pending, under_test.running) == (0, 2)
    ahead[0].cancel()
    await settle()
    forward.gate.set()
    assert await ahead[1] == 4
    assert await first == 0
    assert forward.batches == [[0], [2]]


async def test_single_items_are_never_handed_over_ahead() -> None:
    """Where a batch is one item it may run for seconds; it stays where a cancel drops it."""
    forward = GatedForward(open_gate=False)
    under_test = batcher(forward, size=1)
    items = [asyncio.ensure_future(under_test.submit(item)) for item in (0, 1, 2)]
    await forward.wait_entered()
    await settle()
    assert (under_test.pending, under_test.running) == (2, 1)
    forward.gate.set()
    assert await asyncio.gather(*items) == [0, 2, 4]


async def test_bulk_runs_though_the_answer_before_it_was_given_up() -> None:
    under_test = batcher(GatedForward())
    answer = asyncio.ensure_future(under_test.submit(1))
    bulk = asyncio.ensure_future(under_test.submit(2, priority=Priority.BULK))
    await asyncio.sleep(0)
    answer.cancel()
    assert await asyncio.wait_for(bulk, 30) == 4


async def test_bulk_is_not_starved() -> None:
    forward = GatedForward()
    under_test = batcher(forward, size=1)
    bulk = asyncio.ensure_future(under_test.submit(99, priority=Priority.BULK))
    await asyncio.gather(under_test.submit_many(range(100, 130)), bulk)
    order = [item for batch in forward.batches for item in batch]
    assert order.index(99) < 10


async def test_a_higher_class_goes_before_the_others() -> None:
    forward = GatedForward(open_gate=False)
    under_test = batcher(forward, size=1)
    items = [asyncio.ensure_future(under_test.submit(0))]
    await forward.wait_entered()
    for item, priority in enumerate((Priority.BULK, Priority.NORMAL, Priority.HIGH), 1):
        items.append(asyncio.ensure_future(under_test.submit(item, priority=priority)))
    await settle()
    forward.gate.set()
    await asyncio.gather(*items)
    assert forward.batches == [[0], [3], [2], [1]]


async def test_a_bad_item_fails_alone() -> None:
    under_test = batcher(GatedForward())
    outcomes = await asyncio.gather(
        *(under_test.submit(item) for item in [1, 13, 666, 2]), return_exceptions=True
    )
    assert outcomes[0] == 2
    assert outcomes[3] == 4
    assert isinstance(outcomes[1], InvalidInput)
    assert isinstance(outcomes[2], InternalFailure)
    assert "secret" not in outcomes[2].message


async def test_a_cancelled_waiter_is_never_run() -> None:
    forward = GatedForward(open_gate=False)
    under_test = batcher(forward)
    first = asyncio.ensure_future(under_test.submit(0))
    await forward.wait_entered()
    doomed = asyncio.ensure_future(under_test.submit(1))
    kept = asyncio.ensure_future(under_test.submit(2))
    await settle()
    doomed.cancel()
    await settle()
    assert under_test.pending == 1
    forward.gate.set()
    assert await kept == 4
    await first
    assert forward.batches == [[0], [2]]


async def test_workers_run_side_by_side() -> None:
    forward = GatedForward(open_gate=False)
    under_test = batcher(forward, size=1, workers=2)
    both = asyncio.ensure_future(under_test.submit_many([1, 2]))
    await forward.wait_entered()
    await forward.wait_entered()
    assert under_test.running == 2
    forward.gate.set()
    assert await both == [2, 4]


async def test_close_fails_what_waits_and_finishes_what_runs() -> None:
    forward = GatedForward(open_gate=False)
    under_test = batcher(forward)
    running = asyncio.ensure_future(under_test.submit(1))
    await forward.wait_entered()
    waiting = asyncio.ensure_future(under_test.submit(2))
    await settle()
    closing = asyncio.ensure_future(under_test.close())
    await settle()
    forward.gate.set()
    await closing
    with pytest.raises(Unavailable):
        await waiting
    with pytest.raises(Unavailable):
        await under_test.submit(3)
    assert await running == 2


async def test_a_forward_that_loses_results_fails_every_item() -> None:
    under_test: DynamicBatcher[int, int] = DynamicBatcher(lambda items: [], BatchOptions("test"))
    with pytest.raises(InternalFailure):
        await under_test.submit(1)


async def test_compute_time_is_shared_out_among_the_callers() -> None:
    under_test = batcher(GatedForward())
    meters = [Meter(), Meter()]
    await asyncio.gather(*(under_test.submit(1, meter=meter) for meter in meters))
    assert meters[0].compute_s == meters[1].compute_s > 0


@given(
    items=st.lists(st.integers(0, 1000), max_size=40),
    size=st.integers(1, 7),
    workers=st.integers(1, 3),
    priorities=st.lists(st.sampled_from(Priority), min_size=40, max_size=40),
)
def test_everyone_gets_their_own_result(
    items: list[int], size: int, workers: int, priorities: list[Priority]
) -> None:
    forward = GatedForward()

    async def run() -> None:
        under_test = batcher(forward, size=size, workers=workers)
        outcomes = await asyncio.gather(
            *(
                under_test.submit(item, priority=priority)
                for item, priority in zip(items, priorities, strict=False)
            ),
            return_exceptions=True,
        )
        for item, outcome in zip(items, outcomes, strict=True):
            if item in (13, 666):
                assert isinstance(outcome, InvalidInput | InternalFailure)
            else:
                assert outcome == 2 * item
        assert (under_test.pending, under_test.running) == (0, 0)
        await under_test.close()

    asyncio.run(run())
    assert all(1 <= len(batch) <= size for batch in forward.batches)
