"""Pictures in the space of texts: class probabilities weigh the vectors of class names,
resemblances those of captions of other pictures.

The former is the recipe of ConSE (Norouzi et al., Zero-Shot Learning by Convex
Combination of Semantic Embeddings, 2014). A class is the mean of several wordings of it,
as CLIP's zero-shot classifiers are (Radford et al., 2021). ``python -m tests.bench
pictures`` measures what else was tried.
"""

import hashlib
import io
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.encode.captioned import CaptionedPictures, PictureSeen
from services.runtime.models import write_atomically

CLASS_COUNT_MAX = 50
# Means of wordings are more alike than single ones. Less this of their mean, pictures are as
# far from texts about other things (a median cosine of 0.26) as they were by one wording.
CLASS_COMMON_SHARE = 0.3
# Means over the captions of many pictures are more alike still.
CAPTION_COMMON_SHARE = 0.5
# Of what the captions say, beside what the classes say.
CAPTION_WEIGHT = 0.8

Vectors = NDArray[np.float32]


class PictureSpace:
    """Vectors of the class names, float32 of shape (classes, dimension), rows of unit length,
    and of the captions of the pictures that others are likened to, (n, dimension)."""

    def __init__(self, classes: Vectors, captioned: CaptionedPictures, captions: Vectors) -> None:
        self._classes, self._captioned, self._captions = classes, captioned, captions
        self.identity = captioned.identity

    def project(self, seen: PictureSeen) -> Vectors:
        """The vector of a picture, float32 of shape (dimension,) and unit length."""
        likened = self._captioned.resemblances(seen.features) @ self._captions
        return _unit(self.named(seen.probabilities) + CAPTION_WEIGHT * _unit(likened))

    def named(self, probabilities: Vectors) -> Vectors:
        """What the classes alone say: float32 of shape (dimension,), of unit length."""
        top = np.argpartition(probabilities, -CLASS_COUNT_MAX)[-CLASS_COUNT_MAX:]
        return _unit(probabilities[top] @ self._classes[top])


def load_vectors(
    cache_dir: Path,
    wordings: Sequence[Sequence[str]],
    common_share: float,
    embed: Callable[[Sequence[str]], Iterable[Vectors]],
    identity: str,
) -> Vectors:
    """The vectors of things, each given by its wordings, computed once and kept. Blocks.

    ``identity`` names the embedding model; the wordings are part of the file's
    name too, so that a change of either makes a new file.
    """
    content = json.dumps([identity, common_share, *wordings])
    digest = hashlib.sha256(content.encode()).hexdigest()
    path = cache_dir / "converted" / f"wordings-{digest[:24]}.npy"
    try:
        vectors = np.load(path, allow_pickle=False)
    except (OSError, ValueError):
        vectors = mean_vectors(wordings, common_share, embed)
        buffer = io.BytesIO()
        np.save(buffer, vectors, allow_pickle=False)
        write_atomically(path, buffer.getvalue())
    return np.asarray(vectors, np.float32)


def mean_vectors(
    wordings: Sequence[Sequence[str]],
    common_share: float,
    embed: Callable[[Sequence[str]], Iterable[Vectors]],
) -> Vectors:
    """The direction of the mean vector of each thing's wordings, (things, dimension), less
    a share of what all things have in common."""
    texts = list(dict.fromkeys(text for each in wordings for text in each))
    of_text = dict(zip(texts, embed(texts), strict=True))
    means = np.stack([np.mean([of_text[text] for text in each], axis=0) for each in wordings])
    things = _unit(means)
    return _unit(things - common_share * things.mean(axis=0))


def _unit(rows: Vectors) -> Vectors:
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True), np.float32)
