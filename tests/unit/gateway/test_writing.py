"""Lines of a page from readings of its view and its overlapping tiles."""

import random
from dataclasses import dataclass, replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from services.gateway.writing import VIEW, Box, Reading, merge_readings
from services.ingest.tiles import tile_regions

WIDTH_PX, HEIGHT_PX = 3840, 2160
PICTURE = Box(0, 0, WIDTH_PX, HEIGHT_PX)
TILES = {
    index: Box(
        tile.left_px, tile.top_px, tile.left_px + tile.width_px, tile.top_px + tile.height_px
    )
    for index, tile in enumerate(tile_regions(WIDTH_PX, HEIGHT_PX))
}
MISREAD = "~"


@dataclass(frozen=True)
class Written:
    """A line of letters of equal width."""

    text: str
    left: int
    top: int
    letter_px: int

    @property
    def box(self) -> Box:
        width = len(self.text) * self.letter_px
        return Box(self.left, self.top, self.left + width, self.top + 2 * self.letter_px)


def seen(line: Written, window: Box, source: int) -> Reading | None:
    """What a faultless reader makes of the part of a line that a window shows: a letter of which
    it sees little is missing, one that it sees half of is misread, as are all where it sees them
    half from above or below."""
    box = line.box
    top, bottom = max(box.top, window.top), min(box.bottom, window.bottom)
    if bottom - top < 0.3 * box.height:
        return None
    letters = []
    for index, letter in enumerate(line.text):
        left = box.left + index * line.letter_px
        visible = min(left + line.letter_px, window.right) - max(left, window.left)
        if visible >= line.letter_px and bottom - top == box.height:
            letters.append(letter)
        elif visible > 0.4 * line.letter_px:
            letters.append(MISREAD)
    text = "".join(letters)
    if len(text.strip()) < 2:
        return None
    part = Box(max(box.left, window.left), top, min(box.right, window.right), bottom)
    return Reading(text, part, frozenset({source}), ())


def read_in_view(line: Written) -> Reading:
    """The view is a third as large: every fifth letter of it is misread."""
    letters = [MISREAD if index % 5 == 4 else each for index, each in enumerate(line.text)]
    return Reading("".join(letters), line.box, frozenset({VIEW}), ())


def readings_of(lines: list[Written]) -> list[Reading]:
    found = [read_in_view(line) for line in lines]
    for source, tile in TILES.items():
        found += [part for line in lines if (part := seen(line, tile, source))]
    return found


@st.composite
def pages(draw: st.DrawFn) -> list[Written]:
    """Pages of lines that do not touch each other, many of them across the seams."""
    # Drawn letters would shrink to one that is the same all along, and that tells no place.
    letters = random.Random(draw(st.integers(0, 999)))
    lines = []
    top = draw(st.integers(0, 60))
    while top < HEIGHT_PX - 80:
        letter_px = draw(st.integers(6, 18))
        left = draw(st.integers(0, WIDTH_PX // 2))
        length = draw(st.integers(3, min((WIDTH_PX - left) // letter_px, 250)))
        words = "".join(letters.choices("abcdefghijklmnopqrst  0123456789", k=length))
        # A blank at an end would not be seen.
        lines.append(Written(f"<{words[1:-1].strip()}>", left, top, letter_px))
        top += 2 * letter_px + draw(st.integers(4, 200))
    return lines


@settings(max_examples=40)
@given(pages())
def test_every_line_is_there_once_whole_and_in_order(lines: list[Written]) -> None:
    merged = merge_readings(readings_of(lines), PICTURE, TILES)
    assert [(line.text, line.box) for line in merged] == [(line.text, line.box) for line in lines]


def upside_down(box: Box) -> Box:
    return Box(
        WIDTH_PX - box.right, HEIGHT_PX - box.bottom, WIDTH_PX - box.left, HEIGHT_PX - box.top
    )


@settings(max_examples=20)
@given(pages())
def test_a_page_that_stands_on_its_head_is_merged_as_it_reads(lines: list[Written]) -> None:
    assume(len(lines) > 1)
    merged = merge_readings(
        [replace(each, box=upside_down(each.box)) for each in readings_of(lines)],
        PICTURE,
        {index: upside_down(tile) for index, tile in TILES.items()},
    )
    assert [(line.text, upside_down(line.box)) for line in merged] == [
        (line.text, line.box) for line in lines
    ]


def reading(text: str, source: int, left: int, right: int, top: int = 100) -> Reading:
    return Reading(text, Box(left, top, right, top + 30), frozenset({source}), ())


SEAM = (TILES[1].left, TILES[0].right)
"""The pixels that the first two tiles share."""


def texts(*readings: Reading) -> list[str]:
    return [line.text for line in merge_readings(readings, PICTURE, TILES)]


def test_the_reading_of_a_tile_is_better_than_that_of_the_view() -> None:
    assert texts(reading("lnvoice 7O1", VIEW, 100, 300), reading("Invoice 701", 0, 102, 298)) == [
        "Invoice 701"
    ]


def test_what_only_the_view_has_read_stays() -> None:
    """A tile that found one word of a line does not cost the others."""
    whole = reading("Invoice 701 of 3 May", VIEW, 100, 500)
    assert texts(whole, reading("Invoice", 0, 100, 240)) == ["Invoice 701 of 3 May"]
    assert texts(whole, reading("elsewhere", 0, 100, 240, top=400)) == [
        "Invoice 701 of 3 May",
        "elsewhere",
    ]


def test_equal_words_at_two_places_are_two_lines() -> None:
    assert texts(reading("2.40", 0, 100, 160), reading("2.40", 0, 100, 160, top=200)) == [
        "2.40",
        "2.40",
    ]


def test_columns_beside_a_seam_stay_apart() -> None:
    left, right = SEAM
    first = reading("left column", 0, left - 300, left + 20)
    second = reading("right column", 1, left + 40, right + 300)
    assert texts(first, second) == ["left column", "right column"]


def test_a_line_larger_than_the_overlap_is_that_of_the_view() -> None:
    box = Box(900, 300, 3000, 800)
    pieces = [
        Reading("GRAN", Box(900, 300, TILES[0].right, 800), frozenset({0}), ()),
        Reading("D SALE", Box(TILES[1].left, 300, TILES[1].right, 800), frozenset({1}), ()),
        Reading("LE", Box(TILES[2].left, 300, 3000, 800), frozenset({2}), ()),
    ]
    whole = Reading("GRAND SALE", box, frozenset({VIEW}), ())
    (line,) = merge_readings([*pieces, whole], PICTURE, TILES)
    assert (line.text, line.box) == ("GRAND SALE", box)


@pytest.mark.parametrize(
    ("left", "right"), [("The quick brow", "ck brown fox"), ("The quick brcv", "ok brown fox")]
)
def test_letters_that_the_border_cut_are_taken_from_the_other_piece(left: str, right: str) -> None:
    seam_left, seam_right = SEAM
    pitch = (seam_right - seam_left) // 7
    start = seam_right - 14 * pitch
    first = reading(left, 0, start, seam_right)
    second = reading(right, 1, start + 7 * pitch, start + 19 * pitch)
    assert texts(first, second) == ["The quick brown fox"]
