"""The lines of a page from what was read in its view and in its overlapping tiles.

What lies where two tiles overlap is read twice, what a tile's border cuts is
read in pieces, and the view has it all again, smaller; its small print is read
only where no tiles are. The page has each line once, whole. The method is the
usual one for detection on slices (greedy merging, as in SAHI,
https://arxiv.org/abs/2202.06934): with boxes in the pixels of the picture,
repeats are suppressed by containment and likeness of the text; pieces on one
row that overlap are joined where their texts agree.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from itertools import pairwise

VIEW = -1
"""The source of what was read in the view; tiles count from 0."""

_SAME_ROW = 0.6
"""Part of the lower of two boxes that must lie beside the other."""
_SAME_ROW_SURELY = 0.7
"""Intersection over union of two heights that leaves no doubt."""
_SLACK = 0.35
"""Of a line's height: how far the ends of two boxes around the same letters differ."""
_ALIKE = 0.6
"""Part of the letters of a repeat that the other reading has in the same order."""
_COMMON_MIN = 2
"""Letters that two pieces of a line must have in common to be joined."""
_COVERED = 0.75
"""Part of a line of the view, in width or in letters, that replaces it when tiles have read it."""
_LARGE = 1 / 50
"""Of the long side of the picture: from this height on the view reads as well as a tile, and
few letters lie in an overlap. Encode leaves lower lines of a tiled view unread."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in the pixels of the upright picture; right and bottom are outside."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        """In pixels."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """In pixels."""
        return self.bottom - self.top

    def union(self, other: "Box") -> "Box":
        """The smallest box that holds both."""
        return Box(
            min(self.left, other.left),
            min(self.top, other.top),
            max(self.right, other.right),
            max(self.bottom, other.bottom),
        )


@dataclass(frozen=True, slots=True)
class Reading:
    """A line as it was read. ``sources`` are the tiles, or ``VIEW``, that its text is from;
    ``parts`` are the caller's numbers of the readings that it was joined from."""

    text: str
    box: Box
    sources: frozenset[int]
    parts: tuple[int, ...]


def merge_readings(
    readings: Iterable[Reading], picture: Box, tiles: dict[int, Box]
) -> list[Reading]:
    """Returns each line of the page once, row by row from the top, from left to right.

    Those of one source come in reading order. Where that mostly goes upwards, the page stands on
    its head: it is merged, and returned, as it reads.
    """
    readings = list(readings)
    if not _goes_upwards(readings):
        return _merged_upright(readings, picture, tiles)
    merged = _merged_upright(
        [replace(reading, box=_turned(reading.box, picture)) for reading in readings],
        picture,
        {index: _turned(tile, picture) for index, tile in tiles.items()},
    )
    return [replace(line, box=_turned(line.box, picture)) for line in merged]


def _merged_upright(readings: list[Reading], picture: Box, tiles: dict[int, Box]) -> list[Reading]:
    page = _Page(picture, tiles)
    small = []
    for reading in sorted(readings, key=page.precedence):
        if VIEW in reading.sources and not page.is_large(reading):
            small.append(reading)
        elif not page.has_slice(reading):
            page.place(reading)
    for reading in small:
        if not page.covers(reading):
            page.place(reading)
    return _in_reading_order(page.lines)


class _Page:
    """The lines found so far; no two of them are the same writing."""

    def __init__(self, picture: Box, tiles: dict[int, Box]) -> None:
        self.lines: list[Reading] = []
        self._picture = picture
        self._tiles = tiles

    def precedence(self, reading: Reading) -> tuple[int, int, int, int]:
        """Whole lines of tiles, large ones of the view, pieces, slices; the longest first."""
        if VIEW in reading.sources:
            rank = 1
        elif self._is_sliced(reading):
            rank = 3
        else:
            rank = 2 if self._is_cut(reading) else 0
        return rank, -reading.box.width, reading.box.top, reading.box.left

    def is_large(self, reading: Reading) -> bool:
        """Whether the view reads letters of this height as well as a tile."""
        return reading.box.height >= _LARGE * max(self._picture.width, self._picture.height)

    def place(self, reading: Reading) -> None:
        """Adds a reading, or joins it to the line it is part of, or drops it as a repeat."""
        for index, line in enumerate(self.lines):
            if not _meet(line.box, reading.box) or reading.sources & line.sources:
                continue
            merged = _merged(line, reading)
            if merged is line:
                return
            if merged is not None:
                # It has grown, and may meet others now.
                del self.lines[index]
                self.place(merged)
                return
        self.lines.append(reading)

    def has_slice(self, reading: Reading) -> bool:
        """Whether a reading is the upper or lower part of letters that a line here has whole."""
        if not self._is_sliced(reading):
            return False
        area = reading.box.width * reading.box.height
        return any(_common_area(line.box, reading.box) >= _SAME_ROW * area for line in self.lines)

    def covers(self, reading: Reading) -> bool:
        """Whether the lines here have most of what the view read, and so have it better."""
        beside = [line for line in self.lines if _meet(line.box, reading.box)]
        width = sum(_common(_across(line.box), _across(reading.box)) for line in beside)
        letters = sum(
            len(line.text) * _common(_across(line.box), _across(reading.box)) / line.box.width
            for line in beside
        )
        return width >= _COVERED * reading.box.width or letters >= _COVERED * len(reading.text)

    def _is_cut(self, reading: Reading) -> bool:
        """Whether it touches a border of its tile at the left or the right."""
        tile, box, slack = self._tile(reading), reading.box, _slack(reading.box)
        return (tile.left > self._picture.left and box.left - tile.left <= slack) or (
            tile.right < self._picture.right and tile.right - box.right <= slack
        )

    def _is_sliced(self, reading: Reading) -> bool:
        """Whether it touches a border of its tile at the top or the bottom."""
        if VIEW in reading.sources:
            return False
        tile, box, slack = self._tile(reading), reading.box, _slack(reading.box) / 2
        return (tile.top > self._picture.top and box.top - tile.top <= slack) or (
            tile.bottom < self._picture.bottom and tile.bottom - box.bottom <= slack
        )

    def _tile(self, reading: Reading) -> Box:
        (source,) = reading.sources
        return self._tiles[source]


def _merged(line: Reading, other: Reading) -> Reading | None:
    """Of two readings that overlap on a row the one that has all of it, or both joined; None
    where they are different writing after all."""
    left, right = sorted((line, other), key=lambda reading: reading.box.left)
    both_from_tiles = VIEW not in line.sources | other.sources
    if both_from_tiles and left.box.left < right.box.left and left.box.right < right.box.right:
        # Even by a pixel: a border has cut the last letter of the one that ends there.
        joined = _joined(left, right)
        if joined is not None:
            return joined
    if _holds(line.box, other.box):
        return line if _repeats(other, line) else None
    if _holds(other.box, line.box):
        return other if _repeats(line, other) else None
    return None if both_from_tiles else _joined(left, right)


def _repeats(inner: Reading, outer: Reading) -> bool:
    if _on_row_surely(inner.box, outer.box):
        return True
    blocks = SequenceMatcher(None, inner.text, outer.text, autojunk=False).get_matching_blocks()
    return sum(block.size for block in blocks) >= _ALIKE * len(inner.text)


def _joined(left: Reading, right: Reading) -> Reading | None:
    """Joins two texts in the longest run of letters that both have where they overlap: before
    it the left one is right, behind it the right one; letters that a border cut lie outside."""
    left_pitch = left.box.width / len(left.text)
    right_pitch = right.box.width / len(right.text)
    pitch = (left_pitch + right_pitch) / 2
    # A margin, because letters are not equally wide.
    margin = 3
    first = max(0, math.floor((right.box.left - left.box.left) / left_pitch) - margin)
    last = math.ceil((left.box.right - right.box.left) / right_pitch) + margin
    best_score, best_text = 0.0, ""
    for start in range(first, len(left.text)):
        for other_start in range(min(last, len(right.text))):
            length = _run(left.text[start:], right.text[other_start:last])
            place = left.box.left + start * left_pitch
            other_place = right.box.left + other_start * right_pitch
            score = length - abs(place - other_place) / pitch
            if length >= _COMMON_MIN and score > best_score + 1e-6:
                best_score = score
                best_text = left.text[: start + length] + right.text[other_start + length :]
    if not best_text:
        return None
    return Reading(
        best_text,
        _around(left.box, right.box),
        left.sources | right.sources,
        left.parts + right.parts,
    )


def _around(left: Box, right: Box) -> Box:
    """The box of a joined line: as high as the longer piece, unless the line is aslant."""
    whole = left.union(right)
    if not _on_row_surely(left, right):
        return whole
    longer = max(left, right, key=lambda box: box.width)
    return Box(whole.left, longer.top, whole.right, longer.bottom)


def _run(text: str, other: str) -> int:
    """How many letters two texts have in common at their beginning."""
    length = 0
    for letter, other_letter in zip(text, other, strict=False):
        if letter != other_letter:
            break
        length += 1
    return length


def _meet(box: Box, other: Box) -> bool:
    """Whether two boxes lie on one row and overlap there by more than their ends are unsure."""
    if box.bottom <= other.top or other.bottom <= box.top:
        return False  # most pairs of a page
    beside = _common(_along(box), _along(other))
    if beside < _SAME_ROW * min(box.height, other.height):
        return False
    return _common(_across(box), _across(other)) > min(_slack(box), _slack(other))


def _on_row_surely(box: Box, other: Box) -> bool:
    united = box.union(other).height
    return _common(_along(box), _along(other)) >= _SAME_ROW_SURELY * united


def _holds(outer: Box, inner: Box) -> bool:
    """Whether a box reaches as far as another to both sides."""
    slack = min(_slack(outer), _slack(inner))
    return outer.left - inner.left <= slack and inner.right - outer.right <= slack


def _slack(box: Box) -> float:
    return _SLACK * box.height


def _across(box: Box) -> tuple[int, int]:
    return box.left, box.right


def _along(box: Box) -> tuple[int, int]:
    return box.top, box.bottom


def _common(extent: tuple[int, int], other: tuple[int, int]) -> int:
    return max(0, min(extent[1], other[1]) - max(extent[0], other[0]))


def _common_area(box: Box, other: Box) -> int:
    return _common(_across(box), _across(other)) * _common(_along(box), _along(other))


def _goes_upwards(readings: list[Reading]) -> bool:
    steps = [
        (before.box, after.box)
        for before, after in pairwise(readings)
        if before.sources == after.sources
    ]
    down = sum(before.bottom <= after.top for before, after in steps)
    return sum(after.bottom <= before.top for before, after in steps) > down


def _turned(box: Box, picture: Box) -> Box:
    """A box in the picture turned upside down."""
    across, along = picture.left + picture.right, picture.top + picture.bottom
    return Box(across - box.right, along - box.bottom, across - box.left, along - box.top)


def _in_reading_order(lines: list[Reading]) -> list[Reading]:
    rows: list[list[Reading]] = []
    for line in sorted(lines, key=lambda line: (line.box.top + line.box.bottom, line.box.left)):
        if rows and _on_row(rows[-1][0].box, line.box):
            rows[-1].append(line)
        else:
            rows.append([line])
    return [line for row in rows for line in sorted(row, key=lambda line: line.box.left)]


def _on_row(first: Box, box: Box) -> bool:
    return _common(_along(first), _along(box)) >= 0.5 * max(first.height, box.height)
