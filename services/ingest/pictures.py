"""Encoding of pictures for a message: at most 1280 px on the long side, at most 1 MiB."""

import io

from PIL import Image

from services.ingest.model import SEGMENT_BYTES_MAX, Picture

LONG_SIDE_PX = 1280
JPEG_QUALITY = 90
_SHRINK = 0.8


def fit(width_px: int, height_px: int, long_side_px: int = LONG_SIDE_PX) -> tuple[int, int]:
    """Width and height scaled down, never up, so that the long side fits; at least 1 px each."""
    scale = min(1.0, long_side_px / max(width_px, height_px))
    return max(1, round(width_px * scale)), max(1, round(height_px * scale))


def encode_picture(picture: Image.Image, lossless: bool = False) -> Picture:
    """Encode an RGB or grey picture as JPEG, quality 90; as PNG where ``lossless`` and small.

    A JPEG above the size limit is scaled down further until it is below it.
    """
    size = fit(*picture.size)
    if size != picture.size:
        picture = picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
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


def _encoded(picture: Image.Image, encoder: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, encoder, **options)
    return buffer.getvalue()
