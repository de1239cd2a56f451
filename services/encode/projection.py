"""Texts and pictures in one space, both ways: pictures get a meaning, texts a look.

What a picture means: class probabilities weigh the vectors of class names, the recipe of
ConSE (Norouzi et al., Zero-Shot Learning by Convex Combination of Semantic Embeddings,
2014), and resemblances those of the captions of other pictures. A class is the mean of
several wordings of it, as CLIP's zero-shot classifiers are (Radford et al., 2021). How a
text looks: its likeness to captions weighs the looks of their pictures (Changpinyo et al.,
Predicting Visual Exemplars of Unseen Classes for Zero-Shot Learning, 2017). Each way loses
what the other keeps, so a vector has both. ``python -m tests.bench pictures`` measures what
else was tried.
"""

import hashlib
import io
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.encode.captioned import CaptionedPictures, PictureSeen, softmax
from services.runtime.models import write_atomically

CLASS_COUNT_MAX = 50
# Means of wordings are more alike than single ones. Less this of their mean, pictures are as
# far from texts about other things as they were by one wording.
CLASS_COMMON_SHARE = 0.3
# Means over the captions of many pictures are more alike still.
CAPTION_COMMON_SHARE = 0.5
# Of what the captions say, beside what the classes say.
CAPTION_WEIGHT = 0.5
# Of how something looks, beside what it means, and of how many axes.
LOOKS_WEIGHT = 0.8
LOOKS_DIMENSION = 128
# The smaller, the fewer of the captions are taken for what a text shows.
_TEMPERATURE = 0.04

Vectors = NDArray[np.float32]


class JointSpace:
    """One space of texts and pictures: what is meant, and how it looks.

    ``classes``, float32 of shape (classes, meaning), and ``captions``, (n, meaning), are
    the vectors of the names of the classes and of the captions of the pictures that others
    are likened to, in rows of unit length.
    """

    def __init__(self, classes: Vectors, captioned: CaptionedPictures, captions: Vectors) -> None:
        self._classes, self._captioned, self._captions = classes, captioned, captions
        self._keys = captioned.keys[:, :LOOKS_DIMENSION]
        self.dimension = captions.shape[1] + self._keys.shape[1]
        self.identity = captioned.identity

    def texts(self, meanings: Vectors) -> Vectors:
        """The vectors of texts, (n, dimension), by those of what they mean, (n, meaning)."""
        likely = softmax(meanings @ self._captions.T, _TEMPERATURE)
        looks = likely @ self._keys
        # The pictures of unlike captions cancel out: what nobody can draw has little looks, and
        # is to be found by its meaning.
        return _joint(meanings, looks * np.linalg.norm(looks, axis=1, keepdims=True))

    def picture(self, seen: PictureSeen) -> Vectors:
        """The vector of a picture, float32 of shape (dimension,) and unit length."""
        looks = self._captioned.looks(seen.features)
        likened = self._captioned.resemblances(looks) @ self._captions
        meaning = _unit(self.named(seen.probabilities) + CAPTION_WEIGHT * _unit(likened))
        return _joint(meaning, _unit(looks[: self._keys.shape[1]]))

    def named(self, probabilities: Vectors) -> Vectors:
        """What a picture of such classes means, by these alone: (meaning,), of unit length."""
        top = np.argpartition(probabilities, -CLASS_COUNT_MAX)[-CLASS_COUNT_MAX:]
        return _unit(probabilities[top] @ self._classes[top])


def _joint(meanings: Vectors, looks: Vectors) -> Vectors:
    return _unit(np.concatenate([meanings, LOOKS_WEIGHT * looks], axis=-1))


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
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, 1e-12), np.float32)
