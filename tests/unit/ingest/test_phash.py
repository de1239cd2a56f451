"""Perceptual hashes: near for the same picture, far for others, none for plain ones."""

import io

import pytest
import skimage.data
from PIL import Image, ImageEnhance

from services.ingest.phash import perceptual_hash

PICTURES = [
    Image.fromarray(getattr(skimage.data, name)())
    for name in ("astronaut", "coffee", "chelsea", "rocket")
]


def distance(one: Image.Image, other: Image.Image) -> int:
    first, second = perceptual_hash(one), perceptual_hash(other)
    assert first is not None
    assert second is not None
    return (first ^ second).bit_count()


def compressed(picture: Image.Image) -> Image.Image:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=20)
    return Image.open(file)


@pytest.mark.parametrize("picture", PICTURES, ids=["astronaut", "coffee", "cat", "rocket"])
def test_the_same_picture_in_another_form_is_near(picture: Image.Image) -> None:
    for other in (
        compressed(picture),
        picture.resize((picture.width // 3, picture.height // 3)),
        picture.resize((2560, 1920)),
        picture.convert("L"),
        ImageEnhance.Brightness(picture).enhance(0.7),
    ):
        assert distance(picture, other) <= 4


def test_other_pictures_are_far() -> None:
    for index, one in enumerate(PICTURES):
        for other in PICTURES[:index]:
            assert distance(one, other) >= 20
        assert distance(one, one.transpose(Image.Transpose.FLIP_LEFT_RIGHT)) >= 20


@pytest.mark.parametrize("colour", ["white", "black", "#406080"])
def test_a_plain_picture_has_none(colour: str) -> None:
    assert perceptual_hash(Image.new("RGB", (640, 360), colour)) is None
