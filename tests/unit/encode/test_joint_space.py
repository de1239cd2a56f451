"""Texts have looks and pictures meanings, of three captioned drawings."""

import numpy as np
import pytest
from numpy.typing import NDArray

from services.encode.captioned import CaptionedPictures, PictureSeen
from services.encode.projection import JointSpace

MEANINGS = np.eye(3, 4, dtype=np.float32)
"""Of the captions."""
CLASSES = np.tile(MEANINGS, (20, 1))
UNSURE = np.full(len(CLASSES), 1 / len(CLASSES), np.float32)
"""No class is likelier than another."""


@pytest.fixture
def space() -> JointSpace:
    """The first two drawings are the opposite of each other, the third has looks of its own."""
    keys = np.array([[1, 0], [-1, 0], [0, 1]], np.float32)
    axes = np.array([[1, 0], [0, 1], [0, 0]], np.float32)
    captioned = CaptionedPictures(keys, axes, np.zeros(3, np.float32), [["a"], ["b"], ["c"]])
    return JointSpace(CLASSES, captioned, MEANINGS)


def looks(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return vectors[..., MEANINGS.shape[1] :]


def test_a_text_like_a_caption_looks_like_its_drawing(space: JointSpace) -> None:
    first, second, third = looks(space.texts(MEANINGS))
    assert first[0] > 0.5 and second[0] < -0.5 and third[1] > 0.5
    np.testing.assert_allclose([first[1], second[1], third[0]], 0, atol=1e-3)


def test_what_is_between_unlike_captions_has_no_looks(space: JointSpace) -> None:
    between = (MEANINGS[:1] + MEANINGS[1:2]) / np.sqrt(2, dtype=np.float32)
    np.testing.assert_allclose(looks(space.texts(between)), 0, atol=1e-3)


def test_a_picture_is_near_what_is_said_of_its_like(space: JointSpace) -> None:
    picture = space.picture(PictureSeen(UNSURE, np.array([0, 1, 0], np.float32)))
    similarities = space.texts(MEANINGS) @ picture
    assert similarities.argmax() == 2


def test_all_vectors_are_of_unit_length(space: JointSpace) -> None:
    blank = PictureSeen(UNSURE, np.zeros(3, np.float32))
    for vector in (*space.texts(MEANINGS), space.picture(blank)):
        assert vector.shape == (space.dimension,) == (6,)
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
    assert space.texts(MEANINGS[:0]).shape == (0, 6)
