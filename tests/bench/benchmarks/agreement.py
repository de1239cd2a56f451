"""Whether catalogue, vectors and bytes agree after many ingests, deletions and kills."""

import asyncio
import random
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sensorium_client import Client, events
from sensorium_client.checks import CheckSummary, Finding
from sensorium_client.errors import SensoriumClientError

from tests.bench.results import Plan, Row
from tests.pipeline.platform import until
from tests.pipeline.test_durability import server_process

INGEST_COUNT = 1000
DELETE_COUNT = 200
KILL_COUNT = 3
_WITHIN_S = 300.0


@dataclass
class _World:
    """What the clients were told."""

    stored: set[str] = field(default_factory=set)
    asked: set[str] = field(default_factory=set)
    """Deletions that were sent; what was not answered may have been done or not."""
    gone: set[str] = field(default_factory=set)
    deletion_count: int = 0
    """Deletions that were answered, also of what was sent again since."""


async def run(plan: Plan) -> list[Row]:
    """Ingest and delete at once, kill in the middle, start again, and check at the end."""
    ingest_count = INGEST_COUNT if plan.repeats > 2 else INGEST_COUNT // 10
    files = await asyncio.to_thread(_write, plan.folder / "files", ingest_count)
    data_dir = plan.folder / "data"
    world, chance = _World(), random.Random(7)
    share = -(-ingest_count // (KILL_COUNT + 1))
    delete_count = DELETE_COUNT * ingest_count // INGEST_COUNT
    for number in range(KILL_COUNT):
        plan.say(f"kill {number + 1} of {KILL_COUNT}")
        # What the last kill cut off is sent again with the rest.
        left = files[: (number + 1) * share]
        async with server_process(data_dir, "") as (process, client):
            work = asyncio.create_task(_work(client, left, world, chance, delete_count))
            enough = len(world.stored) + share // 2
            await until(
                lambda enough=enough, work=work: len(world.stored) >= enough or work.done(),  # type: ignore[misc]
                _WITHIN_S,
                "half of the work is done",
            )
            process.send_signal(signal.SIGKILL)
            await process.wait()
            try:
                await work
            except* SensoriumClientError:
                plan.say("killed")
    async with server_process(data_dir, "") as (_, client):
        await _work(client, files, world, chance, delete_count - world.deletion_count)
        return [await _compare(client, world)]


def _write(folder: Path, count: int) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:04}.txt" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_text(f"Note {number}: the keeper of lamp {number} counts {number * 7} ships.")
    return paths


async def _work(
    client: Client, files: Sequence[Path], world: _World, chance: random.Random, count: int
) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(_upload(client, files, world))
        group.create_task(_delete(client, world, chance, count))


async def _upload(client: Client, files: Sequence[Path], world: _World) -> None:
    async for event in client.upload(files):
        if isinstance(event, events.AssetStored):
            # One that was deleted and is sent again is there again.
            world.stored.add(event.asset.asset_id)
            world.asked.discard(event.asset.asset_id)
            world.gone.discard(event.asset.asset_id)
        elif isinstance(event, events.AlreadyStored):
            world.stored.add(event.asset_id)  # its acknowledgement was lost with the server


async def _delete(client: Client, world: _World, chance: random.Random, count: int) -> None:
    for _ in range(count):
        await until(lambda: bool(world.stored - world.asked), _WITHIN_S, "something is stored")
        asset_id = chance.choice(sorted(world.stored - world.asked))
        world.asked.add(asset_id)
        await client.delete(asset_id)
        world.gone.add(asset_id)
        world.deletion_count += 1


async def _compare(client: Client, world: _World) -> Row:
    deadline_s = asyncio.get_running_loop().time() + _WITHIN_S
    while True:
        seen = [event async for event in client.check(deep=True)]
        findings = [event for event in seen if isinstance(event, Finding)]
        (summary,) = (event for event in seen if isinstance(event, CheckSummary))
        if not summary.unindexed_count or asyncio.get_running_loop().time() > deadline_s:
            break
        await asyncio.sleep(1)
    there = {asset.asset_id async for asset in client.list_assets()}
    lost = world.stored - world.asked - there
    back = world.gone & there
    agree = not findings and not lost and not back and not summary.unindexed_count
    return Row(
        f"{len(world.stored)} ingests, {world.deletion_count} deletions, {KILL_COUNT} kills",
        f"{len(findings)} faults, {len(lost)} lost, {len(back)} back, "
        f"{summary.unindexed_count} not indexed",
        target="all agree",
        met=agree,
        notes=[f"{finding.fault} {finding.asset_id}: {finding.message}" for finding in findings],
    )
