"""The mailbox of an upload."""

import asyncio

import pytest

from services.ingest.intake import Finish, Intake


@pytest.mark.parametrize("steps", range(4))
async def test_who_waits_can_be_cancelled_in_the_moment_when_something_comes(steps: int) -> None:
    intake = Intake()
    taking = asyncio.create_task(intake.take(60.0))
    await asyncio.sleep(0.01)
    await intake.put(Finish(0, ""))
    for _ in range(steps):
        await asyncio.sleep(0)
    if taking.cancel():
        with pytest.raises(asyncio.CancelledError):
            await taking
    else:
        assert await taking == [Finish(0, "")]


async def test_nothing_comes_in_time() -> None:
    assert await Intake().take(0.01) == []
