"""Pictures of a kind of thing are found by the word for it, whether or not a class is named so."""

import math

import numpy as np
import pytest
from PIL import Image, ImageDraw

from services.encode.engines import Engines
from tests.unit.encode.real import as_png


@pytest.mark.parametrize("word", ["dog", "cat", "car", "boat", "clothing", "food"])
async def test_pictures_of_a_kind_come_before_all_others(engines: Engines, word: str) -> None:
    query = await engines.text.run(word)
    sure_of_each = np.eye(len(engines.vocabulary.names), dtype=np.float32)
    pictures = np.stack([engines.space.named(sure) for sure in sure_of_each])
    is_one = np.array([word in words for words in engines.vocabulary.broader])
    best = np.argsort(-(pictures @ query[: pictures.shape[1]]))[: is_one.sum()]
    others = [engines.vocabulary.names[index] for index in best if not is_one[index]]
    assert others == []


def star(draw: ImageDraw.ImageDraw) -> None:
    tips = [(170 if point % 2 == 0 else 68, point * math.pi / 5) for point in range(10)]
    corners = [(200 + size * math.sin(turn), 210 - size * math.cos(turn)) for size, turn in tips]
    draw.polygon(corners, "goldenrod")


def heart(draw: ImageDraw.ImageDraw) -> None:
    draw.ellipse((60, 80, 210, 230), "crimson")
    draw.ellipse((190, 80, 340, 230), "crimson")
    draw.polygon([(72, 190), (328, 190), (200, 350)], "crimson")


def arrow(draw: ImageDraw.ImageDraw) -> None:
    head = [(230, 110), (350, 200), (230, 290)]
    draw.polygon([(60, 170), (230, 170), *head, (230, 230), (60, 230)], "navy")


async def test_what_no_class_names_is_told_by_its_likeness_to_captioned_drawings(
    engines: Engines,
) -> None:
    words = np.stack([await engines.text.run(text) for text in ("a star", "a heart", "an arrow")])
    told = []
    for draw_on in (star, heart, arrow):
        picture = Image.new("RGB", (400, 400), "white")
        draw_on(ImageDraw.Draw(picture))
        seen = await engines.classifier.run(as_png(picture))
        told.append(int((words @ engines.space.picture(seen)).argmax()))
    assert told == [0, 1, 2]
