"""Perceptual hashes: pictures that look alike have hashes that differ in few bits.

pHash as in Zauner, "Implementation and Benchmarking of Perceptual Image Hash
Functions" (2010): the signs of the lowest 8 x 8 frequencies of a 32 x 32 copy,
each beside their median. It survives another size, format, quality and light; a
crop, a turn and a mirror image change it.
"""

import numpy as np
import numpy.typing as npt
from PIL import Image

_COPY_PX = 32
_FREQUENCIES = 8
_CONTRAST_MIN = 4.0
"""Standard deviation of the copy, of 255. In a plainer picture, such as a black frame or an
empty page, noise would decide, and all of them look alike."""

Matrix = npt.NDArray[np.float64]


def _cosines() -> Matrix:
    """The first rows of the type II discrete cosine transform; the constant one is left out,
    because it tells the light and nothing else."""
    frequencies = np.arange(1, _FREQUENCIES + 1)[:, None]
    positions = np.arange(_COPY_PX)[None, :]
    cosines: Matrix = np.cos(np.pi * frequencies * (2 * positions + 1) / (2 * _COPY_PX))
    return cosines


_COSINES = _cosines()


def perceptual_hash(picture: Image.Image) -> int | None:
    """64 bits of an RGB or grey picture; None where it is too plain to tell."""
    copy = picture.resize((_COPY_PX, _COPY_PX), Image.Resampling.BOX, reducing_gap=2.0)
    pixels = np.asarray(copy.convert("L"), dtype=np.float64)
    if pixels.std() < _CONTRAST_MIN:
        return None
    low = (_COSINES @ pixels @ _COSINES.T).ravel()
    return int.from_bytes(np.packbits(low > np.median(low)).tobytes(), "big")
