"""Short ways to generate."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing

from services.generate.backends.base import ChatMessage
from services.generate.engine import Engine
from services.generate.generation import Generation
from services.generate.sampling import Sampling


async def until(holds: Callable[[], Awaitable[bool] | bool]) -> None:
    """Wait for a condition that the code under test brings about."""
    async with asyncio.timeout(30):
        while True:
            result = holds()
            if result if isinstance(result, bool) else await result:
                return
            await asyncio.sleep(0.005)


async def collect(generation: Generation, question: str) -> str:
    async with aclosing(generation.answer(question)) as pieces:
        return "".join([piece.text async for piece in pieces])


async def ask(
    engine: Engine,
    question: str,
    *batches: Sequence[str],
    sampling: Sampling | None = None,
    messages: Sequence[ChatMessage] = (),
) -> tuple[str, Generation]:
    """An answer after context that came in ``batches``."""
    generation = await engine.open("", messages, sampling or Sampling(max_tokens=24))
    try:
        for lines in batches:
            await generation.append(lines)
        return await collect(generation, question), generation
    finally:
        await generation.close()
