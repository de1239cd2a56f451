"""How much the search for lines of text makes of a picture before its network runs."""

import numpy as np

from services.encode.backends.ocr_networks import LineDetector, Numbers

VIEW_PX = 1280
NUMBERS_MAX = 3 * 6_000_000
"""Of a network's input, 72 MB; an ordinary view is a quarter of it."""


class NothingFound:
    """Stands where the network does, and remembers how large its inputs were."""

    def __init__(self) -> None:
        self.sizes = [0]

    def __call__(self, numbers: Numbers) -> Numbers:
        self.sizes.append(numbers.size)
        return np.zeros((1, 1, *numbers.shape[2:]), np.float32)


def test_a_picture_as_thin_as_a_line_is_not_blown_up() -> None:
    network = NothingFound()
    find = LineDetector(network)

    # The thinnest last: without a bound it takes 5 GB.
    for side_px in (40, 12, 8, 7, 5, 3, 1):
        for shape in ((side_px, VIEW_PX, 3), (VIEW_PX, side_px, 3)):
            assert find(np.full(shape, 255, np.uint8)) == []
            assert max(network.sizes) <= NUMBERS_MAX, shape
    assert len(network.sizes) > 1, "what may hold letters is looked at"
