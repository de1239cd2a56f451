"""Frames of a video that show the same, told by small copies of them.

A perceptual hash of a few bits, such as dHash, is blind to a changed word on a
slide. So the copies themselves are compared, as in block mean value hashing
(Yang, Gu and Niu, 2006) before its last step, at a size at which letters of
20 px still make a difference.
"""

from collections import deque

import numpy as np
import numpy.typing as npt
from PIL import Image

from services.ingest.pictures import fit

LOOK_PX = 320
"""Long side of the copies: four pixels across of a frame make one of them."""
DIFFERENCE_MAX = 24
"""Most that any pixel of two such copies differs by in brightness or colour, of 255. Noise
and compression reach 10 to 16, a changed digit 60 and more."""
KEPT_COUNT = 8
"""So many different frames are remembered; films cut back and forth."""

Look = npt.NDArray[np.uint8]


class Looks:
    """The looks of a video so far."""

    def __init__(self) -> None:
        self._kept: deque[tuple[int, Look]] = deque(maxlen=KEPT_COUNT)

    def same_as(self, picture: Image.Image, index: int) -> int | None:
        """The index of an earlier frame that shows the same as frame ``index``, or None."""
        look = _look(picture)
        for earlier_index, earlier in reversed(self._kept):
            if earlier.shape == look.shape and _difference(earlier, look) <= DIFFERENCE_MAX:
                return earlier_index
        self._kept.append((index, look))
        return None


def _look(picture: Image.Image) -> Look:
    small = picture.convert("RGB").resize(fit(*picture.size, LOOK_PX), Image.Resampling.BOX)
    # Brightness apart from colour, as it is compressed: noise is alike in all three.
    return np.asarray(small.convert("YCbCr"))


def _difference(one: Look, other: Look) -> int:
    return int((np.maximum(one, other) - np.minimum(one, other)).max())
