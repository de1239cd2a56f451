"""Encoding of pictures for a message: at most 1280 px on the long side, at most 1 MiB."""

import io

from PIL import Image

from services.ingest.model import SEGMENT_BYTES_MAX, Picture

LONG_SIDE_PX = 1280
JPEG_QUALITY = 90
WEB_QUALITY = 85
_PROFILE_SPACE = slice(16, 20)
"""Where an ICC profile names the colour space of its pixels (ICC.1:2022, 7.2)."""
_PROFILE_SPACES = {"RGB": b"RGB ", "L": b"GRAY"}
_SHRINK = 0.8


def fit(width_px: int, height_px: int, long_side_px: int = LONG_SIDE_PX) -> tuple[int, int]:
    """Width and height scaled down, never up, so that the long side fits; at least 1 px each."""
    scale = min(1.0, long_side_px / max(width_px, height_px))
    return max(1, round(width_px * scale)), max(1, round(height_px * scale))


def encode_picture(picture: Image.Image, lossless: bool = False) -> Picture:
    """Encode an RGB or grey picture as JPEG, quality 90; as PNG where ``lossless`` and small.

    A JPEG above the size limit is scaled down further until it is below it.
    """
    picture = shrink_picture(picture, LONG_SIDE_PX)
    if lossless:
        # Level 1: drawings and screenshots are what compresses to below the limit anyway.
        data = _encoded(picture, "PNG", compress_level=1)
        if len(data) <= SEGMENT_BYTES_MAX:
            return Picture("image/png", data, *picture.size)
    data = _encoded(picture, "JPEG", quality=JPEG_QUALITY)
    while len(data) > SEGMENT_BYTES_MAX:
        picture = picture.resize(fit(*picture.size, round(max(picture.size) * _SHRINK)))
        data = _encoded(picture, "JPEG", quality=JPEG_QUALITY)
    return Picture("image/jpeg", data, *picture.size)


def shrink_picture(picture: Image.Image, long_side_px: int) -> Image.Image:
    """A picture scaled down, never up, so that its long side fits."""
    size = fit(*picture.size, long_side_px)
    if size == picture.size:
        return picture
    return picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)


def encode_for_web(picture: Image.Image) -> bytes:
    """A progressive JPEG for people to look at, in the colour space that the picture states."""
    profile = picture.info.get("icc_profile", b"")
    # A profile is of the file's own pixels, which may have been converted since, from CMYK for one.
    fits = profile[_PROFILE_SPACE] == _PROFILE_SPACES.get(picture.mode)
    return _encoded(
        picture,
        "JPEG",
        quality=WEB_QUALITY,
        progressive=True,
        optimize=True,
        icc_profile=profile if fits else None,
    )


def _encoded(picture: Image.Image, encoder: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, encoder, **options)
    return buffer.getvalue()
