"""The two networks of PP-OCR on OpenVINO: where lines of text are, and what one says.

What happens to pixels before a network and to numbers behind it is RapidOCR's.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from PIL import Image
from rapidocr.ch_ppocr_det import TextDetector
from rapidocr.ch_ppocr_det.utils import DBPostProcess, DetPreProcess
from rapidocr.ch_ppocr_rec.utils import CTCLabelDecode
from rapidocr.utils.process_img import (
    apply_vertical_padding,
    get_rotate_crop_image,
    map_boxes_to_original,
    resize_image_within_bounds,
)

from services.encode.backends.conversion import compile_for_cpu

BgrPixels = NDArray[np.uint8]
Corners = NDArray[np.float32]
Numbers = NDArray[np.float32]

# Lines are looked for in a picture whose shorter side is stretched to this ...
_DETECTION_SIDE_PX = 736
# ... but not further than so: letters gain nothing by it, and an icon would cost as much as a page.
_STRETCH_MAX = 4
# Letters that are lower than so are none to anybody. The detector's margins grow with how flat a
# picture is: one of 1280 by 1 pixels would become 38400 by 9600.
_LETTER_MIN_PX = 8
# Of the colour channels, 0 to 255: what differs more from the paper is ink.
_INK_MIN = 16
_LINE_FLATNESS_MIN = 3
# Of paper around the ink, which the detector is used to.
_MARGIN_PX = 16
# Limits of RapidOCR: a strip that is flatter than so gets a margin above and below.
_SIDE_MIN_PX, _SIDE_MAX_PX = 30, 2000
_FLATNESS_MAX = 8

_STRIP_HEIGHT_PX = 48
_STRIP_WIDTH_MIN_PX = 320
# The first strip of a width costs as much as three others, so there are few of them.
_STRIP_WIDTHS_PER_DOUBLING = 8


class Network:
    """One input, one output, one request at a time."""

    def __init__(
        self, model_file: Path, precision: str, cpu_threads: int, *, keeps_shapes: bool
    ) -> None:
        compiled = compile_for_cpu(
            model_file,
            precision,
            cpu_threads,
            # For seconds it would be on one core with whoever is pinned to that.
            pinned=False,
            keeps_shapes=keeps_shapes,
        )
        self._request = compiled.create_infer_request()

    def __call__(self, numbers: Numbers) -> Numbers:
        """The output. It is overwritten by the next call."""
        self._request.infer({0: np.ascontiguousarray(numbers)}, share_inputs=True)
        output: Numbers = self._request.get_output_tensor(0).data
        return output


class LineDetector:
    """Finds lines of text by differentiable binarization (Liao et al., 2020)."""

    def __init__(self, network: Callable[[Numbers], Numbers]) -> None:
        self._network = network
        self._boxes = DBPostProcess(thresh=0.3, box_thresh=0.5, unclip_ratio=1.6, use_dilation=True)

    def __call__(self, picture: BgrPixels) -> list[tuple[Corners, BgrPixels]]:
        """The corners of each line, float32 of shape (4, 2), and the line cut out, straight; from
        top to bottom."""
        if min(picture.shape[:2]) < _LETTER_MIN_PX:
            return []
        rows, columns = _lone_line(picture)
        place = np.array([columns.start, rows.start], np.float32)
        return [(corners + place, strip) for corners, strip in self._find(picture[rows, columns])]

    def _find(self, picture: BgrPixels) -> list[tuple[Corners, BgrPixels]]:
        height_px, width_px = picture.shape[:2]
        side_px = min(_DETECTION_SIDE_PX, _STRETCH_MAX * min(height_px, width_px))
        bounded, ratio_h, ratio_w = resize_image_within_bounds(picture, _SIDE_MIN_PX, _SIDE_MAX_PX)
        record = {"preprocess": {"ratio_h": ratio_h, "ratio_w": ratio_w}}
        bounded, record = apply_vertical_padding(bounded, record, _FLATNESS_MAX, _SIDE_MIN_PX)
        prepared = DetPreProcess(side_px, "min")(bounded)
        assert prepared is not None  # it is for pictures without pixels
        likelihood = self._network(prepared)
        boxes, _ = self._boxes(likelihood, bounded.shape[:2])
        if not len(boxes):
            return []
        boxes = TextDetector.sorted_boxes(boxes)
        strips = [get_rotate_crop_image(bounded, box.copy()) for box in boxes]
        corners = map_boxes_to_original(boxes, record, height_px, width_px)
        return list(zip(corners, strips, strict=True))


class LineRecogniser:
    """Reads lines of text by connectionist temporal classification (Graves et al., 2006)."""

    def __init__(self, network: Network, characters: Sequence[str]) -> None:
        self._network = network
        self._decode = CTCLabelDecode(character=list(characters))

    def __call__(self, strip: BgrPixels) -> tuple[str, float]:
        """What a line says, and how sure that is, from 0 to 1."""
        # One by one: a batch of long lines leaves the caches of the CPU and takes longer.
        ((text, confidence),), _ = self._decode(self._network(_fitted(strip, _width_px(strip))))
        return text.strip(), float(confidence)


def characters_of(model_file: Path) -> list[str]:
    """The characters that a recogniser tells apart, in the order of its output."""
    framework = ov.Core().read_model(model_file).get_rt_info()["framework"]
    characters: list[str] = framework["character"].value.splitlines()
    return characters


def _lone_line(picture: BgrPixels) -> tuple[slice, slice]:
    """The rows and columns of a picture with the ink of a lone line, with a margin that leaves it
    not too flat; all of them, where there is more to see.

    A short line of small type is lost on much paper, and found where it is stretched. That is
    done where it costs no more than to look at all of the picture, and not for what is no line: in
    small drawings letters would be seen that are none.
    """
    height_px, width_px = picture.shape[:2]
    paper = np.median(picture[::8, ::8], axis=(0, 1)).astype(np.uint8)
    ink = (np.maximum(picture, paper) - np.minimum(picture, paper) > _INK_MIN).any(axis=2)
    across, along = np.flatnonzero(ink.any(axis=0)), np.flatnonzero(ink.any(axis=1))
    if len(along) and np.ptp(across) >= _LINE_FLATNESS_MIN * np.ptp(along):
        columns = _widened(across, _MARGIN_PX)
        paper_px = (columns.stop - columns.start) // _FLATNESS_MAX // 2
        rows = _widened(along, max(_MARGIN_PX, paper_px))
        area_px = (rows.stop - rows.start) * (columns.stop - columns.start)
        if area_px * _STRETCH_MAX**2 <= height_px * width_px:
            return rows, columns
    return slice(0, height_px), slice(0, width_px)


def _widened(places: NDArray[np.intp], margin_px: int) -> slice:
    """From the first to the last of some places, with a margin; the end may lie outside."""
    return slice(max(0, int(places[0]) - margin_px), int(places[-1]) + 1 + margin_px)


def _width_px(strip: BgrPixels) -> int:
    """How wide a line is for the recogniser, rounded up to one of a few widths."""
    height_px, width_px = strip.shape[:2]
    wanted_px: int = max(_STRIP_WIDTH_MIN_PX, math.ceil(_STRIP_HEIGHT_PX * width_px / height_px))
    step_px: int = (1 << wanted_px.bit_length() - 1) // _STRIP_WIDTHS_PER_DOUBLING
    return -(-wanted_px // step_px) * step_px


def _fitted(strip: BgrPixels, width_px: int) -> NDArray[np.float32]:
    """A line as the recogniser takes it: -1 to 1, shape (1, 3, 48, width_px), zeros behind it."""
    height_px, length_px = strip.shape[:2]
    fitted_px = math.ceil(_STRIP_HEIGHT_PX * length_px / height_px)
    scaled = Image.fromarray(strip).resize((fitted_px, _STRIP_HEIGHT_PX), Image.Resampling.BILINEAR)
    fitted = np.zeros((1, 3, _STRIP_HEIGHT_PX, width_px), np.float32)
    fitted[0, :, :, :fitted_px] = np.asarray(scaled, np.float32).transpose(2, 0, 1) / 127.5 - 1
    return fitted
