"""Texts and pictures in one space: a vector has a meaning, a look and a kind.

What a picture means: class probabilities weigh the vectors of class names, the recipe of
ConSE (Norouzi et al., Zero-Shot Learning by Convex Combination of Semantic Embeddings,
2014), and resemblances those of the captions of other pictures; a ridge regression from
looks to captions adds what no single picture shows. A class is the mean of several wordings
of it, as CLIP's zero-shot classifiers are (Radford et al., 2021). How a text looks: its
likeness to captions weighs the looks of their pictures (Changpinyo et al., Predicting
Visual Exemplars of Unseen Classes for Zero-Shot Learning, 2017). Of which kind a text is:
its likeness to the names of the classes, as probabilities. Each way loses what the others
keep, so a vector has all three. ``python -m tests.bench pictures`` measures them one by one,
and what else was tried.
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
# Of what the captions say, and of what a regression makes of the looks, beside what the
# classes say.
CAPTION_WEIGHT = 0.3
REGRESSION_WEIGHT = 0.4
RIDGE = 30.0
# Of how something looks and of what kind it is, beside what it means, and in how many numbers.
LOOKS_WEIGHT = 1.1
LOOKS_DIMENSION = 128
KINDS_WEIGHT = 1.0
KINDS_DIMENSION = 256
# The smaller, the fewer of the captions, or of the classes, are taken for what a text shows.
_TEMPERATURE = 0.05
# The larger, the less it counts how a text looks, and of which kind it is, where that is unsure.
_SURENESS = 1.5

Vectors = NDArray[np.float32]


class JointSpace:
    """One space of texts and pictures: what is meant, how it looks, and of which kind it is.

    ``classes`` and ``names``, float32 of shape (classes, meaning), are the vectors of the
    classes by all their wordings and by their names alone; ``captions``, (n, meaning), those
    of the captions of the pictures that others are likened to. Rows are of unit length.
    """

    def __init__(
        self, classes: Vectors, names: Vectors, captioned: CaptionedPictures, captions: Vectors
    ) -> None:
        self._classes, self._names = classes, names
        self._captioned, self._captions = captioned, captions
        self._keys = captioned.keys[:, :LOOKS_DIMENSION]
        self._regression = ridge(captioned.keys, captions - captions.mean(axis=0), RIDGE)
        self.dimension = captions.shape[1] + self._keys.shape[1] + KINDS_DIMENSION
        self.identity = captioned.identity

    def texts(self, meanings: Vectors) -> Vectors:
        """The vectors of texts, (n, dimension), by those of what they mean, (n, meaning)."""
        looks = softmax(meanings @ self._captions.T, _TEMPERATURE) @ self._keys
        kinds = _folded(softmax(meanings @ self._names.T, _TEMPERATURE))
        return _joint(meanings, _by_sureness(looks), _by_sureness(kinds))

    def picture(self, seen: PictureSeen) -> Vectors:
        """The vector of a picture, float32 of shape (dimension,) and unit length."""
        looks = self._captioned.looks(seen.features)
        likened = self._captioned.resemblances(looks) @ self._captions
        meaning = _unit(
            self.named(seen.probabilities)
            + CAPTION_WEIGHT * _unit(likened)
            + REGRESSION_WEIGHT * _unit(looks @ self._regression)
        )
        # Square roots: then the product of two is the Bhattacharyya coefficient.
        kinds = _unit(np.sqrt(_folded(seen.probabilities)))
        return _joint(meaning, _unit(looks[: self._keys.shape[1]]), kinds)

    def named(self, probabilities: Vectors) -> Vectors:
        """What a picture of such classes means, by these alone: (meaning,), of unit length."""
        top = np.argpartition(probabilities, -CLASS_COUNT_MAX)[-CLASS_COUNT_MAX:]
        return _unit(probabilities[top] @ self._classes[top])


def _joint(meanings: Vectors, looks: Vectors, kinds: Vectors) -> Vectors:
    return _unit(np.concatenate([meanings, LOOKS_WEIGHT * looks, KINDS_WEIGHT * kinds], axis=-1))


def _by_sureness(parts: Vectors) -> Vectors:
    """Rows times a power of their length. The looks of unlike captions cancel out, and the kinds
    of a text that names none are many: what nobody can draw is to be found by its meaning."""
    return np.asarray(parts * np.linalg.norm(parts, axis=-1, keepdims=True) ** _SURENESS)


def _folded(shares: Vectors) -> Vectors:
    """Class probabilities, (..., classes), in fewer numbers, (..., KINDS_DIMENSION): feature
    hashing (Weinberger et al., 2009). Classes that are as many numbers apart share one: as
    ImageNet's are sorted by kind, these are unlike, and meaning and looks tell them apart."""
    missing = -shares.shape[-1] % KINDS_DIMENSION
    padded = np.pad(shares, [(0, 0)] * (shares.ndim - 1) + [(0, missing)])
    count = padded.shape[-1] // KINDS_DIMENSION
    folds = padded.reshape(*shares.shape[:-1], count, KINDS_DIMENSION)
    return np.asarray(folds.sum(axis=-2), np.float32)


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


def ridge(inputs: Vectors, targets: Vectors, strength: float) -> Vectors:
    """The matrix of least squares with an L2 penalty, (inputs, targets): of shape (n, inputs)
    and (n, targets), inputs @ matrix is near the targets."""
    gram = inputs.T @ inputs + strength * np.eye(inputs.shape[1], dtype=np.float32)
    return np.asarray(np.linalg.solve(gram, inputs.T @ targets), np.float32)


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
