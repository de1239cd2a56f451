"""Domain to protobuf and back; no decisions here."""

from collections.abc import Iterable

from google.protobuf.timestamp_pb2 import Timestamp
from sensorium.ingest.v1 import ingest_pb2
from sensorium.media.v1 import check_pb2, download_pb2, media_pb2, moderation_pb2, upload_pb2

from services.ingest.audit import Finding
from services.ingest.content import Content
from services.ingest.events import (
    AssetAnnouncement,
    AssetCommitted,
    ChunkAck,
    Event,
    InfoFound,
    SegmentCut,
    SegmentsComplete,
    SoundHeard,
    UploadOpened,
)
from services.ingest.intake import Finish
from services.ingest.model import (
    Characters,
    MediaInfo,
    Modality,
    ModerationFinding,
    Picture,
    Region,
    Rendition,
    Segment,
    SegmentKind,
    Sound,
    SoundPreview,
    Span,
)
from services.ingest.options import FrameSampling, SamplingMethod
from services.ingest.records import AssetRecord
from services.runtime.durations import to_duration, to_seconds
from services.runtime.errors import InvalidInput
from services.runtime.status import item_error

_MODALITIES = {
    Modality.TEXT: media_pb2.MODALITY_TEXT,
    Modality.IMAGE: media_pb2.MODALITY_IMAGE,
    Modality.VIDEO: media_pb2.MODALITY_VIDEO,
    Modality.AUDIO: media_pb2.MODALITY_AUDIO,
}
_KINDS = {
    SegmentKind.IMAGE_VIEW: media_pb2.SEGMENT_KIND_IMAGE_VIEW,
    SegmentKind.IMAGE_TILE: media_pb2.SEGMENT_KIND_IMAGE_TILE,
    SegmentKind.VIDEO_FRAME: media_pb2.SEGMENT_KIND_VIDEO_FRAME,
    SegmentKind.AUDIO_WINDOW: media_pb2.SEGMENT_KIND_AUDIO_WINDOW,
    SegmentKind.TEXT_PASSAGE: media_pb2.SEGMENT_KIND_TEXT_PASSAGE,
}


_METHODS = {
    media_pb2.FRAME_SAMPLING_METHOD_UNIFORM: SamplingMethod.UNIFORM,
    media_pb2.FRAME_SAMPLING_METHOD_KEYFRAMES: SamplingMethod.KEYFRAMES,
    media_pb2.FRAME_SAMPLING_METHOD_SCENE: SamplingMethod.SCENE,
}
_METHOD_NUMBERS = {method: number for number, method in _METHODS.items()}

FRAME_COUNT_LIMIT = 256
FRAME_RATE_HZ_MAX = 30.0


def read_sampling(
    message: media_pb2.FrameSampling, defaults: FrameSampling, field: str
) -> FrameSampling:
    """Which frames are wanted; ``defaults`` where nothing is said. ``field`` is what the
    message is called in its request.

    Raises InvalidInput FRAME_SAMPLING_UNKNOWN or FRAME_RATE_INVALID.
    """
    method = defaults.method
    if message.method:
        if message.method not in _METHODS:
            raise InvalidInput(
                "FRAME_SAMPLING_UNKNOWN",
                "There is no such way of sampling frames.",
                subject=f"{field}.method",
            )
        method = _METHODS[message.method]
    rate_hz = defaults.rate_hz
    if message.frame_rate_hz:
        if not 0 < message.frame_rate_hz <= FRAME_RATE_HZ_MAX:
            raise InvalidInput(
                "FRAME_RATE_INVALID",
                f"frame_rate_hz is above 0 and at most {FRAME_RATE_HZ_MAX:g}.",
                subject=f"{field}.frame_rate_hz",
            )
        rate_hz = message.frame_rate_hz
    count_max = min(message.frame_count_max or defaults.count_max, FRAME_COUNT_LIMIT)
    return FrameSampling(method, count_max, rate_hz)


def write_sampling(sampling: FrameSampling) -> media_pb2.FrameSampling:
    """Which frames are taken."""
    return media_pb2.FrameSampling(
        method=_METHOD_NUMBERS[sampling.method],
        frame_count_max=sampling.count_max,
        frame_rate_hz=sampling.rate_hz or 0.0,
    )


def read_announcement(message: upload_pb2.AssetStart) -> AssetAnnouncement:
    """An asset that is going to be sent."""
    return AssetAnnouncement(
        message.asset_id,
        message.name,
        message.size_bytes,
        tuple(message.tags),
        dict(message.metadata),
        discard_unfinished=message.discard_unfinished,
    )


def read_finish(message: upload_pb2.AssetFinish) -> Finish:
    """The end of an asset."""
    return Finish(message.size_bytes, message.sha256, tuple(message.tags), dict(message.metadata))


def write_timestamp(unix_us: int) -> Timestamp:
    """Unix time in microseconds."""
    timestamp = Timestamp()
    timestamp.FromMicroseconds(unix_us)
    return timestamp


def write_info(asset_id: str, name: str, info: MediaInfo) -> media_pb2.AssetInfo:
    """What an asset is."""
    message = media_pb2.AssetInfo(
        asset_id=asset_id,
        modality=_MODALITIES[info.modality],
        mime_type=info.mime_type,
        has_video=info.has_video,
        has_audio=info.has_audio,
        width_px=info.width_px,
        height_px=info.height_px,
        name=name,
        streamable=info.streamable,
    )
    if info.duration_s is not None:
        message.duration.CopyFrom(to_duration(info.duration_s))
    return message


def write_rendition(rendition: Rendition) -> media_pb2.Rendition:
    """Another form of an asset."""
    message = media_pb2.Rendition(
        name=rendition.name,
        mime_type=rendition.mime_type,
        size_bytes=rendition.size_bytes,
        sha256=rendition.sha256,
        width_px=rendition.width_px,
        height_px=rendition.height_px,
    )
    if rendition.time_s is not None:
        message.time.CopyFrom(to_duration(rendition.time_s))
    return message


def write_asset(record: AssetRecord, renditions: Iterable[Rendition] = ()) -> media_pb2.Asset:
    """A committed asset."""
    return media_pb2.Asset(
        asset_id=record.asset_id,
        sha256=record.sha256,
        size_bytes=record.size_bytes,
        info=write_info(record.asset_id, record.name, record.info),
        create_time=write_timestamp(record.create_time_us),
        duplicate_of=record.duplicate_of,
        indexed=record.indexed,
        renditions=map(write_rendition, renditions),
        document_count=record.document_count,
        user_id=record.user_id,
        tags=record.tags,
        metadata=record.metadata,
        moderation_findings=map(_write_finding, record.findings),
        moderation_scores=map(_write_finding, record.scores),
    )


def _write_finding(found: ModerationFinding) -> media_pb2.ModerationFinding:
    return media_pb2.ModerationFinding(
        score=moderation_pb2.ModerationScore(category=found.category, score=found.score),
        locator=_locator(found),
        blocked=found.blocked,
    )


def read_finding(message: media_pb2.ModerationFinding) -> ModerationFinding:
    """What moderation found."""
    place = message.locator
    span, region, chars = place.span, place.region, place.chars
    return ModerationFinding(
        category=message.score.category,
        score=message.score.score,
        blocked=message.blocked,
        span=Span(to_seconds(span.start), to_seconds(span.end)) if place.HasField("span") else None,
        region=Region(region.left_px, region.top_px, region.width_px, region.height_px)
        if place.HasField("region")
        else None,
        characters=Characters(chars.start, chars.end) if place.HasField("chars") else None,
    )


def write_content(content: Content) -> download_pb2.ContentInfo:
    """What is about to be sent."""
    return download_pb2.ContentInfo(
        asset_id=content.record.asset_id,
        rendition=content.rendition.name if content.rendition else "",
        mime_type=content.mime_type,
        size_bytes=content.size_bytes,
        sha256=content.sha256,
        name=content.record.name,
    )


def write_finding(finding: Finding) -> check_pb2.Finding:
    """One thing that is wrong."""
    return check_pb2.Finding(
        fault=check_pb2.Fault.Value(f"FAULT_{finding.fault.name}"),
        asset_id=finding.asset_id,
        message=finding.message,
        repaired=finding.repaired,
    )


def write_segment(asset_id: str, segment: Segment) -> media_pb2.MediaSegment:
    """A piece of an asset."""
    message = media_pb2.MediaSegment(
        segment_id=_segment_id(asset_id, segment.kind, segment.index),
        asset_id=asset_id,
        kind=_KINDS[segment.kind],
        index=segment.index,
        locator=_locator(segment),
    )
    if segment.same_as is not None:
        message.same_as_segment_id = _segment_id(asset_id, segment.kind, segment.same_as)
    if segment.perceptual_hash is not None:
        message.perceptual_hash = segment.perceptual_hash
    message.tiled = segment.tiled
    payload = segment.payload
    if isinstance(payload, Picture):
        message.image.mime_type = payload.mime_type
        message.image.data = payload.data
        message.image.width_px = payload.width_px
        message.image.height_px = payload.height_px
    elif isinstance(payload, Sound):
        message.audio.CopyFrom(_audio(payload))
    else:
        message.text = payload
    return message


def _write_preview(asset_id: str, preview: SoundPreview) -> media_pb2.AudioPreview:
    return media_pb2.AudioPreview(
        segment_id=_segment_id(asset_id, SegmentKind.AUDIO_WINDOW, preview.window_index),
        asset_id=asset_id,
        span=_span(preview.span),
        audio=_audio(preview.sound),
    )


def _segment_id(asset_id: str, kind: SegmentKind, index: int) -> str:
    return f"{asset_id}/{kind.value}/{index}"


def _audio(sound: Sound) -> media_pb2.PcmAudio:
    return media_pb2.PcmAudio(samples=sound.samples, sample_rate_hz=sound.sample_rate_hz)


def _span(span: Span) -> media_pb2.TimeSpan:
    return media_pb2.TimeSpan(start=to_duration(span.start_s), end=to_duration(span.end_s))


def _locator(placed: Segment | ModerationFinding) -> media_pb2.Locator:
    locator = media_pb2.Locator()
    if placed.span is not None:
        locator.span.CopyFrom(_span(placed.span))
    if placed.region is not None:
        locator.region.left_px = placed.region.left_px
        locator.region.top_px = placed.region.top_px
        locator.region.width_px = placed.region.width_px
        locator.region.height_px = placed.region.height_px
    if placed.characters is not None:
        locator.chars.start = placed.characters.start
        locator.chars.end = placed.characters.end
    return locator


def write_event(event: Event) -> ingest_pb2.StreamingIngestResponse:
    """An event of an upload stream."""
    response = ingest_pb2.StreamingIngestResponse
    match event:
        case UploadOpened(asset_id, resume_offset):
            opened = upload_pb2.UploadOpened(asset_id=asset_id, resume_offset=resume_offset)
            return response(upload_opened=opened)
        case InfoFound(asset_id, name, info):
            return response(asset_info=write_info(asset_id, name, info))
        case ChunkAck(asset_id, received_bytes, durable_bytes):
            ack = upload_pb2.ChunkAck(
                asset_id=asset_id, received_offset=received_bytes, durable_offset=durable_bytes
            )
            return response(chunk_ack=ack)
        case SegmentCut(asset_id, segment):
            return response(segment=write_segment(asset_id, segment))
        case SoundHeard(asset_id, preview):
            return response(audio_preview=_write_preview(asset_id, preview))
        case SegmentsComplete(asset_id, segment_count):
            complete = upload_pb2.SegmentsComplete(asset_id=asset_id, segment_count=segment_count)
            return response(segments_complete=complete)
        case AssetCommitted(record):
            return response(asset=write_asset(record))
        case _:
            return response(item_error=item_error(event.asset_id, event.error))
