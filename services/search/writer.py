"""The one writer of the index.

Concurrent writers of the same new keys duplicate rows in LanceDB, and each
commit costs the same for one row as for a hundred. So a single task takes the
writes of all streams, commits what waits together, syncs, and only then says
that it is done. It also compacts on a schedule of its own. All of it only while
its process holds the lease of the index.
"""

import asyncio
import logging
import math
import time
from collections import defaultdict
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from services.runtime.errors import InternalFailure, InvalidInput, SensoriumError, Unavailable
from services.runtime.memory import release_free_memory
from services.runtime.telemetry import metrics, span
from services.search.claims import Claims
from services.search.erasure import Erasure, loosen
from services.search.filters import Scope
from services.search.indexes import IndexPolicy
from services.search.lease import Lease, writer_changed
from services.search.maintenance import IndexBuilder
from services.search.record import Record
from services.search.schema import KEY, to_arrow
from services.search.tables import DATABASE_ERRORS, AsyncTable, Tables

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WriterOptions:
    """Bounds and schedule of the writer."""

    queue_count: int = 16
    """Calls that wait; then ``write`` waits."""
    commit_rows: int = 2000
    """Most rows of one commit."""
    compact_commits: int = 32
    """A table is compacted after this many commits ..."""
    compact_share: float = 0.2
    """... and not before that takes at most this share of the time spent writing ..."""
    compact_commits_max: int = 256
    """... but after this many in any case."""
    keep_versions: timedelta = timedelta(seconds=30)
    """Old versions live this long: longer than any read, which holds one."""
    idle_s: float = 60.0
    """With nothing to write for so long, what was written is compacted."""
    indexes: IndexPolicy = field(default_factory=IndexPolicy)
    """Looked at after each compaction."""
    erase_s: float = 3600.0
    """So long after a deletion, at most, the deleted rows are out of the files too, but for
    ``keep_versions``; with nothing to write it is ``idle_s`` ..."""
    erase_rows: int = 20_000
    """... for those in fragments of at most so many rows: it takes seconds for 100,000."""


@dataclass(slots=True)
class _Write:
    space: str
    records: Sequence[Record]
    done: asyncio.Future[list[InvalidInput | None]]
    queued_s: float = field(default_factory=time.monotonic)


@dataclass(slots=True)
class _Delete:
    scope: Scope
    done: asyncio.Future[int]
    queued_s: float = field(default_factory=time.monotonic)


@dataclass(slots=True)
class _Work:
    """What was written to a table since its last compaction, and what that took."""

    commit_count: int = 0
    write_s: float = 0.0
    last_compact_s: float = 0.0
    erasure: Erasure = field(default_factory=Erasure)


@dataclass(slots=True)
class IndexWriter:
    """Start it once; ``write`` and ``delete`` return when the change is durable, and
    raise Unavailable INDEX_WRITER_CHANGED while another process holds the lease."""

    tables: Tables
    lease: Lease
    options: WriterOptions = field(default_factory=WriterOptions)
    _queue: asyncio.Queue[_Write | _Delete | None] = field(init=False)
    _builder: IndexBuilder = field(init=False)
    _claims: Claims = field(init=False)
    _works: defaultdict[str, _Work] = field(default_factory=lambda: defaultdict(_Work))
    _task: asyncio.Task[None] | None = None
    _next: _Write | _Delete | None = None

    def __post_init__(self) -> None:
        self._queue = asyncio.Queue(self.options.queue_count)
        self._builder = IndexBuilder(self.tables, self.options.indexes)
        self._claims = Claims(self.tables, self.lease)

    async def start(self) -> None:
        """Starts the task. The tables are connected."""
        if self.lease.remaining_s():
            await self._begin()
        self._task = asyncio.create_task(self._run(), name="index-writer")

    async def stop(self) -> None:
        """Does what waits, then ends."""
        if self._task is not None:
            await self._queue.put(None)
            await self._task
            self._task = None
        await self._builder.stop()
        self._claims.close()

    async def write(self, space: str, records: Sequence[Record]) -> list[InvalidInput | None]:
        """Indexes records, replacing those of the same key; a key given twice
        keeps the last. Returns, for each record, None or why it was refused.
        Raises InternalFailure INDEX_WRITE_FAILED, Unavailable INDEX_CLOSED."""
        done: asyncio.Future[list[InvalidInput | None]] = asyncio.get_running_loop().create_future()
        await self._submit(_Write(space, records, done))
        return await done

    async def delete(self, scope: Scope) -> int:
        """Deletes all rows of a scope in every space; returns how many. Raises
        as ``write``."""
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        await self._submit(_Delete(scope, done))
        return await done

    def building(self, space: str) -> bool:
        """Whether an index of this space is being built."""
        return self._builder.building(space)

    async def _submit(self, job: _Write | _Delete) -> None:
        if self._task is None or self._task.done():
            raise Unavailable("INDEX_CLOSED", "The index is closed; try again later.")
        await self._queue.put(job)

    async def _run(self) -> None:
        try:
            while (job := await self._take()) is not None:
                if isinstance(job, _Delete):
                    await self._finish_job([job], self._do_delete(job))
                else:
                    writes = self._gather(job)
                    await self._finish_job(writes, self._do_write(writes))
        finally:
            self._refuse_waiting()

    async def _finish_job(
        self, jobs: "Sequence[_Write | _Delete]", work: Coroutine[Any, Any, None]
    ) -> None:
        """Do the work of jobs to its end, whatever that is: a failure is theirs alone, also
        one that nobody thought of."""
        task = asyncio.create_task(work)
        await asyncio.wait({task})
        if (error := task.exception()) is not None:
            ours = self._failure(error)
            for job in jobs:
                _fail(job.done, ours)

    async def _begin(self) -> None:
        """Before each job. Raises Unavailable INDEX_WRITER_CHANGED."""
        if await self._claims.renew():
            for space in self._claims:
                if await self.tables.fragments_with_deletions(space):
                    # Who wrote before may have ended before it erased them.
                    work = self._works[space]
                    work.commit_count += 1
                    work.erasure.due_at_s = time.perf_counter() + self.options.erase_s
                self._builder.start(space)

    async def _take(self) -> _Write | _Delete | None:
        job, self._next = self._next, None
        while job is None and any(work.commit_count for work in self._works.values()):
            try:
                # wait_for of Python 3.11 may lose a cancel.
                async with asyncio.timeout(self.options.idle_s):
                    return await self._queue.get()
            except TimeoutError:
                for space, work in self._works.items():
                    if work.commit_count and not self._builder.building(space):
                        await self._compact(space)
        return job if job is not None else await self._queue.get()

    def _gather(self, first: _Write) -> list[_Write]:
        """The writes to the same space that wait now, in their order."""
        writes, rows = [first], len(first.records)
        while rows < self.options.commit_rows and not self._queue.empty():
            job = self._queue.get_nowait()
            if not isinstance(job, _Write) or job.space != first.space:
                self._put_back(job)
                break
            writes.append(job)
            rows += len(job.records)
        return writes

    def _put_back(self, job: _Write | _Delete | None) -> None:
        if job is None:
            # The end was queued last; nothing can have come after it.
            self._queue.put_nowait(None)
        else:
            self._next = job

    async def _do_write(self, writes: list[_Write]) -> None:
        space = writes[0].space
        for write in writes:
            metrics.index_queue_wait.record(time.monotonic() - write.queued_s, {"kind": "write"})
        records = [record for write in writes for record in write.records]
        with span("search.commit", row_count=len(records)):
            refusals = await self._commit(space, records)
        start = 0
        for write in writes:
            if not write.done.done():
                write.done.set_result(refusals[start : start + len(write.records)])
            start += len(write.records)
        await self._compact_if_due(space)

    async def _commit(self, space: str, records: list[Record]) -> list[InvalidInput | None]:
        if not records:
            return []
        await self._begin()
        began = time.perf_counter()
        await self._claims.find_or_create(space, len(records[0].vector))
        dimension = self.tables.dimension(space) or 0
        refusals = [_refusal(record, dimension) for record in records]
        fitting = zip(records, refusals, strict=True)
        last = {record.key: record for record, refusal in fitting if refusal is None}
        if last:
            rows = await asyncio.to_thread(to_arrow, list(last.values()), dimension)
            table = await self._claims.newest(space)
            merge = table.merge_insert(KEY).when_matched_update_all().when_not_matched_insert_all()
            remaining_s = self._claims.require()
            timeout = None if math.isinf(remaining_s) else timedelta(seconds=remaining_s)
            await merge.execute(rows, timeout=timeout)
            await self._finish(space, began, "write", len(rows))
        return refusals

    async def _do_delete(self, job: _Delete) -> None:
        metrics.index_queue_wait.record(time.monotonic() - job.queued_s, {"kind": "delete"})
        condition, count = job.scope.sql(), 0
        await self._begin()
        for space in self._claims:
            table = await self._claims.newest(space)
            found = await table.count_rows(condition)
            if found:
                began = time.perf_counter()
                erasure = self._works[space].erasure
                erasure.due_at_s = min(erasure.due_at_s, began + self.options.erase_s)
                self._claims.require()
                await table.delete(condition)
                await self._finish(space, began, "delete", found)
                count += found
        if not job.done.done():
            job.done.set_result(count)
        for space in self._claims:
            await self._compact_if_due(space)

    async def _finish(self, space: str, began: float, kind: str, row_count: int) -> None:
        """Makes a commit durable and counts it. Raises Unavailable INDEX_WRITER_CHANGED."""
        await self._claims.sync(space)
        duration_s = time.perf_counter() - began
        work = self._works[space]
        work.commit_count += 1
        work.write_s += duration_s
        metrics.index_commit_duration.record(duration_s, {"kind": kind})
        metrics.index_rows.add(row_count, {"kind": kind})

    def _failure(self, error: BaseException) -> SensoriumError:
        """What the callers of a failed commit are told."""
        if isinstance(error, Unavailable):
            return error
        log.error("a commit failed", exc_info=error)
        if not self._claims.remaining_s():
            return writer_changed()
        return InternalFailure("INDEX_WRITE_FAILED", "The index could not be changed.")

    async def _compact_if_due(self, space: str) -> None:
        work, options = self._works[space], self.options
        if self._builder.building(space):
            return
        if work.erasure.is_due(time.perf_counter()):
            await self._compact(space)
        if work.commit_count < options.compact_commits:
            return
        # A large table takes long to compact; doing it ever so often would cost
        # more than all the writing.
        worth = work.last_compact_s <= options.compact_share * work.write_s
        if not worth and work.commit_count < options.compact_commits_max:
            return
        await self._compact(space)

    async def _compact(self, space: str) -> None:
        work = self._works[space]
        if not self._claims.remaining_s():
            work.commit_count, work.write_s = 0, 0.0
            return
        began = time.perf_counter()
        try:
            with span("search.compact", commit_count=work.commit_count):
                table = await self._claims.newest(space)
                erased = await self._loosen_deleted(space, table)
                await table.optimize(cleanup_older_than=self.options.keep_versions)
            self._note_erasure(work.erasure, erased)
            await asyncio.to_thread(release_free_memory)
        except DATABASE_ERRORS:
            # Compaction changes no row; the next one may succeed.
            log.exception("compaction failed")
        work.last_compact_s = time.perf_counter() - began
        metrics.index_compaction_duration.record(work.last_compact_s)
        # As long as something is to be erased there is another one to come.
        work.commit_count, work.write_s = int(work.erasure.is_pending), 0.0
        self._builder.start(space)

    async def _loosen_deleted(self, space: str, table: AsyncTable) -> bool:
        """Whether this compaction erases all that was deleted, if anything was."""
        due_at_s = self._works[space].erasure.due_at_s
        if math.isinf(due_at_s):
            return False
        row_count_max = math.inf if time.perf_counter() >= due_at_s else self.options.erase_rows
        fragments = await self.tables.fragments_with_deletions(space)
        return await loosen(table, fragments, row_count_max)

    def _note_erasure(self, erasure: Erasure, erased: bool) -> None:
        now_s = time.perf_counter()
        if erased:
            erasure.due_at_s = math.inf
            erasure.cleanup_at_s = now_s + self.options.keep_versions.total_seconds()
        elif now_s >= erasure.cleanup_at_s:
            erasure.cleanup_at_s = math.inf

    def _refuse_waiting(self) -> None:
        error = Unavailable("INDEX_CLOSED", "The index is closed; try again later.")
        if self._next is not None:
            _fail(self._next.done, error)
        while not self._queue.empty():
            job = self._queue.get_nowait()
            if job is not None:
                _fail(job.done, error)


def _refusal(record: Record, dimension: int) -> InvalidInput | None:
    if len(record.vector) == dimension:
        return None
    return InvalidInput(
        "DIMENSION_MISMATCH",
        f"Vectors of this space have {dimension} numbers.",
        subject="document.embedding.dimension",
    )


def _fail(
    done: "asyncio.Future[list[InvalidInput | None]] | asyncio.Future[int]", error: SensoriumError
) -> None:
    if not done.done():
        done.set_exception(error)
