import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.generate.permits import Permits
from services.runtime.errors import Overloaded
from services.runtime.priority import Priority


async def test_urgent_waiters_go_first_and_each_kind_in_turn() -> None:
    permits = Permits(1, urgent_waiting_max=8)
    order: list[str] = []

    async def work(name: str, urgent: bool) -> None:
        await permits.acquire(urgent=urgent)
        order.append(name)
        permits.release()

    await permits.acquire(urgent=True)
    async with asyncio.TaskGroup() as group:
        for name, urgent in [("b1", False), ("u1", True), ("b2", False), ("u2", True)]:
            group.create_task(work(name, urgent))
        await asyncio.sleep(0)
        permits.release()
    assert order == ["u1", "u2", "b1", "b2"]


async def test_among_urgent_waiters_the_higher_class_goes_first_and_bulk_is_not_starved() -> None:
    permits = Permits(1, urgent_waiting_max=99)
    order: list[str] = []

    async def work(name: str, priority: Priority) -> None:
        await permits.acquire(urgent=True, priority=priority)
        order.append(name)
        permits.release()

    await permits.acquire(urgent=True)
    async with asyncio.TaskGroup() as group:
        group.create_task(work("bulk", Priority.BULK))
        for number in range(30):
            group.create_task(work(f"normal {number}", Priority.NORMAL))
        group.create_task(work("high", Priority.HIGH))
        await asyncio.sleep(0)
        permits.release()
    assert order[:2] == ["high", "normal 0"]
    assert order.index("bulk") == 8


async def test_a_full_queue_refuses_with_a_retry_hint() -> None:
    permits = Permits(1, urgent_waiting_max=1)
    await permits.acquire(urgent=True)
    waiter = asyncio.create_task(permits.acquire(urgent=True))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded) as refused:
        await permits.acquire(urgent=True)
    assert refused.value.reason == "GENERATE_QUEUE_FULL"
    assert refused.value.retry_after_s
    permits.release()
    await waiter


@given(
    st.lists(
        st.tuples(st.booleans(), st.sampled_from(Priority), st.booleans(), st.booleans()),
        max_size=12,
    )
)
async def test_no_permit_is_lost_whoever_is_cancelled_when(
    waiters: list[tuple[bool, Priority, bool, bool]],
) -> None:
    permits = Permits(2, urgent_waiting_max=99)

    async def work(urgent: bool, priority: Priority) -> None:
        await permits.acquire(urgent=urgent, priority=priority)
        try:
            await asyncio.sleep(0)
        finally:
            permits.release()

    tasks = []
    for urgent, priority, cancel_early, pause in waiters:
        tasks.append(asyncio.create_task(work(urgent, priority)))
        if pause:
            await asyncio.sleep(0)
        if cancel_early:
            tasks[0 if pause else -1].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (permits.held, permits.waiting) == (0, 0)
