"""What encode works on and what it finds, in its own terms: no gRPC, no protobuf."""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Literal, TypeVar

from services.runtime.errors import InvalidInput
from services.runtime.moderation import CATEGORIES
from services.runtime.priority import Priority

Modality = Literal["text", "image", "video", "audio"]
Scores = Mapping[str, float]
"""How sure a classifier is of each category of unwanted content, 0 to 1."""


class SegmentKind(Enum):
    """Which cut of an asset a segment is."""

    IMAGE_VIEW = "image_view"
    IMAGE_TILE = "image_tile"
    VIDEO_FRAME = "video_frame"
    AUDIO_WINDOW = "audio_window"
    TEXT_PASSAGE = "text_passage"


class Task(Enum):
    """A kind of work on a segment, in the order in which it is done."""

    EMBED = "embed"
    LABEL = "label"
    OCR = "ocr"
    TRANSCRIBE = "transcribe"
    MODERATE = "moderate"


PERCEIVING_TASKS = frozenset(Task) - {Task.MODERATE}
"""What is done unless a caller says otherwise: only who judges needs to have it judged."""
PICTURES = (SegmentKind.IMAGE_VIEW, SegmentKind.IMAGE_TILE, SegmentKind.VIDEO_FRAME)

_PICTURE_TASKS = (Task.EMBED, Task.LABEL, Task.OCR, Task.MODERATE)

TASKS_OF_KIND = {
    SegmentKind.IMAGE_VIEW: _PICTURE_TASKS,
    SegmentKind.IMAGE_TILE: _PICTURE_TASKS,
    SegmentKind.VIDEO_FRAME: _PICTURE_TASKS,
    SegmentKind.AUDIO_WINDOW: (Task.TRANSCRIBE, Task.MODERATE),
    SegmentKind.TEXT_PASSAGE: (Task.EMBED, Task.MODERATE),
}

MODALITY_OF_KIND: dict[SegmentKind, Modality] = {
    SegmentKind.IMAGE_VIEW: "image",
    SegmentKind.IMAGE_TILE: "image",
    SegmentKind.VIDEO_FRAME: "video",
    SegmentKind.AUDIO_WINDOW: "audio",
    SegmentKind.TEXT_PASSAGE: "text",
}


SAMPLE_RATE_HZ = 16_000

# A voice that shares less than this with a word is that of its neighbour.
_TOUCH_S = 0.05


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels; the origin is the picture's top left corner."""

    left_px: int
    top_px: int
    width_px: int
    height_px: int


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of an asset.

    ``payload`` is an image file (PNG or JPEG), signed 16-bit little-endian mono
    PCM, or UTF-8 text, by ``kind``. ``start_s`` is where in the asset it begins.
    ``region`` is the part of the upright source that a picture shows.
    """

    segment_id: str
    asset_id: str
    kind: SegmentKind
    payload: bytes
    start_s: float = 0.0
    region: Box | None = None
    sample_rate_hz: int = 0
    same_as: str = ""
    """Of a video frame: the id of an earlier one that shows the same."""
    tiled: bool = False
    """Of a view: its tiles are encoded too."""

    @property
    def modality(self) -> Modality:
        """The modality of its asset, as caching counts it."""
        return MODALITY_OF_KIND[self.kind]


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """A word and when it is said, in seconds from the start of the segment."""

    text: str
    start_s: float
    end_s: float
    confidence: float


@dataclass(frozen=True, slots=True)
class Utterance:
    """A stretch of speech; times in seconds from the start of the sound."""

    text: str
    language: str
    start_s: float
    end_s: float
    confidence: float
    words: tuple[SpokenWord, ...]


Said = TypeVar("Said", SpokenWord, Utterance)


@dataclass(frozen=True, slots=True)
class PictureToRead:
    """A PNG or JPEG file. If ``tiled``, its small print is read in its tiles alone."""

    data: bytes
    tiled: bool = False


@dataclass(frozen=True, slots=True)
class ReadLine:
    """A line of text, 0 to 1 sure, with its upright bounding box."""

    text: str
    confidence: float
    box: Box


@dataclass(frozen=True, slots=True)
class ReadPage:
    """The lines of a picture in reading order, and the picture's size."""

    lines: tuple[ReadLine, ...]
    width_px: int
    height_px: int


@dataclass(frozen=True, slots=True)
class Finding:
    """Something observed in a segment, said in words.

    ``box`` is in the pixels of the segment's own picture, times in seconds from
    the start of the segment: nothing here depends on the asset, so that equal
    payloads share it. ``vector`` is float32 little-endian, of unit length.
    """

    task: Task
    text: str
    confidence: float
    vector: bytes = b""
    box: Box | None = None
    start_s: float | None = None
    end_s: float | None = None
    language: str = ""
    words: tuple[SpokenWord, ...] = ()


@dataclass(frozen=True, slots=True)
class TaskResult:
    """All that came of a task: the segment's vector, if it makes one, and findings.

    ``width_px`` and ``height_px`` are of the picture as decoded; 0 without boxes.
    """

    vector: bytes = b""
    findings: tuple[Finding, ...] = ()
    width_px: int = 0
    height_px: int = 0


@dataclass(frozen=True, slots=True)
class EncodeOptions:
    """What a caller wants. Empty ``tasks`` means all that perceive. ``language`` may be "auto"."""

    tenant: str = "default"
    tasks: frozenset[Task] = frozenset()
    language: str = "en"
    word_times: bool = False
    priority: Priority = Priority.NORMAL
    moderation_categories: frozenset[str] = frozenset(CATEGORIES)


@dataclass(frozen=True, slots=True)
class Speech:
    """Sound to transcribe. ``samples`` is signed 16-bit little-endian mono PCM at 16 kHz.

    ``draft`` asks for a fast guess rather than a good one. Whoever waits sets ``cancelled``
    when it stops waiting; the worker then stops.
    """

    samples: bytes
    language: str
    word_times: bool
    draft: bool = False
    cancelled: threading.Event = field(default_factory=threading.Event)


def tasks_for(kind: SegmentKind, wanted: frozenset[Task]) -> tuple[Task, ...]:
    """The wanted tasks that fit a segment, in the order of work."""
    return tuple(task for task in TASKS_OF_KIND[kind] if task in (wanted or PERCEIVING_TASKS))


def check_sample_rate(segment: Segment) -> None:
    """Raises InvalidInput SAMPLE_RATE_UNSUPPORTED for sound that no model here can hear."""
    if segment.sample_rate_hz != SAMPLE_RATE_HZ:
        raise InvalidInput(
            "SAMPLE_RATE_UNSUPPORTED",
            "Sound must have 16000 samples a second.",
            subject="audio.sample_rate_hz",
        )


def within_voice(said: Said, voiced: Iterable[tuple[float, float]]) -> Said:
    """What is said without the silence before and after it, given where a voice is, in seconds."""
    heard = [
        (start, end)
        for start, end in voiced
        if min(end, said.end_s) - max(start, said.start_s) > _TOUCH_S
    ]
    if not heard:
        return said
    return replace(
        said,
        start_s=max(said.start_s, heard[0][0]),
        end_s=min(said.end_s, heard[-1][1]),
    )


def in_order(words: Iterable[SpokenWord], start_s: float, end_s: float) -> tuple[SpokenWord, ...]:
    """Words one after another within the span of what they say, however they were measured."""
    ordered: list[SpokenWord] = []
    for word in words:
        begin_s = min(max(word.start_s, start_s), end_s)
        finish_s = min(max(word.end_s, begin_s), end_s)
        ordered.append(replace(word, start_s=begin_s, end_s=finish_s))
        start_s = finish_s
    return tuple(ordered)


def place(box: Box, width_px: int, height_px: int, region: Box) -> Box:
    """Maps a box in a picture of the given size to the pixels of the source that it shows.

    The result lies within ``region`` and is at least one pixel large.
    """
    scale_x = region.width_px / width_px
    scale_y = region.height_px / height_px
    left = min(max(round(box.left_px * scale_x), 0), region.width_px - 1)
    top = min(max(round(box.top_px * scale_y), 0), region.height_px - 1)
    right = min(max(round((box.left_px + box.width_px) * scale_x), left + 1), region.width_px)
    bottom = min(max(round((box.top_px + box.height_px) * scale_y), top + 1), region.height_px)
    return Box(region.left_px + left, region.top_px + top, right - left, bottom - top)
