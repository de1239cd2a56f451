"""How much of a picture has which colour, by name."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image
from skimage.color import rgb2lab

from tests.bench.picture_views import trimmed

_SAMPLES = {
    "red": ((200, 30, 30), (230, 60, 50)),
    "orange": ((240, 140, 30),),
    "yellow": ((240, 220, 50), (250, 240, 120)),
    "green": ((40, 140, 40), (120, 190, 70), (60, 90, 40)),
    "blue": ((40, 80, 200), (100, 150, 230), (30, 40, 110)),
    "purple": ((120, 50, 150), (170, 110, 200)),
    "pink": ((240, 130, 180), (250, 180, 200)),
    "brown": ((120, 75, 40), (90, 60, 35), (160, 120, 80)),
    "black": ((15, 15, 15), (45, 45, 45)),
    "white": ((245, 245, 245),),
    "grey": ((128, 128, 128), (180, 180, 180), (90, 90, 90)),
}
NAMES = tuple(_SAMPLES)
_SIDE_PX = 96
# What is lighter in every channel is background.
_BACKGROUND_MIN = 245


def shares(pictures: Sequence[Image.Image]) -> npt.NDArray[np.float32]:
    """Of each picture the shares of ``NAMES`` in what is not white, (pictures, colours)."""
    samples = [sample for named in _SAMPLES.values() for sample in named]
    owner = np.repeat(np.arange(len(NAMES)), [len(named) for named in _SAMPLES.values()])
    known = rgb2lab(np.array([samples], np.float64) / 255)[0]
    return np.stack([_shares(picture, known, owner) for picture in pictures])


def _shares(
    picture: Image.Image, known: npt.NDArray[np.float64], owner: npt.NDArray[np.intp]
) -> npt.NDArray[np.float32]:
    small = trimmed(picture)
    small.thumbnail((_SIDE_PX, _SIDE_PX))
    pixels = np.asarray(small).reshape(-1, 3)
    pixels = pixels[(pixels < _BACKGROUND_MIN).any(axis=1)]
    if not len(pixels):
        return np.zeros(len(NAMES), np.float32)
    seen = rgb2lab(pixels[None] / 255)[0]
    nearest = ((seen[:, None] - known[None]) ** 2).sum(axis=2).argmin(axis=1)
    counts = np.bincount(owner[nearest], minlength=len(NAMES))
    return np.asarray(counts / len(pixels), np.float32)
