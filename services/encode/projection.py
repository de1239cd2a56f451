"""Pictures in the space of texts: class probabilities weigh the vectors of class names.

The recipe of ConSE (Norouzi et al., Zero-Shot Learning by Convex Combination of
Semantic Embeddings, 2014), with broader words in the names.
"""

import hashlib
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.runtime.models import write_atomically

CLASS_COUNT_MAX = 50

Vectors = NDArray[np.float32]


class ClassSpace:
    """Vectors of the class names, float32 of shape (classes, dimension), rows of unit length."""

    def __init__(self, vectors: Vectors) -> None:
        self._vectors = vectors

    def project(self, probabilities: NDArray[np.float32]) -> Vectors:
        """The vector of a picture, float32 of shape (dimension,) and unit length."""
        top = np.argpartition(probabilities, -CLASS_COUNT_MAX)[-CLASS_COUNT_MAX:]
        vector = probabilities[top] @ self._vectors[top]
        return np.asarray(vector / np.linalg.norm(vector), np.float32)


def load_class_vectors(
    cache_dir: Path,
    phrases: Sequence[str],
    embed: Callable[[Sequence[str]], Sequence[Vectors]],
    identity: str,
) -> Vectors:
    """The vectors of the class phrases, computed once and kept. Blocks.

    ``identity`` names the embedding model; the phrases are part of the file's
    name too, so that a change of either makes a new file.
    """
    digest = hashlib.sha256("\n".join([identity, *phrases]).encode()).hexdigest()
    path = cache_dir / "converted" / f"class-vectors-{digest[:24]}.npy"
    try:
        vectors = np.load(path, allow_pickle=False)
    except (OSError, ValueError):
        vectors = np.stack(embed(phrases)).astype(np.float32)
        buffer = io.BytesIO()
        np.save(buffer, vectors, allow_pickle=False)
        write_atomically(path, buffer.getvalue())
    return np.asarray(vectors, np.float32)
