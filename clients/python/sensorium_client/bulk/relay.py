"""From tasks that work to the one who reads what they have to tell."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")

_CANCEL_AGAIN_S = 0.1


async def relay(
    told: "asyncio.Queue[T]", works: Iterable[Coroutine[Any, Any, None]]
) -> AsyncGenerator[T, None]:
    """What ``works``, side by side, put into the queue until all have ended.

    Raises what the first of them raised; then, and when this is closed, the others are cancelled.
    """
    running = {asyncio.create_task(work) for work in works}
    try:
        while running or not told.empty():
            getting = asyncio.create_task(told.get())
            waiting: set[asyncio.Task[Any]] = {getting, *running}
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if getting in done:
                yield getting.result()
            else:
                getting.cancel()
            for ended in running & done:
                running.discard(ended)
                ended.result()
    finally:
        # More than once: wait_for of Python 3.11, which redis-py uses, may lose a cancel.
        while running:
            for task in running:
                task.cancel()
            _, running = await asyncio.wait(running, timeout=_CANCEL_AGAIN_S)
