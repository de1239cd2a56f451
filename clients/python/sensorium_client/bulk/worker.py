"""A worker: takes files from the queues, stores them, and says so only when they are indexed."""

import asyncio
import contextlib
import enum
import os
import secrets
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path

from sensorium_client.bulk.attempt import Attempt, SendOptions
from sensorium_client.bulk.hashes import Hashes
from sensorium_client.bulk.modality import Modality
from sensorium_client.bulk.outcome import Failure, FileOutcome, FileStatus, failure_of
from sensorium_client.bulk.queue import Entry, ModalityQueue
from sensorium_client.bulk.relay import relay
from sensorium_client.bulk.retry import Backoff, until_serving
from sensorium_client.bulk.walk import FoundFile, absent_file, found_file
from sensorium_client.client import Client

# Entries that a worker takes at a time: few of what takes long.
_BATCH_COUNTS = {Modality.TEXT: 64, Modality.IMAGE: 32, Modality.AUDIO: 4, Modality.VIDEO: 2}
_BLOCK_S = 0.5
_OUTCOMES_AHEAD = 256
_WORKERS_LOST = Failure("ABORTED", "WORKERS_LOST", "Every worker that had this file died over it.")


@dataclass(frozen=True)
class WorkerOptions:
    """How a worker behaves."""

    reclaim_after_s: float = 60.0
    """An entry whose worker gave no sign of life for so long goes to another. Live workers
    give three in that time."""
    until_empty: bool = False
    """Whether to end when nothing waits, is worked on or delayed."""
    backoff: Backoff = field(default_factory=Backoff)
    """After its last attempt, or as many dead workers, a file becomes a dead letter."""


class Fate(enum.StrEnum):
    """What becomes of an entry after a try."""

    DONE = "done"
    LATER = "later"
    """It is tried again, after a while."""
    DEAD = "dead"
    """It is a dead letter now."""


@dataclass(frozen=True)
class Settled:
    """One try at a file, and what becomes of its entry."""

    outcome: FileOutcome
    fate: Fate


class Worker:
    """Works on several queues at once, so that the films of one do not hold up another.

    At least once: an entry is acknowledged when its asset is committed *and*
    indexed. Doing it again has no effect, since the asset id follows from the file.
    """

    def __init__(
        self, client: Client, queues: Sequence[ModalityQueue], options: WorkerOptions
    ) -> None:
        self.name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self._client = client
        self._queues = queues
        self._options = options
        self._told: asyncio.Queue[Settled] = asyncio.Queue(_OUTCOMES_AHEAD)

    async def run(self) -> AsyncGenerator[Settled, None]:
        """The outcome of each try, until the queues are empty or for ever.

        Closing it early gives unfinished entries back at once. Raises
        SensoriumClientError where the server refuses everything, and redis.RedisError.
        """
        lanes = [self._run_lane(queue) for queue in self._queues]
        async with aclosing(relay(self._told, lanes)) as told:
            async for each in told:
                yield each

    async def _run_lane(self, queue: ModalityQueue) -> None:
        await queue.open()
        count = _BATCH_COUNTS[queue.modality]
        while True:
            await queue.promote_due()
            # First, so that what a dead worker had does not wait for the end of the queue.
            entries = await queue.claim_abandoned(
                self.name, count, self._options.reclaim_after_s
            ) or await queue.read(self.name, count, _BLOCK_S)
            entries = [entry for entry in entries if not await self._is_deadly(queue, entry)]
            if entries:
                await self._work(queue, entries)
            elif self._options.until_empty and not (await queue.status()).unfinished_count:
                return

    async def _is_deadly(self, queue: ModalityQueue, entry: Entry) -> bool:
        """Whether too many workers died over an entry; then it is buried."""
        if entry.delivery_count <= self._options.backoff.attempts_max:
            return False
        file = absent_file(Path(entry.file.path), entry.file.relative_path)
        await queue.bury(entry, _WORKERS_LOST)
        outcome = FileOutcome(file, FileStatus.FAILED, failure=_WORKERS_LOST)
        await self._told.put(Settled(outcome, Fate.DEAD))
        return True

    async def _work(self, queue: ModalityQueue, entries: Sequence[Entry]) -> None:
        batch = _Batch(queue, {entry.entry_id: entry for entry in entries})
        async with self._keeping(batch):
            while batch.entries:
                await self._try(batch, batch.entries[0].file.options)

    @contextlib.asynccontextmanager
    async def _keeping(self, batch: "_Batch") -> AsyncIterator[None]:
        """Give signs of life; what is left open at the end goes back to the others."""

        async def beat() -> None:
            while True:
                await asyncio.sleep(self._options.reclaim_after_s / 3)
                await batch.queue.keep(self.name, batch.entries)

        beating = asyncio.create_task(beat())
        try:
            yield
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)
            await batch.queue.release(self.name, batch.entries)

    async def _try(self, batch: "_Batch", options: SendOptions) -> None:
        files: dict[FoundFile, list[Entry]] = {}
        for entry in batch.entries:
            if entry.file.options != options:
                continue
            path, relative_path = Path(entry.file.path), entry.file.relative_path
            try:
                file = found_file(path, relative_path)
            except OSError as error:
                absent = absent_file(path, relative_path)
                failed = FileOutcome(absent, FileStatus.FAILED, failure=failure_of(error))
                await self._settle(batch, entry, failed)
            else:
                files.setdefault(file, []).append(entry)
        is_away = False
        attempt = Attempt(self._client, options, Hashes())
        async with aclosing(attempt.run(list(files))) as outcomes:
            async for told in outcomes:
                if isinstance(told, FileOutcome):
                    is_away |= told.failure is not None and told.failure.code == "UNAVAILABLE"
                    for entry in files[told.file]:
                        await self._settle(batch, entry, told)
        if is_away:
            await until_serving(self._client)

    async def _settle(self, batch: "_Batch", entry: Entry, outcome: FileOutcome) -> None:
        backoff, attempt_count = self._options.backoff, entry.file.attempt_count + 1
        if outcome.failure is None:
            fate = Fate.DONE
            await batch.queue.done(entry)
        elif outcome.failure.transient and attempt_count < backoff.attempts_max:
            fate = Fate.LATER
            delay_s = backoff.delay_s(attempt_count, outcome.failure.retry_after_s)
            await batch.queue.try_later(entry, delay_s)
        else:
            fate = Fate.DEAD
            await batch.queue.bury(entry, outcome.failure)
        batch.settled(entry)
        await self._told.put(Settled(outcome, fate))


@dataclass(frozen=True)
class _Batch:
    """Entries that a worker has, of one queue."""

    queue: ModalityQueue
    open_entries: dict[str, Entry]

    @property
    def entries(self) -> list[Entry]:
        """Those that are not settled."""
        return list(self.open_entries.values())

    def settled(self, entry: Entry) -> None:
        """An entry is not this worker's any more."""
        del self.open_entries[entry.entry_id]
