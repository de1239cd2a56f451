"""Texts have looks and kinds as pictures do, of three captioned drawings and twelve classes."""

import numpy as np
import pytest
from numpy.typing import NDArray

from services.encode.captioned import CaptionedPictures, PictureSeen
from services.encode.projection import JointSpace, ridge

MEANINGS = np.eye(3, 16, dtype=np.float32)
"""Of the captions."""
NAMES = np.eye(12, 16, 4, dtype=np.float32)
"""Of the classes; none is like a caption."""
CLASSES = np.tile(NAMES, (5, 1))
UNSURE = np.full(len(CLASSES), 1 / len(CLASSES), np.float32)
"""No class is likelier than another."""


@pytest.fixture
def space() -> JointSpace:
    """The first two drawings are the opposite of each other, the third has looks of its own."""
    keys = np.array([[1, 0], [-1, 0], [0, 1]], np.float32)
    axes = np.array([[1, 0], [0, 1], [0, 0]], np.float32)
    captioned = CaptionedPictures(keys, axes, np.zeros(3, np.float32), [["a"], ["b"], ["c"]])
    return JointSpace(CLASSES, NAMES, captioned, MEANINGS)


def looks(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return vectors[..., MEANINGS.shape[1] :][..., :2]


def kinds(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return vectors[..., MEANINGS.shape[1] + 2 :]


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


def test_a_text_that_names_a_class_is_of_its_kind_as_a_picture_is(space: JointSpace) -> None:
    of_texts = kinds(space.texts(NAMES))
    for index, of_text in enumerate(of_texts):
        probabilities = np.full(len(CLASSES), 0.1 / len(CLASSES), np.float32)
        probabilities[index] += 0.9
        picture = space.picture(PictureSeen(probabilities, np.zeros(3, np.float32)))
        assert of_text.argmax() == kinds(picture).argmax() == index
        assert (of_texts @ kinds(picture)).argmax() == index


def test_a_text_that_names_no_class_is_of_no_kind(space: JointSpace) -> None:
    strangers = np.eye(1, 16, 3, dtype=np.float32)
    of_named, of_stranger = kinds(space.texts(np.concatenate([NAMES[:1], strangers])))
    assert np.linalg.norm(of_stranger) < 0.1 * np.linalg.norm(of_named)


def test_kinds_that_do_not_fit_share_numbers() -> None:
    """A thousand classes in 256 numbers: those 256 apart are of one kind."""
    captioned = CaptionedPictures(
        np.zeros((1, 1), np.float32), np.zeros((1, 1), np.float32), np.zeros(1, np.float32), [["a"]]
    )
    classes = np.eye(1000, dtype=np.float32)
    space = JointSpace(classes, classes, captioned, classes[:1])
    of_texts = space.texts(classes[[7, 263, 8]])[:, -256:]
    assert of_texts[0].argmax() == of_texts[1].argmax() == 7
    assert of_texts[2].argmax() == 8
    of_pictures = [
        space.picture(PictureSeen(sure, np.zeros(1, np.float32)))[-256:]
        for sure in classes[[7, 263, 8]]
    ]
    assert [each.argmax() for each in of_pictures] == [7, 7, 8]


def test_ridge_finds_the_map_and_shrinks_it_by_its_strength() -> None:
    inputs = np.random.default_rng(0).standard_normal((200, 4)).astype(np.float32)
    matrix = np.arange(12, dtype=np.float32).reshape(4, 3)
    np.testing.assert_allclose(ridge(inputs, inputs @ matrix, 1e-3), matrix, atol=1e-3)
    shrunk = ridge(inputs, inputs @ matrix, 1e6)
    assert np.linalg.norm(shrunk) < 0.01 * np.linalg.norm(matrix)


def test_all_vectors_are_of_unit_length(space: JointSpace) -> None:
    blank = PictureSeen(UNSURE, np.zeros(3, np.float32))
    for vector in (*space.texts(MEANINGS), space.picture(blank)):
        assert vector.shape == (space.dimension,) == (16 + 2 + 256,)
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
    assert space.texts(MEANINGS[:0]).shape == (0, 16 + 2 + 256)
