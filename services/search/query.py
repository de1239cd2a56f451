"""Finds documents: by vector, by text, or by both."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from services.runtime.errors import InternalFailure, InvalidInput
from services.search.filters import Scope, quote_all
from services.search.mixing import Direction, WeightedText, WeightedVector, mix
from services.search.near_duplicates import LookAlike, find_look_alikes
from services.search.nearest import Nearest
from services.search.ranking import Hit, Ranked, by_similarity, by_text_score, fuse_ranks
from services.search.record import Record
from services.search.schema import COLUMNS, KEY, READ_COLUMNS, TEXT, from_arrow, lacks_documents
from services.search.tables import DATABASE_ERRORS, Tables

log = logging.getLogger(__name__)

# Equal documents are common (the same word seen in many frames). More are read
# than asked for, so that which of them are returned is decided by their ids; of
# more equal ones than this, which of them are returned is left to the database.
SPARE_ROWS = 8
_TIED_ROWS_MAX = 8192
_FEW_ROWS = 32
_TIE = 1e-5

# So many of each list are fused, however many hits are asked for: the order of a
# fusion depends on it, and that of one page must be that of the next.
FUSION_DEPTH = 256


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """What to find: ``vectors``, ``texts`` or both; at most ``top_k`` hits within the
    scope, of at least ``similarity_min``, after the best ``offset``."""

    scope: Scope
    vectors: Sequence[WeightedVector] = ()
    texts: Sequence[WeightedText] = ()
    top_k: int = 10
    offset: int = 0
    similarity_min: float | None = None


@dataclass(frozen=True, slots=True)
class AssetCount:
    """Documents of an asset, and how many of them repeat the key of another one."""

    documents: int = 0
    repeated: int = 0

    def __add__(self, other: "AssetCount") -> "AssetCount":
        return AssetCount(self.documents + other.documents, self.repeated + other.repeated)


@dataclass(slots=True)
class Searcher:
    """Reads the index. Reads are consistent: they see every acknowledged write."""

    tables: Tables
    _nearest: Nearest = field(default_factory=Nearest)

    async def search(self, space: str, query: Query) -> list[Hit]:
        """Returns the hits, best first; none where nothing was indexed yet.
        Raises InvalidInput DIMENSION_MISMATCH, InternalFailure SEARCH_FAILED."""
        table = await self.tables.find(space)
        if table is None:
            return []
        dimension = self.tables.dimension(space)
        if any(len(part.vector) != dimension for part in query.vectors):
            raise InvalidInput(
                "DIMENSION_MISMATCH",
                f"Vectors of this space have {dimension} numbers.",
                subject="query.embedding.dimension",
            )
        try:
            hits = await _search(table, self._nearest, query)
        except DATABASE_ERRORS as error:
            log.exception("a search failed")
            raise InternalFailure("SEARCH_FAILED", "The search failed.") from error
        least = query.similarity_min
        if least is not None:
            hits = [hit for hit in hits if hit.similarity >= least]
        return hits[query.offset : query.offset + query.top_k]

    async def list_assets(
        self, space: str, tenant_id: str, asset_ids: Sequence[str]
    ) -> list[Record]:
        """All documents of assets, in the order of the assets and of time in each.
        Raises InternalFailure SEARCH_FAILED."""
        table = await self.tables.find(space)
        if table is None:
            return []
        scope = Scope(tenant_id, asset_ids=asset_ids)
        try:
            rows = await _rows(table.query().where(scope.sql()))
        except DATABASE_ERRORS as error:
            log.exception("a listing failed")
            raise InternalFailure("SEARCH_FAILED", "The documents could not be read.") from error
        records = await asyncio.to_thread(from_arrow, rows)
        place = {asset_id: index for index, asset_id in enumerate(asset_ids)}
        return sorted(records, key=lambda record: (place[record.asset_id], record.order))

    async def look_alikes(
        self, space: str, scope: Scope, hashes: Sequence[int], distance_max: int
    ) -> list[LookAlike]:
        """The pictures and frames of a scope whose perceptual hash differs from one of
        ``hashes`` in at most ``distance_max`` bits, nearest first. Raises
        InternalFailure SEARCH_FAILED."""
        table = await self.tables.find(space)
        if table is None:
            return []
        try:
            return await find_look_alikes(table, scope, hashes, distance_max)
        except DATABASE_ERRORS as error:
            log.exception("a search for look-alikes failed")
            raise InternalFailure("SEARCH_FAILED", "The search failed.") from error

    async def count_by_asset(self, tenant_id: str) -> dict[str, AssetCount]:
        """How many documents a tenant has of each asset, in all spaces. Raises
        InternalFailure SEARCH_FAILED."""
        condition = Scope(tenant_id).sql()
        counts: dict[str, AssetCount] = {}
        for space in await self.tables.spaces():
            table = await self.tables.find(space)
            if table is None:
                continue
            try:
                rows = await table.query().where(condition).select([KEY, "asset_id"]).to_arrow()
            except DATABASE_ERRORS as error:
                log.exception("a count failed")
                raise InternalFailure(
                    "SEARCH_FAILED", "The documents could not be counted."
                ) from error
            for asset_id, found in (await asyncio.to_thread(_count_by_asset, rows)).items():
                counts[asset_id] = counts.get(asset_id, AssetCount()) + found
        return counts

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


def _count_by_asset(rows: pa.Table) -> dict[str, AssetCount]:
    grouped = rows.group_by("asset_id").aggregate([(KEY, "count"), (KEY, "count_distinct")])
    columns = ("asset_id", f"{KEY}_count", f"{KEY}_count_distinct")
    found = zip(*(grouped.column(name).to_pylist() for name in columns), strict=True)
    return {asset_id: AssetCount(count, count - distinct) for asset_id, count, distinct in found}


async def _search(table: Any, nearest: Nearest, query: Query) -> list[Hit]:
    """At least the best ``offset + top_k``, best first."""
    direction = mix(query.vectors) if query.vectors else None
    count = query.offset + query.top_k
    if direction is not None and not query.texts:
        return await _by_vector(table, nearest, query.scope, direction, count)
    if direction is None and len(query.texts) == 1:
        return await _by_text(table, query.scope, query.texts[0].text, count)
    scope = query.scope
    if direction is not None:
        # Labels are our own words for what the vectors tell already.
        scope = replace(scope, excluded_origins=(*scope.excluded_origins, "label"))
    searches = [_by_text(table, scope, each.text, FUSION_DEPTH) for each in query.texts]
    weights = [each.weight for each in query.texts]
    if direction is not None:
        searches.append(_by_vector(table, nearest, query.scope, direction, FUSION_DEPTH))
        weights.append(direction.weight)
    lists = await asyncio.gather(*searches)
    ranked = [Ranked(hits, weight) for hits, weight in zip(lists, weights, strict=True)]
    return fuse_ranks(ranked, direction)


async def _by_vector(
    table: Any, nearest: Nearest, scope: Scope, direction: Direction, count: int
) -> list[Hit]:
    near = await nearest.query(table, direction.vector, scope.sql(), count + SPARE_ROWS)
    records, _ = await _read(table, near, scope, "_distance", count)
    return by_similarity(records, direction)[:count]


async def _by_text(table: Any, scope: Scope, text: str, count: int) -> list[Hit]:
    from lancedb.query import MatchQuery

    # A MatchQuery is words only: what the client wrote is never parsed as a query.
    words = MatchQuery(query=text, column=TEXT)  # type: ignore[call-arg]
    matching = table.query().nearest_to_text(words)
    records, scores = await _read(table, matching, scope, "_score", count)
    return by_text_score(records, scores)[:count]


async def _read(
    table: Any, query: Any, scope: Scope, rank_column: str, count: int
) -> tuple[list[Record], list[float]]:
    """The best ``count`` rows with their ranks, and those as good as the last."""
    scoped = query.where(scope.sql())
    limit = count + SPARE_ROWS
    rows = await _rows(scoped.limit(limit), rank_column)
    ranks: list[float] = rows.column(rank_column).to_pylist()
    if len(ranks) == limit and abs(ranks[-1] - ranks[count - 1]) < _TIE:
        keys = await _best_keys(scoped, rank_column, count)
        condition = f"{scope.sql()} AND {KEY} IN ({quote_all(list(keys))})"
        rows = await _rows(table.query().where(condition))
        records = await asyncio.to_thread(from_arrow, rows)
        return records, [keys[record.key] for record in records]
    kept = _count_kept(ranks, count)
    rows = rows.slice(0, kept)
    # A few take less time than to hand them to a thread.
    few = kept <= _FEW_ROWS
    records = from_arrow(rows) if few else await asyncio.to_thread(from_arrow, rows)
    return records, ranks[:kept]


async def _rows(query: Any, *rank_columns: str) -> pa.Table:
    """What a query finds, with all that makes a record."""
    rows: pa.Table = await query.select([*READ_COLUMNS, *rank_columns]).to_arrow()
    if lacks_documents(rows):
        rows = await query.select([*COLUMNS, *rank_columns]).to_arrow()
    return rows


def _count_kept(ranks: Sequence[float], count: int) -> int:
    """How many of the rows, best first, may be among the best ``count``."""
    kept = min(count, len(ranks))
    while kept < len(ranks) and abs(ranks[kept] - ranks[count - 1]) < _TIE:
        kept += 1
    return kept


async def _best_keys(scoped: Any, rank_column: str, count: int) -> dict[str, float]:
    """The keys of the best ``count`` rows and their ranks, where so many are equal
    that they did not all fit. Only keys are read; equal ones rank by key."""
    if rank_column == "_distance":
        # So many candidates are enough; more of them need not be compared.
        scoped = scoped.refine_factor(1)
    rows = await scoped.select([KEY, rank_column]).limit(_TIED_ROWS_MAX).to_arrow()
    ranks = rows.column(rank_column).to_pylist()
    # A distance falls towards the best, a score rises.
    sign = 1.0 if rank_column == "_distance" else -1.0
    ranked = sorted(
        zip(rows.column(KEY).to_pylist(), ranks, strict=True),
        key=lambda row: (round(sign * row[1] / _TIE), row[0]),
    )
    return dict(ranked[:count])
