"""Small constructors of fusion's domain objects."""

import numpy as np

from services.fuse.lines import Line
from services.fuse.model import (
    Asset,
    Chars,
    Locator,
    Modality,
    Origin,
    Piece,
    Region,
    Segment,
    SegmentKind,
    Span,
    Vector,
)

SECOND = 1_000_000_000


def seconds(start_s: float, end_s: float | None = None) -> Locator:
    end_s = start_s if end_s is None else end_s
    return Locator(span=Span(int(start_s * SECOND), int(end_s * SECOND)))


def video(asset_id: str = "v", *, sound: bool = True, name: str = "clip.mp4") -> Asset:
    return Asset(asset_id, name, Modality.VIDEO, has_video=True, has_audio=sound)


def photo(asset_id: str = "p", name: str = "photo.jpg") -> Asset:
    return Asset(asset_id, name, Modality.IMAGE)


def note(asset_id: str = "t", name: str = "notes.txt") -> Asset:
    return Asset(asset_id, name, Modality.TEXT)


def frame(asset: Asset, index: int, at_s: float) -> Segment:
    kind = SegmentKind.VIDEO_FRAME
    return Segment(f"{asset.asset_id}/frame/{index}", asset.asset_id, kind, seconds(at_s))


def window(asset: Asset, index: int, start_s: float, end_s: float) -> Segment:
    kind = SegmentKind.AUDIO_WINDOW
    locator = seconds(start_s, end_s)
    return Segment(f"{asset.asset_id}/window/{index}", asset.asset_id, kind, locator)


def view(asset: Asset) -> Segment:
    locator = Locator(region=Region(0, 0, 4000, 3000))
    return Segment(f"{asset.asset_id}/view/0", asset.asset_id, SegmentKind.IMAGE_VIEW, locator)


def tile(asset: Asset, index: int) -> Segment:
    locator = Locator(region=Region(1000 * (index % 4), 1000 * (index // 4), 1000, 1000))
    segment_id = f"{asset.asset_id}/tile/{index}"
    return Segment(segment_id, asset.asset_id, SegmentKind.IMAGE_TILE, locator)


def passage(asset: Asset, index: int) -> Segment:
    locator = Locator(chars=Chars(100 * index, 100 * index + 100))
    segment_id = f"{asset.asset_id}/passage/{index}"
    return Segment(segment_id, asset.asset_id, SegmentKind.TEXT_PASSAGE, locator)


def piece(
    segment: Segment,
    origin: Origin,
    text: str,
    index: int = 0,
    *,
    locator: Locator | None = None,
    confidence: float = 0.9,
    vector: Vector | None = None,
) -> Piece:
    return Piece(
        evidence_id=f"{segment.segment_id}#{origin}/{index}",
        segment_id=segment.segment_id,
        asset_id=segment.asset_id,
        origin=origin,
        text=text,
        locator=segment.locator if locator is None else locator,
        confidence=confidence,
        vector=vector,
    )


def line(
    asset: Asset,
    text: str,
    *,
    vector: Vector | None = None,
    confidence: float = 1.0,
    evidence_id: str = "e",
) -> Line:
    found = Piece(
        evidence_id,
        f"{asset.asset_id}/segment/{evidence_id}",
        asset.asset_id,
        Origin.LABEL,
        text,
        Locator(),
        confidence,
        vector,
    )
    return Line(asset, text, [found])


def unit(*numbers: float) -> Vector:
    vector = np.array(numbers, dtype=np.float32)
    normalised: Vector = vector / np.float32(np.linalg.norm(vector))
    return normalised
