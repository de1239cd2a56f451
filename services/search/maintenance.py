"""Builds the indexes of tables beside the writing.

A build takes from a second to minutes. Meanwhile rows are written and searched as
ever; those that come after its beginning are left to the next compaction. Only
compaction has to wait, because it would move the rows that are being indexed.
"""

import asyncio
import logging
import time

from services.runtime.memory import release_free_memory
from services.runtime.telemetry import span
from services.search.indexes import IndexPolicy, superseded
from services.search.tables import DATABASE_ERRORS, Tables, build_index, indexes_of

log = logging.getLogger(__name__)


class IndexBuilder:
    """Keeps the indexes of tables as a policy wants them. Only the writer uses it."""

    def __init__(self, tables: Tables, policy: IndexPolicy) -> None:
        self._tables = tables
        self._policy = policy
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def building(self, space: str) -> bool:
        """Whether an index of this space is being built."""
        return space in self._tasks and not self._tasks[space].done()

    def start(self, space: str) -> None:
        """Begins to build what the table of a space lacks, unless that goes on already."""
        if not self.building(space):
            self._tasks[space] = asyncio.create_task(self._build(space), name=f"index-{space}")

    async def stop(self) -> None:
        """Gives up what is not finished; it is begun again after the next start."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._tasks = {}

    async def _build(self, space: str) -> None:
        table = await self._tables.find(space)
        if table is None:
            return
        try:
            row_count = await table.count_rows()
            missing = self._policy.missing(row_count, await indexes_of(table))
            for index in missing:
                began = time.perf_counter()
                with span("search.build_index", index=index.name, row_count=row_count):
                    await build_index(table, index)
                duration_s = time.perf_counter() - began
                log.info(
                    "%s: built %s of %d rows in %.1f s", space, index.name, row_count, duration_s
                )
            for index in superseded(await indexes_of(table)):
                await table.drop_index(index.name)
            if missing:
                # The clustering of the vectors took much of it.
                await asyncio.to_thread(release_free_memory)
        except DATABASE_ERRORS:
            # Searches do without; it is tried again after the next compaction.
            log.exception("%s: an index could not be built", space)
