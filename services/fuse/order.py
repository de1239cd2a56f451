"""Positions within one asset: what comes before what.

A position is a tuple of five integers, comparable within an asset:

- timed (video, audio): end, then start, in nanoseconds. The end decides,
  because a thing is known only when it is over.
- picture: the view before the tiles; tiles by row, then column; within a
  segment captions, labels, then writing in the order in which it was read.
- text: first character, then last.
"""

from services.fuse.model import Locator, Modality, Origin, Segment, SegmentKind

Position = tuple[int, int, int, int, int]

START: Position = (-1, -1, -1, -1, -1)

_ORIGIN_RANK = {origin: rank for rank, origin in enumerate(Origin)}
_KIND_RANK = {kind: rank for rank, kind in enumerate(SegmentKind)}


def origin_rank(origin: Origin) -> int:
    """Order of two lines at one place."""
    return _ORIGIN_RANK[origin]


def natural(identifier: str) -> tuple[str, int]:
    """Sort key of an id that ends in an index: "x/9" before "x/10"."""
    stem = identifier.rstrip("0123456789")
    index = identifier[len(stem) :]
    return (stem, int(index) if index and len(index) < 19 else -1)


def position(modality: Modality, segment: Segment, origin: Origin, locator: Locator) -> Position:
    """Returns where evidence of a segment stands. A part of the locator that is
    missing is taken from the segment, and is 0 where that has none either."""
    if modality.timed:
        span = locator.span or segment.locator.span
        return (span.end_ns, span.start_ns, 0, 0, 0) if span else (0, 0, 0, 0, 0)
    if modality is Modality.TEXT:
        chars = locator.chars or segment.locator.chars
        return (chars.start, chars.end, 0, 0, 0) if chars else (0, 0, 0, 0, 0)
    rank, top, left = _place_of_picture(segment)
    region = locator.region if origin is not Origin.OCR else None
    return (rank, top, left, origin_rank(origin), region.top_px if region else 0)


def lower_bound(modality: Modality, segment: Segment) -> Position:
    """Returns the first position that evidence of the segment can take."""
    if modality.timed:
        start_ns = segment.locator.span.start_ns if segment.locator.span else 0
        return (start_ns, start_ns, 0, 0, 0)
    if modality is Modality.TEXT:
        start = segment.locator.chars.start if segment.locator.chars else 0
        return (start, start, 0, 0, 0)
    rank, top, left = _place_of_picture(segment)
    return (rank, top, left, 0, 0)


def _place_of_picture(segment: Segment) -> tuple[int, int, int]:
    region = segment.locator.region
    rank = _KIND_RANK[segment.kind]
    return (rank, region.top_px, region.left_px) if region else (rank, 0, 0)
