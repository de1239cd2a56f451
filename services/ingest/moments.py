"""One frame of a stored video: that of a moment, or one that represents it."""

from collections.abc import Iterator

import av
from av.video.frame import VideoFrame
from PIL import Image, ImageStat

from services.ingest.container import TimedMedia, open_timed
from services.ingest.failures import DamageCount, unreadable
from services.ingest.frames import FrameSource, upright_picture
from services.ingest.growing import GrowingFile
from services.ingest.options import CutOptions, Limits
from services.ingest.sniff import MediaType
from services.runtime.errors import InvalidInput

_LOOKED_AT = (0.5, 0.3, 0.7, 0.1, 0.9)
"""Parts of the length of a video at which a representative frame is looked for."""
# Time stamps are rounded, more or less.
_TOLERANCE_S = 0.05
_BACK_S = 10.0
_ROUNDING_S = 1e-3
"""Time stamps of Matroska and FLV are whole milliseconds."""


def video_frame(
    file: GrowingFile,
    found: MediaType,
    options: CutOptions,
    limits: Limits,
    offset_s: float | None,
) -> Image.Image:
    """The frame that is shown at an offset, upright; with None of several key frames the one
    with the most contrast, so that a fade or an empty title does not stand for the video.

    Raises:
        InvalidInput: ``OFFSET_PAST_END``, and as :func:`cut_timed`.
    """
    with open_timed(file, found, options, limits, seeking=True) as media:
        frames = _Frames(media, file)
        try:
            frame = frames.representative() if offset_s is None else frames.shown_at(offset_s)
        except av.FFmpegError:
            raise unreadable(file) from None
        if frame is None:
            raise unreadable(file)
        return upright_picture(frame)


class _Frames:
    """The frames of a video from any moment on."""

    def __init__(self, media: TimedMedia, file: GrowingFile) -> None:
        assert media.video is not None
        self._media = media
        self._stream = media.video
        self._source = FrameSource(media.video, media.origin_s, DamageCount(file))

    def representative(self) -> VideoFrame | None:
        duration_s = self._media.info.duration_s or 0.0
        found = (next(self._from(share * duration_s), None) for share in _LOOKED_AT)
        return max((frame for frame in found if frame), key=_contrast, default=None)

    def shown_at(self, offset_s: float) -> VideoFrame | None:
        shown: VideoFrame | None = None
        for frame in self._from(offset_s):
            if shown is not None and self._source.frame_s(frame) > offset_s + _ROUNDING_S:
                return shown
            shown = frame
        if shown is not None:
            end_s = self._source.frame_s(shown) + 1 / self._source.rate_hz
            if offset_s > max(end_s, self._media.info.duration_s or 0.0) + _TOLERANCE_S:
                raise InvalidInput(
                    "OFFSET_PAST_END", "The video ends before this offset.", subject="offset"
                )
        return shown

    def _from(self, offset_s: float) -> Iterator[VideoFrame]:
        """The frames from a key frame before an offset on. Containers without an index, such
        as MPEG-TS, land behind it at times: then from further back, and from the start."""
        for target_s in (offset_s, offset_s - _BACK_S, 0.0, -_BACK_S):
            frames = self._decode_from(target_s)
            first = next(frames, None)
            if first is not None and self._source.frame_s(first) <= offset_s + _ROUNDING_S:
                yield first
                yield from frames
                return
        # The first frame of all may be later than the offset.
        yield from self._decode_from(0.0)

    def _decode_from(self, target_s: float) -> Iterator[VideoFrame]:
        target = round((target_s + self._media.origin_s) * av.time_base)
        try:
            self._media.container.seek(target, backward=True)
        except av.FFmpegError:
            return  # there is no such place
        self._source.context.flush_buffers()
        for packet in self._media.container.demux(self._stream):
            if packet.size:
                yield from self._source.decode(packet)
        yield from self._source.decode(None)
        # A drained decoder takes nothing more until it is flushed.
        self._source.context.flush_buffers()


def _contrast(frame: VideoFrame) -> float:
    grey = frame.reformat(width=64, height=64, format="gray").to_image()  # type: ignore[no-untyped-call]
    return float(ImageStat.Stat(grey).stddev[0])
