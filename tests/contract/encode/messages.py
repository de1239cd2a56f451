"""Messages of encode calls, made short."""

from collections.abc import AsyncIterator, Iterable

from google.protobuf.duration_pb2 import Duration
from sensorium.encode.v1 import encode_pb2
from sensorium.media.v1 import media_pb2

Event = encode_pb2.StreamingEncodeResponse


def seconds(value: float) -> Duration:
    duration = Duration()
    duration.FromMicroseconds(round(value * 1e6))
    return duration


def text_segment(index: int, text: str) -> media_pb2.MediaSegment:
    return media_pb2.MediaSegment(
        segment_id=f"doc/text/{index}",
        asset_id="doc",
        kind=media_pb2.SEGMENT_KIND_TEXT_PASSAGE,
        index=index,
        locator=media_pb2.Locator(chars=media_pb2.CharRange(start=10, end=10 + len(text))),
        text=text,
    )


def image_segment(index: int, data: bytes = b"picture") -> media_pb2.MediaSegment:
    """A view of 100 × 50 pixels of a source region of 400 × 200 at (1000, 500), at 7 s."""
    moment = media_pb2.TimeSpan(start=seconds(7), end=seconds(7))
    region = media_pb2.PixelRegion(left_px=1000, top_px=500, width_px=400, height_px=200)
    return media_pb2.MediaSegment(
        segment_id=f"film/frame/{index}",
        asset_id="film",
        kind=media_pb2.SEGMENT_KIND_VIDEO_FRAME,
        index=index,
        locator=media_pb2.Locator(span=moment, region=region),
        image=media_pb2.EncodedImage(mime_type="image/png", data=data, width_px=100, height_px=50),
    )


def audio_segment(
    start_s: float, end_s: float, samples: bytes = bytes(32)
) -> media_pb2.MediaSegment:
    span = media_pb2.TimeSpan(start=seconds(start_s), end=seconds(end_s))
    return media_pb2.MediaSegment(
        segment_id="talk/audio/0",
        asset_id="talk",
        kind=media_pb2.SEGMENT_KIND_AUDIO_WINDOW,
        locator=media_pb2.Locator(span=span),
        audio=media_pb2.PcmAudio(samples=samples, sample_rate_hz=16_000),
    )


async def requests(
    segments: Iterable[media_pb2.MediaSegment], config: encode_pb2.EncodeConfig | None = None
) -> AsyncIterator[encode_pb2.StreamingEncodeRequest]:
    yield encode_pb2.StreamingEncodeRequest(config=config or encode_pb2.EncodeConfig())
    for segment in segments:
        yield encode_pb2.StreamingEncodeRequest(segment=segment)


def preview(
    window: int, samples: bytes = bytes(32), start_s: float = 0.0
) -> media_pb2.AudioPreview:
    """Of the talk that :func:`audio_segment` is cut from."""
    span = media_pb2.TimeSpan(start=seconds(start_s), end=seconds(start_s + 2))
    return media_pb2.AudioPreview(
        segment_id=f"talk/audio/{window}",
        asset_id="talk",
        span=span,
        audio=media_pb2.PcmAudio(samples=samples, sample_rate_hz=16_000),
    )
