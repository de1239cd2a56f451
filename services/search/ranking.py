"""Orders what was found, the same every time."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from services.search.record import Record, Vector

# The constant of reciprocal rank fusion as published.
RRF_CONSTANT = 60

# Cosines closer than this are rounding; the document's id decides then.
_DECIMALS = 6


@dataclass(frozen=True, slots=True, eq=False)
class Hit:
    """A document found. ``similarity`` is its cosine with the query, 0 without a
    query vector; hits are ordered by ``score``."""

    record: Record
    similarity: float
    score: float


def by_similarity(records: Sequence[Record], query: Vector) -> list[Hit]:
    """Exact cosines, best first; equal ones by id."""
    if not records:
        return []
    matrix = np.stack([record.vector for record in records]).astype(np.float64)
    cosines = np.clip(matrix @ query.astype(np.float64), -1.0, 1.0)
    hits = [
        Hit(record, cosine, cosine)
        for record, cosine in zip(records, cosines.tolist(), strict=True)
    ]
    return sorted(hits, key=_order)


def by_text_score(records: Sequence[Record], scores: Sequence[float]) -> list[Hit]:
    """BM25 scores as the database gave them, best first; equal ones by id."""
    hits = [Hit(record, 0.0, score) for record, score in zip(records, scores, strict=True)]
    return sorted(hits, key=_order)


def fuse_ranks(by_vector: Sequence[Hit], by_text: Sequence[Hit], query: Vector) -> list[Hit]:
    """Reciprocal rank fusion of two lists (Cormack, Clarke, Buettcher 2009,
    "Reciprocal Rank Fusion outperforms Condorcet and individual Rank Learning
    Methods"): a document scores the sum of 1 / (60 + rank) over the lists that
    hold it."""
    records = {hit.record.key: hit.record for hit in (*by_text, *by_vector)}
    scores = dict.fromkeys(records, 0.0)
    for ranked in (by_vector, by_text):
        for rank, hit in enumerate(ranked, start=1):
            scores[hit.record.key] += 1.0 / (RRF_CONSTANT + rank)
    cosines = {hit.record.key: hit for hit in by_similarity(list(records.values()), query)}
    hits = [Hit(records[key], cosines[key].similarity, score) for key, score in scores.items()]
    return sorted(hits, key=_order)


def _order(hit: Hit) -> tuple[float, str]:
    return -round(hit.score, _DECIMALS), hit.record.document_id
