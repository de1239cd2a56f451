"""Where in its asset something lies: times in seconds, pixels, characters."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TimeSpan:
    """Seconds from the start of the asset; a moment ends where it starts."""

    start_s: float
    end_s: float


@dataclass(frozen=True)
class PixelRegion:
    """A rectangle of the upright picture, in pixels from its top left corner."""

    left_px: int
    top_px: int
    width_px: int
    height_px: int


@dataclass(frozen=True)
class CharRange:
    """Characters ``start`` to before ``end`` of a text."""

    start: int
    end: int


@dataclass(frozen=True)
class Locator:
    """Where in its asset something lies."""

    span: TimeSpan | None = None
    region: PixelRegion | None = None
    chars: CharRange | None = None
