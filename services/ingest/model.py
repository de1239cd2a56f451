"""The vocabulary of the stage: what media is, and what it is cut into. No gRPC here."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

SEGMENT_BYTES_MAX = 1 << 20
"""Largest payload of one segment."""


class Modality(Enum):
    """What kind of signal an asset is."""

    TEXT = "text"
    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"


class SegmentKind(Enum):
    """Which cut a segment is; the value is the middle part of its id."""

    IMAGE_VIEW = "view"
    IMAGE_TILE = "tile"
    VIDEO_FRAME = "frame"
    AUDIO_WINDOW = "audio"
    TEXT_PASSAGE = "text"


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time from the start of the asset, in seconds."""

    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle in the pixels of the upright source picture."""

    left_px: int
    top_px: int
    width_px: int
    height_px: int


@dataclass(frozen=True, slots=True)
class Characters:
    """A range of code points, the end not included."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class ModerationFinding:
    """What a moderation policy found in an asset: a category and, where it scores highest in
    it (0 to 1), the place. ``blocked`` tells that the policy does not let it be used."""

    category: str
    score: float
    blocked: bool
    span: Span | None = None
    region: Region | None = None
    characters: Characters | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """An encoded picture: ``data`` is a JPEG (quality 90 or better) or PNG file."""

    mime_type: str
    data: bytes
    width_px: int
    height_px: int


@dataclass(frozen=True, slots=True)
class Sound:
    """int16 little-endian mono samples."""

    samples: bytes
    sample_rate_hz: int


@dataclass(frozen=True, slots=True)
class Segment:
    """One piece of an asset. ``index`` counts from 0 within the kind, in order of time."""

    kind: SegmentKind
    index: int
    payload: Picture | Sound | str
    span: Span | None = None
    region: Region | None = None
    characters: Characters | None = None
    same_as: int | None = None
    """Of a video frame: the index of an earlier one that shows the same."""
    perceptual_hash: int | None = None
    """Of a view or a frame: 64 bits, see :mod:`services.ingest.phash`."""
    tiled: bool = False
    """Of a view: tiles follow."""

    @property
    def size_bytes(self) -> int:
        """Rough size of the payload, for bounding queues."""
        if isinstance(self.payload, Picture):
            return len(self.payload.data)
        return len(self.payload.samples if isinstance(self.payload, Sound) else self.payload)


@dataclass(frozen=True, slots=True)
class SoundPreview:
    """The sound so far of the window of that index, which is not cut yet."""

    window_index: int
    sound: Sound
    span: Span


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """What the bytes turned out to be. ``duration_s`` is None where it is not stated."""

    modality: Modality
    mime_type: str
    has_video: bool = False
    has_audio: bool = False
    duration_s: float | None = None
    width_px: int = 0
    height_px: int = 0
    streamable: bool = True


CutItem = MediaInfo | Segment | SoundPreview
"""What cutting gives: the info first, then the segments, and previews between them if asked."""


@dataclass(frozen=True, slots=True)
class Rendition:
    """Another form of an asset, made from its bytes and kept beside them.

    ``time_s`` is set for a frame of a video: when it is shown.
    """

    name: str
    mime_type: str
    size_bytes: int
    sha256: str
    width_px: int
    height_px: int
    time_s: float | None = None


@dataclass(frozen=True, slots=True)
class MadeRendition:
    """A rendition that is not kept yet: the bytes of a picture, or the file of a video."""

    name: str
    mime_type: str
    content: bytes | Path
    width_px: int
    height_px: int
    time_s: float | None = None

    @property
    def picture(self) -> bytes:
        """The bytes, of a picture."""
        assert isinstance(self.content, bytes)
        return self.content
