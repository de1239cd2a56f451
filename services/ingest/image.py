"""Pictures into a view and tiles, by Pillow."""

import contextlib
import struct
import threading
import zlib
from collections.abc import Iterator

from PIL import ExifTags, Image, UnidentifiedImageError

from services.ingest.growing import GrowingFile, WholeReads
from services.ingest.model import MediaInfo, Modality, Region, Segment, SegmentKind
from services.ingest.options import Limits
from services.ingest.phash import perceptual_hash
from services.ingest.pictures import LONG_SIDE_PX, encode_picture, fit
from services.ingest.sniff import MediaType
from services.ingest.tiles import tile_regions
from services.runtime.errors import InvalidInput, LimitExceeded

_LOSSLESS = {"PNG", "BMP", "GIF", "TIFF"}
_SIDEWAYS = {5, 6, 7, 8}
"""EXIF orientations that swap width and height."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes a picture of an EXIF orientation upright (the table of Pillow's exif_transpose)."""

_PNG_EXIF = {"exif", "Raw profile type exif"}
_TRUNCATED_WORDS = ("truncated", "Truncated")


class ImageCutter:
    """Cuts pictures, a bounded number at once: a decoded one may take 200 MB."""

    def __init__(self, concurrency: int) -> None:
        self._permits = threading.BoundedSemaphore(concurrency)

    def cut(
        self, file: GrowingFile, found: MediaType, limits: Limits
    ) -> Iterator[MediaInfo | Segment]:
        """The info as soon as the header is there, then the view, then the tiles.

        Raises:
            LimitExceeded: ``IMAGE_TOO_LARGE``, before a pixel is decoded.
            InvalidInput: ``MEDIA_UNREADABLE`` or ``MEDIA_TRUNCATED``.
        """
        picture = _open(file, found, limits)
        width_px, height_px = _upright_size(picture)
        yield MediaInfo(Modality.IMAGE, found.mime_type, width_px=width_px, height_px=height_px)
        file.wait_complete()
        with self._permits:
            lossless = found.decoder in _LOSSLESS
            view = _decode(file, picture, 2 * LONG_SIDE_PX)
            regions = tile_regions(width_px, height_px)
            yield Segment(
                kind=SegmentKind.IMAGE_VIEW,
                index=0,
                payload=encode_picture(view, lossless),
                region=Region(0, 0, width_px, height_px),
                perceptual_hash=perceptual_hash(view),
                tiled=bool(regions),
            )
            if not regions:
                return
            largest_px = max(max(region.width_px, region.height_px) for region in regions)
            wanted_px = max(fit(width_px, height_px, _scaled(width_px, height_px, largest_px)))
            if max(view.size) < wanted_px:
                view = _decode(file, _open(file, found, limits), wanted_px)
            scale_x, scale_y = view.width / width_px, view.height / height_px
            for index, region in enumerate(regions):
                box = (
                    round(region.left_px * scale_x),
                    round(region.top_px * scale_y),
                    round((region.left_px + region.width_px) * scale_x),
                    round((region.top_px + region.height_px) * scale_y),
                )
                yield Segment(
                    kind=SegmentKind.IMAGE_TILE,
                    index=index,
                    payload=encode_picture(view.crop(box), lossless),
                    region=region,
                )

    def shrink(
        self, file: GrowingFile, found: MediaType, limits: Limits, side_px: int
    ) -> Image.Image:
        """The whole picture, upright, at least ``side_px`` long where it is that large. Raises
        as :meth:`cut`."""
        with self._permits:
            return _decode(file, _open(file, found, limits), side_px)

    def inspect(self, file: GrowingFile, found: MediaType, limits: Limits) -> MediaInfo:
        """The header only. Raises as :meth:`cut`."""
        width_px, height_px = _upright_size(_open(file, found, limits))
        return MediaInfo(Modality.IMAGE, found.mime_type, width_px=width_px, height_px=height_px)


def _scaled(width_px: int, height_px: int, tile_px: int) -> int:
    """Long side of the whole picture at which a tile of ``tile_px`` fits its encoding."""
    return round(max(width_px, height_px) * min(1.0, LONG_SIDE_PX / tile_px))


def _open(file: GrowingFile, found: MediaType, limits: Limits) -> Image.Image:
    """Read the header, nothing more, and hold it against the pixel cap."""
    file.seek(0)
    try:
        picture = Image.open(WholeReads(file), formats=(found.decoder,))  # type: ignore[arg-type]
    except Image.DecompressionBombError:
        raise _too_large(limits) from None
    except (UnidentifiedImageError, *_DAMAGE) as error:
        raise _unreadable(file, error) from None
    if picture.width * picture.height > limits.image_pixels_max:
        raise _too_large(limits)
    return picture


def _decode(file: GrowingFile, picture: Image.Image, long_side_px: int) -> Image.Image:
    """Decode to RGB or grey, upright, on white; JPEG at a reduced size that is large enough."""
    upright_size = _upright_size(picture)
    orientation = _orientation(picture)
    wanted = fit(*upright_size, long_side_px)
    if orientation in _SIDEWAYS:
        wanted = wanted[1], wanted[0]
    try:
        picture.draft(None, wanted)
        picture.load()
        flat = _on_white(picture)
        turn = _TURNS.get(orientation)
        return flat if turn is None else flat.transpose(turn)
    except _DAMAGE as error:
        raise _unreadable(file, error) from None


_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, KeyError)
"""What Pillow's decoders raise on damaged files, besides errors of the file itself."""


def _on_white(picture: Image.Image) -> Image.Image:
    if picture.mode in ("L", "RGB"):
        return picture
    if picture.mode.startswith("I") or picture.mode == "F":
        return _grey(picture)
    if picture.has_transparency_data:
        layered = picture.convert("RGBA")
        white = Image.new("RGBA", layered.size, "white")
        return Image.alpha_composite(white, layered).convert("RGB")
    return picture.convert("RGB")


def _grey(picture: Image.Image) -> Image.Image:
    """16-bit, 32-bit and float grey, stretched over 8 bits."""
    numbers = picture.convert("F")
    extrema = numbers.getextrema()
    low, high = float(extrema[0]), float(extrema[1])  # type: ignore[arg-type]
    if picture.mode.startswith("I;16"):
        low, high = 0.0, 65535.0
    scale = 255.0 / max(high - low, 1e-9)
    return numbers.point(lambda value: value * scale - low * scale).convert("L")


def _orientation(picture: Image.Image) -> int:
    """The EXIF orientation, where it stands before the pixels and can be read. A PNG may state
    it after them; to look there, all of it would have to come and be decoded."""
    if picture.format == "PNG" and not _PNG_EXIF & picture.info.keys():
        return 1
    with contextlib.suppress(*_DAMAGE):
        return int(picture.getexif().get(ExifTags.Base.Orientation, 1))
    return 1


def _upright_size(picture: Image.Image) -> tuple[int, int]:
    orientation = _orientation(picture)
    # After a draft ``size`` is reduced; the callers ask before it.
    width_px, height_px = picture.size
    return (height_px, width_px) if orientation in _SIDEWAYS else (width_px, height_px)


def _too_large(limits: Limits) -> LimitExceeded:
    megapixels = limits.image_pixels_max / 1e6
    return LimitExceeded(
        "IMAGE_TOO_LARGE", f"A picture may have at most {megapixels:g} megapixels; scale it down."
    )


def _unreadable(file: GrowingFile, error: Exception) -> Exception:
    """Our error for a damaged file; the file's own failure where it was that."""
    if file.failure is not None:
        return file.failure
    if any(word in str(error) for word in _TRUNCATED_WORDS):
        return InvalidInput("MEDIA_TRUNCATED", "The picture ends before its last pixel.")
    return InvalidInput("MEDIA_UNREADABLE", "The picture is damaged and cannot be decoded.")
