"""The nearest rows to a vector, by the index if the table has one."""

from typing import Any

from services.search.indexes import DISTANCE, Size, choose_probe, partition_count
from services.search.record import Vector
from services.search.schema import VECTOR
from services.search.tables import AsyncTable, indexes_of

# A query of LanceDB, which has no stubs.
VectorQuery = Any


async def nearest_to(table: AsyncTable, vector: Vector, condition: str, limit: int) -> VectorQuery:
    """A query for the rows nearest to ``vector``, set up to find ``limit`` of those for
    which ``condition`` holds. Their ``_distance`` is 1 less the cosine."""
    query = table.query().nearest_to(vector).column(VECTOR).distance_type(DISTANCE)
    partitions = partition_count(await indexes_of(table))
    if not partitions:
        return query
    size = Size(await table.count_rows(), await table.count_rows(condition), partitions)
    probe = choose_probe(size, limit)
    if probe is None:
        return query.bypass_vector_index()
    return query.nprobes(probe.partition_count).refine_factor(probe.refine_factor)
