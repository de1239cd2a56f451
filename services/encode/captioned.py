"""Captioned pictures to which others are likened: what no class names is found among them.

Keys are the features of drawings, values the vectors of their captions; a picture
takes the captions of those that it looks like, as in the cache model of Tip-Adapter
(Zhang et al., 2022). The drawings and how they were chosen: ``tests/bench/captioned.py``.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FOLDER = Path(__file__).parent / "data"
# The smaller, the fewer of the drawings count.
_TEMPERATURE = 0.05

Numbers = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class PictureSeen:
    """What a classifier makes of a picture, both float32 of one dimension.

    ``probabilities`` are those of its classes, summing to 1; ``features`` are what its
    last layer sees, 0 or more each, of several networks one after the other.
    """

    probabilities: Numbers
    features: Numbers


@dataclass(frozen=True)
class CaptionedPictures:
    """Features of ``n`` pictures along ``k`` principal axes, and the wordings of each caption.

    ``keys`` is float32 of shape (n, k), rows of unit length; ``axes``, of shape
    (features, k), are divided by the square roots of the singular values, so that what many
    drawings share counts less (whitening by half; Jegou and Chum, Negative Evidences and
    Co-occurrences in Image Retrieval, 2012); ``centre``, of shape (features,), is their mean
    look.
    """

    keys: Numbers
    axes: Numbers
    centre: Numbers
    wordings: Sequence[Sequence[str]]

    @cached_property
    def identity(self) -> str:
        """What results depend on; part of their cache keys."""
        parts = (self.keys, self.axes, self.centre)
        content = b"".join(part.tobytes() for part in parts) + json.dumps(self.wordings).encode()
        return hashlib.sha256(content).hexdigest()[:24]

    def looks(self, features: Numbers) -> Numbers:
        """A picture as a key: float32 of shape (k,), of unit length."""
        along = (look(features) - self.centre) @ self.axes
        return np.asarray(along / max(float(np.linalg.norm(along)), 1e-12), np.float32)

    def resemblances(self, looks: Numbers) -> Numbers:
        """How much what ``looks`` gave looks like each, float32 of shape (n,), summing to 1."""
        return softmax(self.keys @ looks, _TEMPERATURE)


def look(features: Numbers) -> Numbers:
    """Features as rows of unit length in which no single one dominates: their square roots
    (Arandjelovic and Zisserman, 2012)."""
    roots = np.sqrt(np.maximum(features, 0))
    lengths = np.linalg.norm(roots, axis=-1, keepdims=True)
    return np.asarray(roots / np.maximum(lengths, 1e-12), np.float32)


def softmax(scores: Numbers, temperature: float) -> Numbers:
    """Shares by score along the last axis, which sum to 1."""
    exponentials = np.exp((scores - scores.max(axis=-1, keepdims=True)) / temperature)
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True), np.float32)


def load_captioned(folder: Path = FOLDER) -> CaptionedPictures:
    """Those that come with the code."""
    with np.load(folder / "captioned_pictures.npz", allow_pickle=False) as stored:
        keys = stored["keys"].astype(np.float32)
        axes, centre = stored["axes"].astype(np.float32), stored["centre"].astype(np.float32)
    wordings = json.loads((folder / "captioned_pictures.json").read_text(encoding="utf-8"))
    lengths = np.linalg.norm(keys, axis=1, keepdims=True)
    return CaptionedPictures(keys / lengths, axes, centre, wordings["wordings"])


def save_captioned(pictures: CaptionedPictures, sources: str, folder: Path = FOLDER) -> None:
    """Keeps the keys in 8 bits, and a line for each caption, so that a change can be read."""
    scaled = pictures.keys / np.abs(pictures.keys).max(axis=1, keepdims=True) * 127
    np.savez_compressed(
        folder / "captioned_pictures.npz",
        keys=scaled.round().astype(np.int8),
        axes=pictures.axes.astype(np.float16),
        centre=pictures.centre.astype(np.float16),
    )
    lines = ",\n".join(json.dumps(list(each), ensure_ascii=False) for each in pictures.wordings)
    text = f'{{"sources": {json.dumps(sources)},\n"wordings": [\n{lines}\n]}}\n'
    (folder / "captioned_pictures.json").write_text(text, encoding="utf-8")
