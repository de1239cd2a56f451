"""One vector for all that a turn perceived."""

from collections.abc import Iterable, Sequence

import numpy as np

from services.fuse.lines import Line
from services.fuse.model import Vector
from services.fuse.weighting import Weights

# All segments without evidence together: they were seen, but said nothing.
SILENT_SEGMENTS_SHARE = 0.1

_MIN_LENGTH = 1e-6


def fuse(lines: Sequence[Line], weights: Weights, silent: Iterable[Vector]) -> Vector | None:
    """Returns the weighted mean of the vectors of lines and of segments, unit
    length, float32 [dimension]; None where there is none.

    A line stands for the segments it came from; the vectors of segments in
    which nothing was observed (``silent``) share ``SILENT_SEGMENTS_SHARE`` of
    the weight evenly, or all of it where there is no evidence.
    """
    said = _weighted_sum(lines, weights)
    seen = _mean(silent)
    if said is None or seen is None:
        return _unit(said if seen is None else seen)
    return _unit((1.0 - SILENT_SEGMENTS_SHARE) * said + SILENT_SEGMENTS_SHARE * seen)


def _weighted_sum(lines: Sequence[Line], weights: Weights) -> np.ndarray | None:
    total: np.ndarray | None = None
    for line, weight in zip(lines, weights.weight, strict=True):
        vector = _mean(piece.vector for piece in line.pieces if piece.vector is not None)
        if vector is not None:
            total = weight * vector if total is None else total + weight * vector
    return total


def _mean(vectors: Iterable[Vector]) -> np.ndarray | None:
    total: np.ndarray | None = None
    count = 0
    for vector in vectors:
        total = vector.astype(np.float64) if total is None else total + vector
        count += 1
    return None if total is None else total / count


def _unit(vector: np.ndarray | None) -> Vector | None:
    if vector is None:
        return None
    length = float(np.linalg.norm(vector))
    if length < _MIN_LENGTH:
        return None
    return (vector / length).astype(np.float32)
