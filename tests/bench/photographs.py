"""Photographs of scikit-image's wheel and what they show, said in words of ours.

Few, and the captions were written together with the code: they show whether what helps
drawings and cut-out things harms photographs.
"""

from pathlib import Path

import skimage
from PIL import Image

CAPTIONS = {
    "astronaut.png": ("an astronaut", "a woman in an orange space suit"),
    "brick.png": ("a brick wall",),
    "camera.png": ("a photographer with a camera and tripod",),
    "chelsea.png": ("a cat", "a photo of a ginger cat looking at the camera"),
    "clock_motion.png": ("a clock",),
    "coffee.png": ("a cup of coffee", "an espresso on a table"),
    "coins.png": ("old coins",),
    "grass.png": ("grass on a meadow",),
    "gravel.png": ("gravel", "small stones"),
    "horse.png": ("a horse",),
    "hubble_deep_field.jpg": ("galaxies in space", "stars"),
    "moon.png": ("the surface of the moon",),
    "motorcycle_left.png": ("a motorbike in a garage", "a red motorcycle"),
    "page.png": ("a page of a book", "printed text"),
    "retina.jpg": ("the retina of an eye",),
    "rocket.jpg": ("a rocket being launched", "a rocket on its launch pad"),
    "text.png": ("handwriting",),
}


def load() -> list[tuple[Image.Image, str, int]]:
    """Picture, caption and the picture's number, a triple for each caption."""
    folder = Path(skimage.__file__).parent / "data"
    found = []
    for number, (name, captions) in enumerate(CAPTIONS.items()):
        with Image.open(folder / name) as picture:
            shown = picture.convert("RGB")
        found += [(shown, caption, number) for caption in captions]
    return found
