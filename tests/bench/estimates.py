"""Medians with intervals that assume nothing of the distribution."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """The median of ``count`` samples and an interval that holds the true one.

    ``coverage`` is the interval's exact probability. It is at least LEVEL from 6
    samples on; with fewer the interval is the whole range and covers less.
    """

    median: float
    low: float
    high: float
    coverage: float
    count: int


def estimate(samples: Sequence[float]) -> Estimate:
    """The median with its binomial interval (the sign test turned round; Thompson, 1936).

    Raises ValueError without samples.
    """
    if not samples:
        raise ValueError("There are no samples.")
    ordered = sorted(samples)
    count = len(ordered)
    cut = 0
    while 2 * (cut + 1) < count and _coverage(count, cut + 1) >= LEVEL:
        cut += 1
    return Estimate(
        median(ordered), ordered[cut], ordered[count - 1 - cut], _coverage(count, cut), count
    )


def paired_ratio(ours: Sequence[float], reference: Sequence[float]) -> Estimate:
    """The median of the ratios within each pair of runs, so that slow drift cancels out.

    Raises ValueError where the lengths differ.
    """
    return estimate([ours / other for ours, other in zip(ours, reference, strict=True)])


def percentile(samples: Sequence[float], percent: float) -> float:
    """Linear between the two nearest samples. Raises ValueError without samples."""
    if not samples:
        raise ValueError("There are no samples.")
    ordered = sorted(samples)
    position = (len(ordered) - 1) * percent / 100
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def _coverage(count: int, cut: int) -> float:
    """Probability that the true median lies between the ``cut``-th smallest and largest."""
    tail = sum(math.comb(count, below) for below in range(cut + 1))
    return float(1 - 2 * tail / 2**count)
