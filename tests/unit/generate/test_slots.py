import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.generate.slots import SlotPool, common_prefix_length
from tests.unit.generate.helpers import until


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


async def _read(pool: SlotPool, tokens: list[int]) -> int:
    lease = await pool.acquire(tokens, urgent=True)
    lease.slot.cached = tokens
    lease.release()
    return lease.slot.index


@given(st.lists(st.integers(0, 3)), st.lists(st.integers(0, 3)), st.lists(st.integers(0, 3)))
def test_common_prefix_is_the_longest_one(
    shared: list[int], left: list[int], right: list[int]
) -> None:
    one, other = [*shared, *left], [*shared, *right]
    length = common_prefix_length(one, other)
    assert length >= len(shared)
    assert one[:length] == other[:length]
    assert length in (len(one), len(other)) or one[length] != other[length]


async def test_a_prompt_returns_to_the_slot_that_has_read_most_of_it(
    executor: ThreadPoolExecutor,
) -> None:
    pool = SlotPool(3, executor, waiting_max=0)
    first = await _read(pool, [1, 2, 3, 4])
    second = await _read(pool, [1, 9, 9, 9])
    assert first != second
    assert await _read(pool, [1, 9, 9, 9, 5]) == second
    assert await _read(pool, [1, 2, 3, 4, 5]) == first


async def test_a_long_cached_prompt_is_not_given_up_for_a_few_shared_words(
    executor: ThreadPoolExecutor,
) -> None:
    pool = SlotPool(2, executor, waiting_max=0)
    long = await _read(pool, list(range(100)))
    assert await _read(pool, [0, 1, 2, 500]) != long


async def test_a_claimed_slot_is_taken_last(executor: ThreadPoolExecutor) -> None:
    pool = SlotPool(2, executor, waiting_max=0)
    stream = object()
    lease = await pool.acquire([1, 2], urgent=False, claimant=stream)
    lease.slot.cached = [1, 2]
    lease.release()
    for tokens in ([7], [8], [9]):
        assert await _read(pool, tokens) != lease.slot.index
    assert (await pool.acquire([1, 2, 3], urgent=True, claimant=stream)).slot is lease.slot


async def test_a_slot_is_in_use_until_its_thread_has_ended(executor: ThreadPoolExecutor) -> None:
    pool = SlotPool(1, executor, waiting_max=0)
    end = threading.Event()
    lease = await pool.acquire([], urgent=True)
    work = asyncio.shield(lease.start(end.wait))
    work.cancel()
    lease.release()
    assert pool.active_slots == 1
    end.set()
    await until(lambda: pool.active_slots == 0)
