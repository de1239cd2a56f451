"""Finds documents: by vector, by text, or by both."""

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from services.runtime.errors import InternalFailure, InvalidInput
from services.search.filters import Scope, quote_all
from services.search.ranking import Hit, by_similarity, by_text_score, fuse_ranks
from services.search.record import Record, Vector
from services.search.schema import COLUMNS, KEY, TEXT, VECTOR, from_arrow
from services.search.tables import Tables
from services.search.writer import DATABASE_ERRORS

log = logging.getLogger(__name__)

# Equal documents are common (the same word seen in many frames). More are read
# than asked for, so that which of them are returned is decided by their ids; of
# more equal ones than this, which of them are returned is left to the database.
_SPARE_ROWS = 64
_TIED_ROWS_MAX = 8192
_TIE = 1e-5

# Each list of a fusion is this much longer than what is asked for.
_FUSION_DEPTH = 4


@dataclass(frozen=True, slots=True)
class Query:
    """What to find: ``vector`` (float32 [dimension], unit length), ``text`` or
    both, at most ``top_k`` hits within the scope."""

    scope: Scope
    vector: Vector | None
    text: str
    top_k: int


@dataclass(slots=True)
class Searcher:
    """Reads the index. Reads are consistent: they see every acknowledged write."""

    tables: Tables

    async def search(self, space: str, query: Query) -> list[Hit]:
        """Returns the hits, best first; none where nothing was indexed yet.
        Raises InvalidInput DIMENSION_MISMATCH, InternalFailure SEARCH_FAILED."""
        table = await self.tables.find(space)
        if table is None:
            return []
        dimension = self.tables.dimension(space)
        if query.vector is not None and len(query.vector) != dimension:
            raise InvalidInput(
                "DIMENSION_MISMATCH",
                f"Vectors of this space have {dimension} numbers.",
                subject="query.embedding.dimension",
            )
        try:
            return (await _search(table, query))[: query.top_k]
        except DATABASE_ERRORS as error:
            log.exception("a search failed")
            raise InternalFailure("SEARCH_FAILED", "The search failed.") from error

    async def list_asset(self, space: str, tenant_id: str, asset_id: str) -> list[Record]:
        """All documents of an asset in order of time. Raises InternalFailure
        SEARCH_FAILED."""
        table = await self.tables.find(space)
        if table is None:
            return []
        scope = Scope(tenant_id, asset_ids=(asset_id,))
        try:
            rows = await table.query().where(scope.sql()).select(list(COLUMNS)).to_arrow()
        except DATABASE_ERRORS as error:
            log.exception("a listing failed")
            raise InternalFailure("SEARCH_FAILED", "The documents could not be read.") from error
        records = await asyncio.to_thread(from_arrow, rows)
        return sorted(records, key=lambda record: record.order)

    async def count(self, tenant_id: str) -> dict[str, int]:
        """How many documents a tenant has in each space where it has any."""
        condition = Scope(tenant_id).sql()
        counts: dict[str, int] = {}
        for space in await self.tables.spaces():
            table = await self.tables.find(space)
            count = await table.count_rows(condition) if table is not None else 0
            if count:
                counts[space] = count
        return counts


async def _search(table: Any, query: Query) -> list[Hit]:
    if query.vector is None:
        return await _by_text(table, query, query.top_k)
    if not query.text:
        return await _by_vector(table, query, query.vector, query.top_k)
    depth = _FUSION_DEPTH * query.top_k
    by_vector, by_text = await asyncio.gather(
        _by_vector(table, query, query.vector, depth), _by_text(table, query, depth)
    )
    return fuse_ranks(by_vector, by_text, query.vector)


async def _by_vector(table: Any, query: Query, vector: Vector, count: int) -> list[Hit]:
    nearest = table.query().nearest_to(vector).column(VECTOR).distance_type("dot")
    records, _ = await _read(table, nearest, query.scope, "_distance", count)
    return by_similarity(records, vector)[:count]


async def _by_text(table: Any, query: Query, count: int) -> list[Hit]:
    from lancedb.query import MatchQuery

    # A MatchQuery is words only: what the client wrote is never parsed as a query.
    words = MatchQuery(query=query.text, column=TEXT)  # type: ignore[call-arg]
    matching = table.query().nearest_to_text(words)
    records, scores = await _read(table, matching, query.scope, "_score", count)
    return by_text_score(records, scores)[:count]


async def _read(
    table: Any, query: Any, scope: Scope, rank_column: str, count: int
) -> tuple[list[Record], list[float]]:
    """The best ``count`` rows with their ranks, and some more."""
    scoped = query.where(scope.sql())
    limit = count + _SPARE_ROWS
    rows: pa.Table = await scoped.select([*COLUMNS, rank_column]).limit(limit).to_arrow()
    ranks: list[float] = rows.column(rank_column).to_pylist()
    if len(ranks) == limit and abs(ranks[-1] - ranks[count - 1]) < _TIE:
        keys = await _best_keys(scoped, rank_column, count)
        condition = f"{scope.sql()} AND {KEY} IN ({quote_all(list(keys))})"
        rows = await table.query().where(condition).select(list(COLUMNS)).to_arrow()
        records = await asyncio.to_thread(from_arrow, rows)
        return records, [keys[record.key] for record in records]
    return await asyncio.to_thread(from_arrow, rows), ranks


async def _best_keys(scoped: Any, rank_column: str, count: int) -> dict[str, float]:
    """The keys of the best ``count`` rows and their ranks, where so many are equal
    that they did not all fit. Only keys are read; equal ones rank by key."""
    rows = await scoped.select([KEY, rank_column]).limit(_TIED_ROWS_MAX).to_arrow()
    ranks = rows.column(rank_column).to_pylist()
    # A distance falls towards the best, a score rises.
    sign = 1.0 if rank_column == "_distance" else -1.0
    ranked = sorted(
        zip(rows.column(KEY).to_pylist(), ranks, strict=True),
        key=lambda row: (round(sign * row[1] / _TIE), row[0]),
    )
    return dict(ranked[:count])
