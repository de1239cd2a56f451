"""Pictures that look alike, by the Hamming distance of their perceptual hashes.

A scan of one column: 64-bit numbers of a million rows are 8 MB, and counting
their bits takes milliseconds, so an index over them would be more to keep than
to gain.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from services.search.filters import Scope
from services.search.record import Region, Span
from services.search.schema import PERCEPTUAL_HASH, signed_hash

LOOK_ALIKES_MAX = 1000

# Of more equal pictures than this, which are returned is left to the database.
_ROWS_MAX = 16 * LOOK_ALIKES_MAX
# Rows times hashes that are compared at once: bounds the memory, 9 bytes each.
_DISTANCES_A_STEP = 1 << 20

_SPAN = ("span_start_ms", "span_end_ms")
_REGION = ("region_left_px", "region_top_px", "region_width_px", "region_height_px")

Hashes = np.ndarray[Any, np.dtype[np.uint64]]


@dataclass(frozen=True, slots=True)
class LookAlike:
    """A picture or frame that looks like the ``query_index``-th of those given:
    they differ in ``distance`` of 64 bits."""

    asset_id: str
    document_id: str
    span: Span | None
    region: Region | None
    distance: int
    query_index: int


async def find_look_alikes(
    table: Any, scope: Scope, hashes: Sequence[int], distance_max: int
) -> list[LookAlike]:
    """The rows of a scope that look like any of ``hashes``, nearest first."""
    condition = f"{scope.sql()} AND {PERCEPTUAL_HASH} IS NOT NULL"
    scanned = await table.query().where(condition).select([PERCEPTUAL_HASH]).to_arrow()
    near = await asyncio.to_thread(_near, scanned, hashes, distance_max)
    if not near:
        return []
    # As a bare number the least of them would be read as a float.
    values = ", ".join(f"CAST('{signed_hash(value)}' AS BIGINT)" for value in near)
    # The scope again: these rows are read anew.
    condition = f"{scope.sql()} AND {PERCEPTUAL_HASH} IN ({values})"
    columns = ["asset_id", "document_id", PERCEPTUAL_HASH, *_SPAN, *_REGION]
    rows = await table.query().where(condition).select(columns).limit(_ROWS_MAX).to_arrow()
    found = [_look_alike(row, near) for row in rows.to_pylist()]
    return sorted(found, key=_order)[:LOOK_ALIKES_MAX]


def _near(rows: pa.Table, hashes: Sequence[int], distance_max: int) -> dict[int, tuple[int, int]]:
    """The hashes among the rows that are near enough, the nearest ``LOOK_ALIKES_MAX``
    at most, each with its distance and the index of the one that it is near to."""
    stored: Hashes = rows.column(PERCEPTUAL_HASH).to_numpy().astype(np.int64).view(np.uint64)
    wanted: Hashes = np.array(hashes, dtype=np.uint64)
    step = max(1, _DISTANCES_A_STEP // len(wanted))
    parts = [stored[start : start + step] for start in range(0, len(stored), step)]
    near = [part[_distances(part, wanted).min(axis=1) <= distance_max] for part in parts]
    values = np.unique(np.concatenate([stored[:0], *near]))
    distances = _distances(values, wanted)
    order = np.argsort(distances.min(axis=1), kind="stable")[:LOOK_ALIKES_MAX]
    return {int(values[i]): (int(distances[i].min()), int(distances[i].argmin())) for i in order}


def _distances(stored: Hashes, wanted: Hashes) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Of each to each, shape (stored, wanted)."""
    distances: np.ndarray[Any, np.dtype[np.uint8]] = np.bitwise_count(
        stored[:, None] ^ wanted[None, :]
    )
    return distances


def _look_alike(row: dict[str, Any], near: dict[int, tuple[int, int]]) -> LookAlike:
    distance, query_index = near[row[PERCEPTUAL_HASH] % (1 << 64)]
    span = [row[name] for name in _SPAN]
    region = [row[name] for name in _REGION]
    return LookAlike(
        asset_id=row["asset_id"],
        document_id=row["document_id"],
        span=None if span[0] is None else Span(*span),
        region=None if region[0] is None else Region(*region),
        distance=distance,
        query_index=query_index,
    )


def _order(found: LookAlike) -> tuple[int, str, int, str]:
    start_ms = found.span.start_ms if found.span else 0
    return found.distance, found.asset_id, start_ms, found.document_id
