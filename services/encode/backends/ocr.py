"""Lines of text in pictures: PP-OCRv6 small by RapidOCR on ONNX Runtime."""

from collections.abc import Sequence
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rapidocr import RapidOCR

from services.encode.backends.contract import LoadOptions, ModelDescription
from services.encode.backends.pictures import decode
from services.encode.segments import Box, ReadLine, ReadPage
from services.runtime.models import ResolvedModel, resolve

CONFIDENCE_MIN = 0.6
# Below this median the page is more likely upside down than badly printed.
_UPRIGHT_CONFIDENCE = 0.9
# A single mark is far more often texture than text.
_CHARACTERS_MIN = 2

# Lines are looked for in a picture whose shorter side is stretched to this ...
_DETECTION_SIDE_PX = 736
# ... but not further than so: letters gain nothing by it, and an icon would cost as much as a page.
_STRETCH_MAX = 4

BgrPixels = NDArray[np.uint8]


class PaddleOcr:
    """A PNG or JPEG file (bytes) to its lines of text. One picture a batch."""

    def __init__(self, model: ResolvedModel, options: LoadOptions) -> None:
        # Explicit paths: without them RapidOCR would fetch what it misses.
        files = model.files
        self._engine = RapidOCR(
            params={
                "Global.log_level": "critical",
                # What is unsure is left out below; it tells that a page is upside down.
                "Global.text_score": 0.0,
                "Det.model_path": str(files["PP-OCRv6_det_small.onnx"]),
                "Rec.model_path": str(files["PP-OCRv6_rec_small.onnx"]),
                "Cls.model_path": str(files["ch_ppocr_mobile_v2.0_cls_mobile.onnx"]),
                "EngineConfig.onnxruntime.intra_op_num_threads": options.cpu_threads,
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            }
        )
        self._description = ModelDescription(model.ref, "onnxruntime-f32", model.sha256)
        # The sessions open at first use; a stroke makes all three of them do it.
        warm = np.full((64, 256, 3), 255, np.uint8)
        warm[24:40, 40:216] = 0
        self._engine(warm, use_cls=True)

    @classmethod
    def load(cls, ref: str, options: LoadOptions) -> "PaddleOcr":
        """Resolves and loads the models. Blocks."""
        return cls(resolve(ref, options.cache_dir), options)

    @property
    def description(self) -> ModelDescription:
        """What runs."""
        return self._description

    def prepare(self, raw: bytes) -> BgrPixels:
        """Decodes a picture, uint8 of shape (height, width, 3), blue first.

        Raises:
            InvalidInput: IMAGE_UNDECODABLE.
            LimitExceeded: IMAGE_TOO_LARGE.
        """
        return np.ascontiguousarray(np.asarray(decode(raw))[:, :, ::-1])

    def forward(self, batch: Sequence[BgrPixels]) -> list[ReadPage]:
        """The lines of each picture."""
        return [self._read(picture) for picture in batch]

    def finish(self, output: ReadPage) -> ReadPage:
        """The page as it is."""
        return output

    def _read(self, picture: BgrPixels) -> ReadPage:
        height_px, width_px = picture.shape[:2]
        lines = self._lines(picture, turning=False)
        if lines and _median_confidence(lines) < _UPRIGHT_CONFIDENCE:
            lines = max(lines, self._lines(picture, turning=True), key=_median_confidence)
        sure = (line for line in lines if line.confidence >= CONFIDENCE_MIN)
        return ReadPage(tuple(sure), width_px, height_px)

    def _lines(self, picture: BgrPixels, *, turning: bool) -> list[ReadLine]:
        """All lines; ``turning`` those that look upside down, which long ones often do to the
        classifier: it takes every seventh line of a page for one, and then that is garbled."""
        # Typed as a union of stages; with detection and recognition on it is the whole result.
        side_px = min(_DETECTION_SIDE_PX, _STRETCH_MAX * min(picture.shape[:2]))
        # Read anew at each call; no two run at once.
        detector: Any = self._engine.text_det
        detector.limit_side_len = side_px
        found: Any = self._engine(picture, use_cls=turning)
        return [
            ReadLine(text.strip(), float(score), _bounds(corners))
            for text, score, corners in zip(
                found.txts or (), found.scores or (), _corners(found.boxes), strict=True
            )
            if len(text.strip()) >= _CHARACTERS_MIN
        ]


def _median_confidence(lines: Sequence[ReadLine]) -> float:
    return median(line.confidence for line in lines) if lines else 0.0


def _corners(boxes: NDArray[np.float32] | None) -> Sequence[NDArray[np.float32]]:
    return () if boxes is None else list(boxes)


def _bounds(corners: NDArray[np.float32]) -> Box:
    left, top = np.floor(corners.min(axis=0))
    right, bottom = np.ceil(corners.max(axis=0))
    return Box(
        max(int(left), 0), max(int(top), 0), max(int(right - left), 1), max(int(bottom - top), 1)
    )
