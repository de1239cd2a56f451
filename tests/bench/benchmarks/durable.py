"""What the fsync before each acknowledgement costs: documents/s into the index with it and
without, one at a time and in batches, and how long each waits for its acknowledgement."""

import dataclasses
import os
import time
from pathlib import Path
from statistics import median

import numpy as np

from services.search.lease import FolderLease
from services.search.record import Record
from services.search.tables import Tables
from services.search.writer import IndexWriter
from tests.bench.clusters import DIMENSION
from tests.bench.estimates import paired_ratio
from tests.bench.results import Plan, Row
from tests.unit.search.builders import SPACE, record

BATCHES = {1: 60, 256: 12}
"""Documents of one acknowledgement, and how many of those are waited for."""


class UnsyncedTables(Tables):
    """Tables whose folders the writer does not know, so that it syncs nothing."""

    def path(self, space: str) -> Path | None:
        return None


async def run(plan: Plan) -> list[Row]:
    """With and without in turn, each time into an empty index."""
    waits_s: dict[tuple[int, bool], list[float]] = {}
    for repeat in range(plan.repeats + 1):
        for size, count in BATCHES.items():
            for synced in (True, False):
                folder = plan.folder / f"{repeat}-{size}-{synced}"
                tables = Tables(folder) if synced else UnsyncedTables(folder)
                wait_s = await _wait_s(tables, folder, size, count)
                if repeat:  # the first warms up
                    waits_s.setdefault((size, synced), []).append(wait_s)
        plan.say(f"{repeat}/{plan.repeats}")
    note = f"a bare fsync of 4 KiB on this disk: {_fsync_s(plan.folder) * 1e3:.2f} ms"
    return [_row(size, waits_s, note) for size in BATCHES]


async def _wait_s(tables: Tables, folder: Path, size: int, count: int) -> float:
    """The median wait for an acknowledgement."""
    await tables.connect()
    lease = FolderLease(folder, address="")
    await lease.acquire()
    writer = IndexWriter(tables, lease)
    await writer.start()
    waits_s = []
    for number in range(count + 1):
        batch = _batch(number, size)
        began_s = time.perf_counter()
        await writer.write(SPACE, batch)
        waits_s.append(time.perf_counter() - began_s)
    await writer.stop()
    await lease.release()
    tables.close()
    return median(waits_s[1:])  # the first makes the table


def _batch(number: int, size: int) -> list[Record]:
    vectors = np.random.default_rng(number).normal(size=(size, DIMENSION)).astype(np.float32)
    return [
        dataclasses.replace(record(f"d{number}-{index}", text="a few words of text"), vector=vector)
        for index, vector in enumerate(vectors)
    ]


def _fsync_s(folder: Path) -> float:
    durations_s = []
    with (folder / "bare").open("wb", buffering=0) as file:
        for _ in range(50):
            file.write(bytes(4096))
            began_s = time.perf_counter()
            os.fsync(file)
            durations_s.append(time.perf_counter() - began_s)
    return median(durations_s)


def _row(size: int, waits_s: dict[tuple[int, bool], list[float]], note: str) -> Row:
    synced, unsynced = waits_s[size, True], waits_s[size, False]
    rates = [size / median(waits) for waits in (synced, unsynced)]
    return Row(
        f"documents/s into the index, {size} at a time, each acknowledgement after an fsync",
        f"{rates[0]:.0f}/s, {median(synced) * 1e3:.1f} ms a commit",
        f"without fsync: {rates[1]:.0f}/s, {median(unsynced) * 1e3:.1f} ms",
        paired_ratio([1 / wait for wait in synced], [1 / wait for wait in unsynced]),
        notes=[note],
        samples={"synced_s": synced, "unsynced_s": unsynced},
    )
