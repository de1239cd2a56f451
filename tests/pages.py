"""Pages of known text, drawn with the typeface that Pillow carries."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

PX_4K = (3840, 2160)
Ink = tuple[str, str]
DARK_ON_LIGHT: Ink = ("black", "white")


@dataclass(frozen=True, slots=True)
class PrintedLine:
    """A line of text; ``size_px`` is the size of the type, an em."""

    text: str
    left_px: int
    top_px: int
    size_px: int

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of its ink."""
        left, top, right, bottom = typeface(self.size_px).getbbox(self.text)
        return (
            self.left_px + round(left),
            self.top_px + round(top),
            self.left_px + round(right),
            self.top_px + round(bottom),
        )


@functools.cache
def typeface(size_px: int) -> ImageFont.FreeTypeFont:
    """The typeface in a size."""
    font = ImageFont.load_default(size=size_px)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font


def draw_page(
    lines: Sequence[PrintedLine], size_px: tuple[int, int] = PX_4K, ink: Ink = DARK_ON_LIGHT
) -> Image.Image:
    """The lines on a page; ``ink`` is the colour of the text, then of the paper."""
    page = Image.new("RGB", size_px, ink[1])
    draw = ImageDraw.Draw(page)
    for line in lines:
        place = (line.left_px, line.top_px)
        draw.text(place, line.text, fill=ink[0], font=typeface(line.size_px))
    return page
