"""Pictures in the space of texts: class probabilities weigh the vectors of class names.

The recipe of ConSE (Norouzi et al., Zero-Shot Learning by Convex Combination of
Semantic Embeddings, 2014). A class is the mean of several wordings of it, as CLIP's
zero-shot classifiers are (Radford et al., 2021). ``python -m tests.bench pictures``
measures what else was tried.
"""

import hashlib
import io
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.runtime.models import write_atomically

CLASS_COUNT_MAX = 50
# Means of wordings are more alike than single ones. Less this of their mean, pictures are as
# far from texts about other things (a median cosine of 0.26) as they were by one wording.
COMMON_SHARE = 0.3

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
    wordings: Sequence[Sequence[str]],
    embed: Callable[[Sequence[str]], Iterable[Vectors]],
    identity: str,
) -> Vectors:
    """The vectors of classes, each given by its wordings, computed once and kept. Blocks.

    ``identity`` names the embedding model; the wordings are part of the file's
    name too, so that a change of either makes a new file.
    """
    content = json.dumps([identity, COMMON_SHARE, *wordings])
    digest = hashlib.sha256(content.encode()).hexdigest()
    path = cache_dir / "converted" / f"class-vectors-{digest[:24]}.npy"
    try:
        vectors = np.load(path, allow_pickle=False)
    except (OSError, ValueError):
        vectors = class_vectors(wordings, embed)
        buffer = io.BytesIO()
        np.save(buffer, vectors, allow_pickle=False)
        write_atomically(path, buffer.getvalue())
    return np.asarray(vectors, np.float32)


def class_vectors(
    wordings: Sequence[Sequence[str]], embed: Callable[[Sequence[str]], Iterable[Vectors]]
) -> Vectors:
    """The direction of the mean vector of each class's wordings, (classes, dimension), less
    a share of what all classes have in common."""
    texts = list(dict.fromkeys(text for each in wordings for text in each))
    of_text = dict(zip(texts, embed(texts), strict=True))
    means = np.stack([np.mean([of_text[text] for text in each], axis=0) for each in wordings])
    classes = _unit(means)
    return _unit(classes - COMMON_SHARE * classes.mean(axis=0))


def _unit(rows: Vectors) -> Vectors:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)
