"""The engine lets go of what it holds, whenever it is cancelled."""

import asyncio
import threading
from pathlib import Path

import pytest

from services.ingest.spool import Part
from services.ingest.stage import build_engine
from tests.harness import make_settings


async def test_an_upload_cancelled_while_its_part_is_opened_can_be_resumed(tmp_path: Path) -> None:
    engine = build_engine(make_settings(tmp_path))
    entered, go_on = threading.Event(), threading.Event()

    def open_slowly() -> Part:
        entered.set()
        go_on.wait()
        return engine.spool.open("default", "a")

    opening = asyncio.create_task(engine.open_part(open_slowly))
    await asyncio.to_thread(entered.wait)
    opening.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert engine.open_part_count == 0
    part = await engine.open_part(engine.spool.open, "default", "a")
    await engine.on_disk(part.close)
    await engine.stop()


async def test_work_on_the_disk_is_waited_for_however_often_it_is_cancelled(tmp_path: Path) -> None:
    engine = build_engine(make_settings(tmp_path))
    begun, go_on = threading.Event(), threading.Event()

    def write_slowly() -> None:
        begun.set()
        go_on.wait()

    writing = asyncio.create_task(engine.on_disk(write_slowly))
    await asyncio.to_thread(begun.wait)
    for _ in range(3):
        writing.cancel()
        await asyncio.sleep(0.01)
        assert not writing.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await writing
