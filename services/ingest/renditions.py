"""Other forms of a stored picture or video, for people to look at.

==============  =====================================================================
``thumbnail``   JPEG of at most 256 px; of a video one of several frames, the one with
                the most contrast
``web``         JPEG of at most 1600 px, of a picture that is larger or that a browser
                does not show
``keyframe-N``  JPEG of at most 1280 px: frames that stand for a video, N from 0, spread
                over it, at most 12; what looks like an earlier one is left out
``video-web``   MP4 that every browser plays, see ``reencoding.py``; only where told to
==============  =====================================================================
"""

from collections.abc import Iterator

import av
from PIL import Image

from services.ingest.container import TimedMedia, open_timed, picture_track
from services.ingest.failures import DamageCount, unreadable
from services.ingest.frames import FrameSource
from services.ingest.growing import GrowingFile
from services.ingest.model import MadeRendition, Picture, Segment
from services.ingest.options import CutOptions, FrameSampling, Limits, SamplingMethod
from services.ingest.pictures import encode_for_web, shrink_picture
from services.ingest.sniff import MediaType

THUMBNAIL = "thumbnail"
WEB = "web"
KEYFRAME = "keyframe-{}"

THUMBNAIL_PX = 256
WEB_PX = 1600
# Uniform takes a stored key frame where there is one, but a short clip may hold a single one.
_KEYFRAMES = FrameSampling(SamplingMethod.UNIFORM, count_max=12)
_SHOWN_BY_BROWSERS = {"image/jpeg", "image/png", "image/webp", "image/gif", "image/bmp"}


def thumbnail_of(picture: Image.Image) -> MadeRendition:
    """The thumbnail of an upright picture."""
    return _jpeg(THUMBNAIL, shrink_picture(picture, THUMBNAIL_PX))


def web_picture_of(picture: Image.Image, found: MediaType) -> Iterator[MadeRendition]:
    """The web form of an upright picture where it needs one."""
    if max(picture.size) > WEB_PX or found.mime_type not in _SHOWN_BY_BROWSERS:
        yield _jpeg(WEB, shrink_picture(picture, WEB_PX))


def keyframes(
    file: GrowingFile, found: MediaType, options: CutOptions, limits: Limits
) -> Iterator[MadeRendition]:
    """Frames that stand for a video, in order of time. Raises as :func:`open_timed`."""
    with open_timed(file, found, options, limits) as media:
        fresh = (frame for frame in _sampled(media, file) if frame.same_as is None)
        for number, frame in enumerate(fresh):
            assert isinstance(frame.payload, Picture)
            assert frame.span is not None
            yield MadeRendition(
                KEYFRAME.format(number),
                frame.payload.mime_type,
                frame.payload.data,
                frame.payload.width_px,
                frame.payload.height_px,
                frame.span.start_s,
            )


def _sampled(media: TimedMedia, file: GrowingFile) -> Iterator[Segment]:
    assert media.video is not None
    source = FrameSource(media.video, media.origin_s, DamageCount(file))
    track = picture_track(source, media.info.duration_s, _KEYFRAMES)
    try:
        for packet in media.container.demux(media.video):
            if packet.size:
                yield from track.push(packet)
    except av.FFmpegError:
        raise unreadable(file) from None
    yield from track.flush()


def _jpeg(name: str, picture: Image.Image) -> MadeRendition:
    return MadeRendition(name, "image/jpeg", encode_for_web(picture), *picture.size)
