"""Checks the vectors of one fusion: all in one space, of one length."""

import numpy as np

from services.fuse.model import Vector
from services.runtime.errors import InvalidInput

_MIN_LENGTH = 1e-6


class VectorSpace:
    """The space of a fusion; the first vector names it."""

    def __init__(self) -> None:
        self.name = ""
        self.dimension = 0

    def read(self, space: str, dimension: int, data: bytes, *, subject: str) -> Vector:
        """Returns the little-endian float32 numbers in ``data`` as a vector of
        unit length, float32 [dimension].

        Raises InvalidInput VECTOR_MALFORMED, SPACE_MISMATCH, DIMENSION_MISMATCH.
        """
        if not space or dimension < 1 or len(data) != 4 * dimension:
            raise InvalidInput(
                "VECTOR_MALFORMED",
                "An embedding needs a space, a dimension and four bytes for each number.",
                subject=subject,
            )
        if not self.name:
            self.name, self.dimension = space, dimension
        if space != self.name:
            raise InvalidInput(
                "SPACE_MISMATCH",
                "All vectors of a fusion must be of one space; encode them with one model.",
                subject=subject,
            )
        if dimension != self.dimension:
            raise InvalidInput(
                "DIMENSION_MISMATCH",
                "All vectors of a fusion must have the same dimension.",
                subject=subject,
            )
        vector = np.frombuffer(data, dtype="<f4").astype(np.float32)
        length = float(np.linalg.norm(vector.astype(np.float64)))
        if not np.isfinite(length) or length < _MIN_LENGTH:
            raise InvalidInput(
                "VECTOR_MALFORMED",
                "An embedding must be of unit length, all its numbers finite.",
                subject=subject,
            )
        return vector / np.float32(length)
