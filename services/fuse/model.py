"""What fusion speaks of: assets, segments, pieces of evidence, and where they lie."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]


class Modality(StrEnum):
    """What an asset is."""

    TEXT = "text"
    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"

    @property
    def timed(self) -> bool:
        """Whether things in it happen one after another."""
        return self in (Modality.VIDEO, Modality.AUDIO)


class SegmentKind(StrEnum):
    """Which cut of an asset a segment is."""

    IMAGE_VIEW = "image_view"
    IMAGE_TILE = "image_tile"
    VIDEO_FRAME = "video_frame"
    AUDIO_WINDOW = "audio_window"
    TEXT_PASSAGE = "text_passage"


class Origin(StrEnum):
    """How a piece of evidence came to be, in the order of lines at one place."""

    CAPTION = "caption"
    LABEL = "label"
    OCR = "ocr"
    SPEECH = "speech"
    PASSAGE = "passage"


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time from the start of the asset, in nanoseconds."""

    start_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle in the pixels of the upright picture."""

    left_px: int
    top_px: int
    width_px: int
    height_px: int


@dataclass(frozen=True, slots=True)
class Chars:
    """A range of characters, the end excluded."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Locator:
    """Where in its asset something lies; what does not apply is None."""

    span: Span | None = None
    region: Region | None = None
    chars: Chars | None = None


@dataclass(frozen=True, slots=True)
class Asset:
    """An asset of the turn and the tracks that its segments come on."""

    asset_id: str
    name: str
    modality: Modality
    has_video: bool = False
    has_audio: bool = False

    @property
    def tracks(self) -> frozenset[SegmentKind]:
        """The kinds of segments that go on side by side in a timed asset."""
        tracks = set()
        if self.has_video:
            tracks.add(SegmentKind.VIDEO_FRAME)
        if self.has_audio:
            tracks.add(SegmentKind.AUDIO_WINDOW)
        return frozenset(tracks)


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment that was announced."""

    segment_id: str
    asset_id: str
    kind: SegmentKind
    locator: Locator


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """One thing observed, in words. ``vector`` is float32 [dimension] or None."""

    evidence_id: str
    segment_id: str
    asset_id: str
    origin: Origin
    text: str
    locator: Locator
    confidence: float
    vector: Vector | None = None


def cover(locators: Iterable[Locator]) -> Locator:
    """Returns the smallest locator that holds all of the given ones."""
    found = list(locators)
    spans = [locator.span for locator in found if locator.span is not None]
    regions = [locator.region for locator in found if locator.region is not None]
    chars = [locator.chars for locator in found if locator.chars is not None]
    return Locator(
        span=Span(min(s.start_ns for s in spans), max(s.end_ns for s in spans)) if spans else None,
        region=_cover_regions(regions) if regions else None,
        chars=Chars(min(c.start for c in chars), max(c.end for c in chars)) if chars else None,
    )


def _cover_regions(regions: list[Region]) -> Region:
    left = min(r.left_px for r in regions)
    top = min(r.top_px for r in regions)
    right = max(r.left_px + r.width_px for r in regions)
    bottom = max(r.top_px + r.height_px for r in regions)
    return Region(left, top, right - left, bottom - top)
