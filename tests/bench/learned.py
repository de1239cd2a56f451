"""Vectors learned from pairs of pictures and words, and judged on pairs that were not learned from.

Each picture's vector comes from a model that saw neither it nor its fold.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from services.encode.projection import ridge

Numbers = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]


def random_folds(count: int, folds: int = 10) -> list[Indices]:
    """Indices dealt out at random, the same every time."""
    order = np.random.default_rng(0).permutation(count)
    return [order[start::folds] for start in range(folds)]


def folds_of_groups(groups: Sequence[str], folds: int = 10) -> list[Indices]:
    """As ``random_folds``, but what is of one group stays together: what is judged is of a
    kind that was not learned from."""
    names = sorted(set(groups))
    dealt = random_folds(len(names), folds)
    fold_of = {names[index]: fold for fold, indices in enumerate(dealt) for index in indices}
    numbers = np.array([fold_of[group] for group in groups])
    return [np.flatnonzero(numbers == fold) for fold in range(folds)]


def looks(features: Numbers, centre: Numbers | None = None) -> Numbers:
    """Features as rows of unit length, of which no single one dominates."""
    rows = unit(np.sqrt(np.maximum(features, 0)))
    return unit(rows - (rows.mean(axis=0) if centre is None else centre))


def corrected(
    known: Numbers, inputs: Numbers, targets: Numbers, folds: Sequence[Indices], strength: float
) -> Numbers:
    """The known vectors and what ridge regression on the other folds adds to each, (n, d)."""
    vectors = known.copy()
    for fold in folds:
        others = np.setdiff1d(np.arange(len(known)), fold)
        matrix = ridge(inputs[others], targets[others] - known[others], strength)
        vectors[fold] += inputs[fold] @ matrix
    return vectors


def unit(vectors: Numbers) -> Numbers:
    """Rows of unit length."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), np.float32)
