"""Several things that are looked for, as one query.

Vectors of one space are mixed before the search: the cosines to the parts, each
times its weight, add up to the dot product with the weighed sum of the parts, so
one nearest-neighbour search by that sum finds the best of all documents. Lists of
full text have no common scale with cosines; they are fused by rank (``ranking``).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from services.runtime.errors import InvalidInput
from services.search.record import Vector

# A sum that is shorter beside its parts points nowhere in particular.
_LENGTH_MIN = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class WeightedVector:
    """A vector to be near to, of unit length, and how much it counts, above 0."""

    vector: Vector
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class WeightedText:
    """Words to find, and how much they count, above 0."""

    text: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Direction:
    """What the vectors of a query point at together: ``vector`` of unit length.

    ``length`` is that of the weighed mean of the parts, 0 to 1: a cosine with
    ``vector`` times it is the weighed mean of the cosines with the parts.
    ``weight`` is that of all parts together.
    """

    vector: Vector
    length: float = 1.0
    weight: float = 1.0


def mix(parts: Sequence[WeightedVector]) -> Direction:
    """The direction of vectors of one length. Raises InvalidInput PARTS_OPPOSED."""
    if len(parts) == 1:
        return Direction(parts[0].vector, 1.0, parts[0].weight)
    weights = np.array([part.weight for part in parts], dtype=np.float64)
    total = float(weights.sum())
    mean = (weights / total) @ np.stack([part.vector for part in parts]).astype(np.float64)
    length = float(np.linalg.norm(mean))
    if length < _LENGTH_MIN:
        raise InvalidInput(
            "PARTS_OPPOSED",
            "The parts of the query point in opposite directions and leave nothing to look for.",
            subject="query.parts",
        )
    return Direction((mean / length).astype(np.float32), length, total)
