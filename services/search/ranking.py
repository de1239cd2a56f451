"""Orders what was found, the same every time."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from services.search.mixing import Direction
from services.search.record import Record

# The constant of reciprocal rank fusion as published.
RRF_CONSTANT = 60

# Cosines closer than this are rounding; the document's id decides then. Scores of a
# fusion lie closer together, and are exact.
_COSINE_DECIMALS = 6
_FUSION_DECIMALS = 12


@dataclass(frozen=True, slots=True, eq=False)
class Hit:
    """A document found. ``similarity`` is its cosine with the query, of several
    vectors the weighed mean, 0 without one; hits are ordered by ``score``."""

    record: Record
    similarity: float
    score: float


@dataclass(frozen=True, slots=True)
class Ranked:
    """A list, best first, and how much it counts in a fusion, above 0."""

    hits: Sequence[Hit]
    weight: float = 1.0


def by_similarity(records: Sequence[Record], direction: Direction) -> list[Hit]:
    """Exact cosines, best first; equal ones by id."""
    hits = [
        Hit(record, cosine, cosine)
        for record, cosine in zip(records, _similarities(records, direction), strict=True)
    ]
    return _sorted(hits, _COSINE_DECIMALS)


def by_text_score(records: Sequence[Record], scores: Sequence[float]) -> list[Hit]:
    """BM25 scores as the database gave them, best first; equal ones by id."""
    hits = [Hit(record, 0.0, score) for record, score in zip(records, scores, strict=True)]
    return _sorted(hits, _COSINE_DECIMALS)


def fuse_ranks(lists: Sequence[Ranked], direction: Direction | None) -> list[Hit]:
    """Weighed reciprocal rank fusion (Cormack, Clarke, Buettcher 2009, "Reciprocal
    Rank Fusion outperforms Condorcet and individual Rank Learning Methods"): a
    document scores the sum of weight / (60 + rank) over the lists that hold it,
    the largest weight counting as 1."""
    records = {hit.record.key: hit.record for ranked in lists for hit in ranked.hits}
    scores = dict.fromkeys(records, 0.0)
    largest = max(ranked.weight for ranked in lists)
    for ranked in lists:
        weight = ranked.weight / largest
        for rank, hit in enumerate(ranked.hits, start=1):
            scores[hit.record.key] += weight / (RRF_CONSTANT + rank)
    similarities = dict.fromkeys(records, 0.0)
    if direction is not None:
        found = _similarities(list(records.values()), direction)
        similarities = dict(zip(records, found, strict=True))
    hits = [Hit(records[key], similarities[key], score) for key, score in scores.items()]
    return _sorted(hits, _FUSION_DECIMALS)


def _similarities(records: Sequence[Record], direction: Direction) -> list[float]:
    if not records:
        return []
    matrix = np.stack([record.vector for record in records]).astype(np.float64)
    cosines = np.clip(matrix @ direction.vector.astype(np.float64), -1.0, 1.0)
    similarities: list[float] = (cosines * direction.length).tolist()
    return similarities


def _sorted(hits: list[Hit], decimals: int) -> list[Hit]:
    return sorted(hits, key=lambda hit: (-round(hit.score, decimals), hit.record.document_id))
