"""The nearest rows to a vector, by the index if the table has one."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from services.search.indexes import DISTANCE, Size, choose_probe, partition_count
from services.search.record import Vector
from services.search.schema import VECTOR
from services.search.tables import AsyncTable, indexes_of

# A query of LanceDB, which has no stubs.
VectorQuery = Any

# To count costs a millisecond, and decides only how much of an index is read.
COUNTED_FOR_S = 1.0
_COUNTS_MAX = 1024


@dataclass(slots=True)
class Nearest:
    """Sets up searches by vector. What it has counted it trusts for ``COUNTED_FOR_S``."""

    clock: Callable[[], float] = time.monotonic
    _sizes: dict[tuple[str, str], tuple[float, Size]] = field(default_factory=dict)

    async def query(
        self, table: AsyncTable, vector: Vector, condition: str, limit: int
    ) -> VectorQuery:
        """A query for the rows nearest to ``vector``, set up to find ``limit`` of those
        for which ``condition`` holds. Their ``_distance`` is 1 less the cosine."""
        query = table.query().nearest_to(vector).column(VECTOR).distance_type(DISTANCE)
        size = await self._size(table, condition)
        if size is None:
            return query
        probe = choose_probe(size, limit)
        if probe is None:
            return query.bypass_vector_index()
        return query.nprobes(probe.partition_count).refine_factor(probe.refine_factor)

    async def _size(self, table: AsyncTable, condition: str) -> Size | None:
        """None while the table has no index, which is looked for anew each time."""
        key = (table.name, condition)
        counted_s, size = self._sizes.get(key, (0.0, None))
        if size is not None and self.clock() - counted_s < COUNTED_FOR_S:
            return size
        partitions = partition_count(await indexes_of(table))
        if not partitions:
            return None
        size = Size(await table.count_rows(), await table.count_rows(condition), partitions)
        if len(self._sizes) >= _COUNTS_MAX:
            self._sizes.clear()
        self._sizes[key] = self.clock(), size
        return size
