"""Decoding of the pictures that segments carry."""

import io

from PIL import Image, UnidentifiedImageError

from services.runtime.errors import InvalidInput, LimitExceeded

# A view is at most 1280 px wide and high; far above that it is a bomb.
PIXELS_MAX = 16_000_000


def decode(data: bytes, target_px: int | None = None) -> Image.Image:
    """An RGB picture, transparency laid on white.

    With ``target_px`` a JPEG may come back smaller, but no side under twice the
    target: Pillow's draft mode scales inside the decoder, at a fifth of the time.

    Raises:
        InvalidInput: IMAGE_UNDECODABLE.
        LimitExceeded: IMAGE_TOO_LARGE.
    """
    try:
        picture = Image.open(io.BytesIO(data), formats=("JPEG", "PNG"))
        if picture.width * picture.height > PIXELS_MAX:
            raise _too_large()
        if target_px is not None:
            picture.draft("RGB", (2 * target_px, 2 * target_px))
        picture.load()
    except Image.DecompressionBombError:
        raise _too_large() from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError):
        raise InvalidInput(
            "IMAGE_UNDECODABLE", "The picture is not a readable PNG or JPEG.", subject="image"
        ) from None
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        rgba = picture.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return picture.convert("RGB")


def _too_large() -> LimitExceeded:
    return LimitExceeded(
        "IMAGE_TOO_LARGE", "A segment's picture has too many pixels.", subject="image"
    )
