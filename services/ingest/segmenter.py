"""From the bytes of an asset to what it is and to its segments, while the bytes still arrive."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.ingest.container import cut_timed, inspect_timed
from services.ingest.growing import Cancellation, Cancelled, GrowingFile, Growth
from services.ingest.image import ImageCutter
from services.ingest.model import CutItem, MadeRendition, MediaInfo, Modality
from services.ingest.moments import video_frame
from services.ingest.options import CutOptions, Limits
from services.ingest.reencoding import reencode
from services.ingest.renditions import (
    THUMBNAIL_PX,
    WEB_PX,
    keyframes,
    thumbnail_of,
    web_picture_of,
)
from services.ingest.sniff import SNIFF_BYTES, Family, check_name, sniff
from services.ingest.text import cut_text
from services.runtime.errors import InternalFailure


class Segmenter:
    """Cuts assets. Its iterators block; run each in a thread of its own.

    The same bytes and options give the same segments, whether they are still
    arriving or have long been stored.
    """

    def __init__(self, limits: Limits, concurrent_images: int = 2) -> None:
        self._limits = limits
        self._images = ImageCutter(concurrent_images)
        self._active = 0
        self._lock = threading.Lock()

    @property
    def active_decoders(self) -> int:
        """How many assets are being cut now."""
        return self._active

    def cut(
        self, path: Path, growth: Growth, cancel: Cancellation, name: str, options: CutOptions
    ) -> Iterator[CutItem]:
        """What the asset is, first, then its segments. Ends early, quietly, when cancelled.

        ``name`` is the client's name of the asset, only held against the type.

        Raises:
            InvalidInput: ``EMPTY_FILE``, ``UNSUPPORTED_MEDIA``, ``TYPE_MISMATCH``,
                ``MEDIA_UNREADABLE`` or ``MEDIA_TRUNCATED``.
            LimitExceeded: ``IMAGE_TOO_LARGE``, ``VIDEO_TOO_LARGE``,
                ``MEDIA_TOO_LONG`` or ``TEXT_TOO_LARGE``.
        """
        with self._reading(path, growth, cancel) as file:
            found = sniff(file.read_exactly(SNIFF_BYTES))
            check_name(name, found)
            file.seek(0)
            if found.family is Family.TEXT:
                yield MediaInfo(Modality.TEXT, found.mime_type)
                yield from cut_text(file, self._limits)
            elif found.family is Family.IMAGE:
                yield from self._images.cut(file, found, self._limits)
            else:
                yield from cut_timed(file, found, options, self._limits)

    def inspect(
        self, path: Path, growth: Growth, cancel: Cancellation, name: str, options: CutOptions
    ) -> Iterator[CutItem]:
        """Only what the asset is, judged from its header. Raises as :meth:`cut`."""
        with self._reading(path, growth, cancel) as file:
            found = sniff(file.read_exactly(SNIFF_BYTES))
            check_name(name, found)
            file.seek(0)
            if found.family is Family.TEXT:
                for _ in cut_text(file, self._limits):
                    pass
                yield MediaInfo(Modality.TEXT, found.mime_type)
            elif found.family is Family.IMAGE:
                yield self._images.inspect(file, found, self._limits)
            else:
                yield inspect_timed(file, found, options, self._limits)

    def thumbnail(
        self,
        path: Path,
        growth: Growth,
        cancel: Cancellation,
        options: CutOptions,
        offset_s: float | None,
    ) -> Iterator[MadeRendition]:
        """The thumbnail of a stored picture or video. Raises as :meth:`cut`, and InvalidInput
        ``OFFSET_PAST_END``."""
        with self._reading(path, growth, cancel) as file:
            found = sniff(file.read_exactly(SNIFF_BYTES))
            if found.family is Family.IMAGE:
                picture = self._images.shrink(file, found, self._limits, 2 * THUMBNAIL_PX)
            else:
                picture = video_frame(file, found, options, self._limits, offset_s)
            yield thumbnail_of(picture)

    def renditions(
        self,
        path: Path,
        growth: Growth,
        cancel: Cancellation,
        options: CutOptions,
        video_target: Path | None,
    ) -> Iterator[MadeRendition]:
        """All renditions of a stored picture or video. A video is encoded anew, into
        ``video_target``, where that pays and there is one. Raises as :meth:`cut`."""
        with self._reading(path, growth, cancel) as file:
            found = sniff(file.read_exactly(SNIFF_BYTES))
            if found.family is Family.IMAGE:
                picture = self._images.shrink(file, found, self._limits, 2 * WEB_PX)
                yield thumbnail_of(picture)
                yield from web_picture_of(picture, found)
                return
            yield thumbnail_of(video_frame(file, found, options, self._limits, None))
            yield from keyframes(file, found, options, self._limits)
            if video_target is not None:
                yield from reencode(file, found, options, self._limits, video_target)

    @contextmanager
    def _reading(self, path: Path, growth: Growth, cancel: Cancellation) -> Iterator[GrowingFile]:
        try:
            file = GrowingFile(path, growth, cancel)
        except FileNotFoundError:
            raise InternalFailure(
                "CONTENT_DAMAGED", "The store has lost the bytes of this asset."
            ) from None
        with self._lock:
            self._active += 1
        try:
            yield file
        except Cancelled:
            return
        finally:
            file.release()
            with self._lock:
                self._active -= 1
