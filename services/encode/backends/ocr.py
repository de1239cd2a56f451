"""Lines of text in pictures: PP-OCRv6 small on OpenVINO."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from services.encode.backends.contract import LoadOptions, ModelDescription
from services.encode.backends.conversion import cpu_has_bf16
from services.encode.backends.ocr_networks import (
    BgrPixels,
    Corners,
    LineDetector,
    LineRecogniser,
    Network,
    characters_of,
)
from services.encode.backends.pictures import decode
from services.encode.segments import Box, PictureToRead, ReadLine, ReadPage
from services.runtime.models import ResolvedModel, resolve

CONFIDENCE_MIN = 0.6
# Below this median the page is more likely upside down than badly printed.
_UPRIGHT_CONFIDENCE = 0.9
# A single mark is far more often texture than text.
_CHARACTERS_MIN = 2
# Of the long side of a picture: lines that are lower are its small print.
_LARGE = 1 / 50

Found = tuple[Box, BgrPixels]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A picture, uint8 of shape (height, width, 3), blue first, and how high the lines must be
    that are read."""

    pixels: BgrPixels
    line_height_min_px: float


class PaddleOcr:
    """A PNG or JPEG file to its lines of text. One picture a batch."""

    def __init__(self, model: ResolvedModel, options: LoadOptions) -> None:
        files = model.files
        precision = "bf16" if cpu_has_bf16() else "f32"

        def network(name: str, *, keeps_shapes: bool) -> Network:
            return Network(files[name], precision, options.cpu_threads, keeps_shapes=keeps_shapes)

        # Pictures have any size; lines are fitted to a few.
        detector, recogniser = "PP-OCRv6_det_small.onnx", "PP-OCRv6_rec_small.onnx"
        self._detect = LineDetector(network(detector, keeps_shapes=False))
        self._recognise = LineRecogniser(
            network(recogniser, keeps_shapes=True), characters_of(files[recogniser])
        )
        self._description = ModelDescription(model.ref, f"openvino-{precision}", model.sha256)
        # The first pass of a network is slow.
        blank = np.full((720, 1280, 3), 255, np.uint8)
        self._detect(blank)
        self._recognise(blank[:40])

    @classmethod
    def load(cls, ref: str, options: LoadOptions) -> "PaddleOcr":
        """Resolves and loads the models. Blocks."""
        return cls(resolve(ref, options.cache_dir), options)

    @property
    def description(self) -> ModelDescription:
        """What runs."""
        return self._description

    def prepare(self, raw: PictureToRead) -> Prepared:
        """Decodes a picture.

        Raises:
            InvalidInput: IMAGE_UNDECODABLE.
            LimitExceeded: IMAGE_TOO_LARGE.
        """
        pixels = np.ascontiguousarray(np.asarray(decode(raw.data))[:, :, ::-1])
        return Prepared(pixels, _LARGE * max(pixels.shape[:2]) if raw.tiled else 0)

    def forward(self, batch: Sequence[Prepared]) -> list[ReadPage]:
        """The lines of each picture."""
        return [self._read(picture) for picture in batch]

    def finish(self, output: ReadPage) -> ReadPage:
        """The page as it is."""
        return output

    def _read(self, picture: Prepared) -> ReadPage:
        height_px, width_px = picture.pixels.shape[:2]
        found = [
            (box, strip)
            for corners, strip in self._detect(picture.pixels)
            if (box := _bounds(corners)).height_px >= picture.line_height_min_px
        ]
        lines = self._lines(found)
        if lines and median(line.confidence for line in lines) < _UPRIGHT_CONFIDENCE:
            # By reading it: the usual classifier of orientation takes most long lines that stand
            # on their head for upright, and every seventh upright one for the contrary.
            turned = [(box, np.rot90(strip, 2)) for box, strip in reversed(found)]
            lines = max(lines, self._lines(turned), key=_legibility)
        return ReadPage(tuple(filter(_is_sure, lines)), width_px, height_px)

    def _lines(self, found: Sequence[Found]) -> list[ReadLine]:
        read = (ReadLine(*self._recognise(strip), box) for box, strip in found)
        return [line for line in read if len(line.text) >= _CHARACTERS_MIN]


def _is_sure(line: ReadLine) -> bool:
    return line.confidence >= CONFIDENCE_MIN


def _legibility(lines: Sequence[ReadLine]) -> float:
    """Letters of the lines that are sure, each as much as it is sure."""
    return sum(
        line.confidence * len(line.text.replace(" ", "")) for line in lines if _is_sure(line)
    )


def _bounds(corners: Corners) -> Box:
    left, top = np.floor(corners.min(axis=0))
    right, bottom = np.ceil(corners.max(axis=0))
    return Box(
        max(int(left), 0), max(int(top), 0), max(int(right - left), 1), max(int(bottom - top), 1)
    )
