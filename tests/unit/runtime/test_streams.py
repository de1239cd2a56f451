"""Duplex handlers and worker threads."""

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Iterator

import pytest

from services.runtime.errors import InvalidInput
from services.runtime.streams import Emit, duplex, iterate_in_thread


async def test_duplex_yields_what_came_before_the_error_that_matters() -> None:
    async def body(emit: Emit[int]) -> None:
        await emit(1)

        async def fail() -> None:
            raise InvalidInput("WRONG", "Wrong.")

        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            await asyncio.Event().wait()

    seen = []
    with pytest.raises(InvalidInput, match="WRONG"):
        async for item in duplex(body):
            seen.append(item)
    assert seen == [1]


@pytest.fixture
async def told() -> AsyncIterator[list[str]]:
    """What the loop tells of tasks whose failure nobody took."""
    gc.collect()  # those of other tests are told of before
    loop = asyncio.get_running_loop()
    handler = loop.get_exception_handler()
    told: list[str] = []
    loop.set_exception_handler(lambda _, about: told.append(str(about)))
    yield told
    loop.set_exception_handler(handler)


async def test_what_fails_when_nobody_listens_any_more_is_not_called_forgotten(
    told: list[str],
) -> None:
    """As a job that is stopped because its asset is deleted, and sees first that it is."""

    async def body(emit: Emit[int]) -> None:
        await emit(1)
        raise InvalidInput("WRONG", "Wrong.")

    events = duplex(body)
    assert await anext(events) == 1
    await asyncio.sleep(0.01)  # by now it has failed
    await events.aclose()
    del events
    gc.collect()
    assert told == []


async def test_closing_duplex_ends_its_body() -> None:
    ended = asyncio.Event()

    async def body(emit: Emit[int]) -> None:
        try:
            while True:
                await emit(1)
        finally:
            ended.set()

    events = duplex(body, capacity=1)
    await anext(events)
    await events.aclose()
    assert ended.is_set()


async def test_a_thread_runs_at_most_its_capacity_ahead() -> None:
    produced = 0
    cancel = threading.Event()

    def count() -> Iterator[int]:
        nonlocal produced
        for index in range(100):
            produced = index + 1
            yield index

    items = iterate_in_thread(count, cancel, capacity=3)
    assert await anext(items) == 0
    for _ in range(20):
        await asyncio.sleep(0)
    # One is out, three wait, one is in the thread's hand.
    assert produced <= 5
    assert [item async for item in items] == list(range(1, 100))


async def test_closing_stops_the_thread() -> None:
    cancel = threading.Event()

    def forever() -> Iterator[int]:
        while not cancel.is_set():
            yield 0

    items = iterate_in_thread(forever, cancel)
    await anext(items)
    await items.aclose()
    assert cancel.is_set()


async def test_an_error_in_the_thread_reaches_the_reader() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise InvalidInput("BROKEN", "Broken.")

    items = iterate_in_thread(broken, threading.Event())
    assert await anext(items) == 1
    with pytest.raises(InvalidInput, match="BROKEN"):
        await anext(items)
