"""Clustered vectors, and tenants of very different size that own them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

DIMENSION = 768
CLUSTERS = 1000
# Length of the noise beside a centre's. Two vectors of one cluster have a cosine of
# about 0.5, give or take 0.03, and those of two clusters 0, give or take 0.04: which
# of its cluster are the nearest to a query is decided in all 768 dimensions alike,
# so that no few of them and no coarse code would tell.
NOISE = 1.0

Vectors = npt.NDArray[np.float32]

# Shares of the rows; what is left belongs to many small tenants.
SHARES = {"one-percent": 0.01, "half": 0.5}
SMALL_TENANTS = 490


@dataclass(frozen=True, slots=True)
class Clusters:
    """A mixture on the unit sphere of 768 dimensions: a centre out of 1,000, each as
    likely, and isotropic Gaussian noise; then scaled to unit length. Every tenant has
    rows in every cluster, as is hardest for an index: the nearest neighbours of a small
    one lie in many of its partitions."""

    centres: Vectors
    chance: np.random.Generator

    @classmethod
    def seeded(cls, seed: int) -> "Clusters":
        """The same clusters, and the same draws from them, for the same seed."""
        chance = np.random.default_rng(seed)
        return cls(_unit(_noise(chance, CLUSTERS)), chance)

    def draw(self, count: int) -> Vectors:
        """``count`` vectors, float32 [count, 768]."""
        centres = self.centres[self.chance.integers(0, CLUSTERS, count)]
        noise = _noise(self.chance, count)
        return _unit(centres + np.float32(NOISE / DIMENSION**0.5) * noise)

    def draw_tenants(self, count: int) -> npt.NDArray[np.str_]:
        """Who owns each of ``count`` vectors."""
        small = [(1 - sum(SHARES.values())) / SMALL_TENANTS] * SMALL_TENANTS
        names = [*SHARES, *(f"small-{number}" for number in range(SMALL_TENANTS))]
        return self.chance.choice(np.array(names), count, p=[*SHARES.values(), *small])


def nearest(vectors: Vectors, queries: Vectors, count: int) -> npt.NDArray[np.intp]:
    """The places of the ``count`` nearest vectors to each query by an exact search."""
    cosines = queries @ vectors.T
    return np.argpartition(-cosines, count, axis=1)[:, :count]


def _noise(chance: np.random.Generator, count: int) -> Vectors:
    return chance.standard_normal((count, DIMENSION), dtype=np.float32)


def _unit(vectors: Vectors) -> Vectors:
    scaled: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return scaled
