"""Where the tiles of a large picture lie."""

import math

from services.ingest.model import Region
from services.ingest.pictures import LONG_SIDE_PX

TILED_FROM_PX = 1600
"""A picture with a longer side than this gets tiles beside its view."""
TILE_COUNT_MAX = 6
OVERLAP = 0.1
"""Part of a tile's side that it shares with its neighbour, so that no line of text is cut."""


def tile_regions(width_px: int, height_px: int) -> list[Region]:
    """Regions that cover a picture with overlap, row by row; none for a small one.

    The grid is the one with the fewest tiles that keeps the full resolution,
    or, where six tiles are not enough for that, the one that keeps most of it.
    """
    if max(width_px, height_px) <= TILED_FROM_PX:
        return []
    grids = [
        (columns, rows)
        for columns in range(1, TILE_COUNT_MAX + 1)
        for rows in range(1, TILE_COUNT_MAX // columns + 1)
        if columns * rows > 1
    ]

    def cost(grid: tuple[int, int]) -> tuple[float, int, float]:
        columns, rows = grid
        sides = (_side(width_px, columns), _side(height_px, rows))
        lost = max(1.0, max(sides) / LONG_SIDE_PX)
        return round(lost, 3), columns * rows, max(sides) / min(sides)

    columns, rows = min(grids, key=cost)
    return [
        Region(left, top, width, height)
        for top, height in _strips(height_px, rows)
        for left, width in _strips(width_px, columns)
    ]


def _side(length_px: int, count: int) -> int:
    """Side of each of ``count`` overlapping strips over a length."""
    return math.ceil(length_px / (count - (count - 1) * OVERLAP))


def _strips(length_px: int, count: int) -> list[tuple[int, int]]:
    side = min(length_px, _side(length_px, count))
    if count == 1:
        return [(0, length_px)]
    return [(round(step * (length_px - side) / (count - 1)), side) for step in range(count)]
