"""Protobuf to segments, outcomes to protobuf."""

from collections.abc import Iterator, Sequence

from sensorium.encode.v1 import encode_pb2
from sensorium.media.v1 import media_pb2, moderation_pb2, stream_pb2

from services.encode.encoder import Moderated, Outcome, StreamState, TaskDone, TaskFailed
from services.encode.segments import (
    Box,
    Finding,
    Scores,
    Segment,
    SegmentKind,
    Task,
    TaskResult,
    Utterance,
    place,
)
from services.runtime.durations import to_duration, to_seconds
from services.runtime.errors import InvalidInput, LimitExceeded, SensoriumError
from services.runtime.status import stream_error

PAYLOAD_BYTES_MAX = 1 << 20
TEXT_CHARACTERS_MAX = 4000

Event = encode_pb2.StreamingEncodeResponse

TASKS = {
    encode_pb2.ENCODE_TASK_EMBED: Task.EMBED,
    encode_pb2.ENCODE_TASK_LABEL: Task.LABEL,
    encode_pb2.ENCODE_TASK_OCR: Task.OCR,
    encode_pb2.ENCODE_TASK_TRANSCRIBE: Task.TRANSCRIBE,
    encode_pb2.ENCODE_TASK_MODERATE: Task.MODERATE,
}
TASK_NUMBERS = {task: number for number, task in TASKS.items()}

_KINDS = {
    media_pb2.SEGMENT_KIND_IMAGE_VIEW: (SegmentKind.IMAGE_VIEW, "image"),
    media_pb2.SEGMENT_KIND_IMAGE_TILE: (SegmentKind.IMAGE_TILE, "image"),
    media_pb2.SEGMENT_KIND_VIDEO_FRAME: (SegmentKind.VIDEO_FRAME, "image"),
    media_pb2.SEGMENT_KIND_AUDIO_WINDOW: (SegmentKind.AUDIO_WINDOW, "audio"),
    media_pb2.SEGMENT_KIND_TEXT_PASSAGE: (SegmentKind.TEXT_PASSAGE, "text"),
}


def to_segment(message: media_pb2.MediaSegment) -> Segment:
    """The domain's view of a segment. Raises InvalidInput or LimitExceeded."""
    kind, payload_name = _KINDS.get(message.kind, (None, ""))
    if not message.segment_id or kind is None or message.WhichOneof("payload") != payload_name:
        raise InvalidInput(
            "SEGMENT_MALFORMED",
            "A segment has an id, a kind, and the payload that fits the kind.",
            subject="segment",
        )
    payload = {
        "image": message.image.data,
        "audio": message.audio.samples,
        "text": message.text.encode() if payload_name == "text" else b"",
    }[payload_name]
    if len(payload) > PAYLOAD_BYTES_MAX or len(message.text) > TEXT_CHARACTERS_MAX:
        raise LimitExceeded(
            "SEGMENT_TOO_LARGE",
            "A segment has at most 1 MiB, or 4000 characters of text.",
            subject="segment",
        )
    region = message.locator.region
    has_region = region.width_px > 0 and region.height_px > 0
    return Segment(
        segment_id=message.segment_id,
        asset_id=message.asset_id,
        kind=kind,
        payload=payload,
        start_s=to_seconds(message.locator.span.start),
        region=Box(region.left_px, region.top_px, region.width_px, region.height_px)
        if has_region
        else None,
        sample_rate_hz=message.audio.sample_rate_hz,
        same_as=message.same_as_segment_id,
        tiled=message.tiled,
    )


def to_preview(message: media_pb2.AudioPreview) -> Segment:
    """The window so far as the domain sees it. Raises as :func:`to_segment`."""
    return to_segment(
        media_pb2.MediaSegment(
            segment_id=message.segment_id,
            asset_id=message.asset_id,
            kind=media_pb2.SEGMENT_KIND_AUDIO_WINDOW,
            locator=media_pb2.Locator(span=message.span),
            audio=message.audio,
        )
    )


def to_partial(heard: Sequence[Utterance], preview: Segment) -> Event:
    """The event that tells what is heard in a preview."""
    sound_s = len(preview.payload) / 2 / preview.sample_rate_hz
    window = media_pb2.TimeSpan(end=to_duration(preview.start_s + sound_s))
    transcript = media_pb2.Transcript(
        text=" ".join(said.text for said in heard), language=heard[0].language if heard else ""
    )
    partial = encode_pb2.PartialTranscript(
        segment_id=preview.segment_id, asset_id=preview.asset_id, transcript=transcript
    )
    start_s, end_s = (heard[0].start_s, heard[-1].end_s) if heard else (0.0, 0.0)
    partial.span.CopyFrom(_span(start_s, end_s, preview, window))
    return Event(partial_transcript=partial)


def to_events(outcome: Outcome, message: media_pb2.MediaSegment, space: str) -> Iterator[Event]:
    """The events that tell of an outcome, the task's completion last."""
    segment, task = outcome.segment, outcome.task
    complete = encode_pb2.TaskComplete(segment_id=segment.segment_id, task=TASK_NUMBERS[task])
    match outcome:
        case TaskFailed(error=error):
            yield item_error(segment.segment_id, error)
        case Moderated(scores=scores, cached=cached):
            complete.cached = cached
            yield _moderation(segment.segment_id, scores)
        case TaskDone(result=result, cached=cached):
            complete.cached = cached
            if result.vector:
                embedding = encode_pb2.SegmentEmbedding(
                    segment_id=segment.segment_id, embedding=_embedding(result.vector, space)
                )
                yield Event(embedding=embedding)
            for index, finding in enumerate(result.findings):
                observation = _observation(finding, result, segment, message.locator)
                observation.observation_id = f"{segment.segment_id}#{task.value}/{index}"
                observation.embedding.CopyFrom(_embedding(finding.vector, space))
                yield Event(observation=observation)
    yield Event(task_complete=complete)


def _moderation(segment_id: str, scores: Scores) -> Event:
    result = moderation_pb2.ModerationResult(
        scores=[
            moderation_pb2.ModerationScore(category=category, score=score)
            for category, score in sorted(scores.items())
        ]
    )
    return Event(moderation=encode_pb2.SegmentModeration(segment_id=segment_id, result=result))


def _observation(
    finding: Finding, result: TaskResult, segment: Segment, locator: media_pb2.Locator
) -> media_pb2.Observation:
    observation = media_pb2.Observation(
        segment_id=segment.segment_id,
        asset_id=segment.asset_id,
        locator=locator,
        confidence=finding.confidence,
    )
    match finding.task:
        case Task.EMBED:
            observation.passage.text = finding.text
        case Task.LABEL:
            observation.label.text = finding.text
        case Task.OCR:
            observation.ocr_line.text = finding.text
            if finding.box is not None:
                whole = segment.region or Box(0, 0, result.width_px, result.height_px)
                box = place(finding.box, result.width_px, result.height_px, whole)
                observation.locator.region.CopyFrom(_region(box))
        case Task.TRANSCRIBE:
            observation.transcript.CopyFrom(_transcript(finding, segment, locator.span))
            if finding.start_s is not None and finding.end_s is not None:
                span = _span(finding.start_s, finding.end_s, segment, locator.span)
                observation.locator.span.CopyFrom(span)
    return observation


def _transcript(
    finding: Finding, segment: Segment, window: media_pb2.TimeSpan
) -> media_pb2.Transcript:
    return media_pb2.Transcript(
        text=finding.text,
        language=finding.language,
        words=[
            media_pb2.Word(
                text=word.text,
                span=_span(word.start_s, word.end_s, segment, window),
                confidence=word.confidence,
            )
            for word in finding.words
        ],
    )


def _span(
    start_s: float, end_s: float, segment: Segment, window: media_pb2.TimeSpan
) -> media_pb2.TimeSpan:
    """Times within a segment as times within its asset, kept inside the segment's window."""
    first_s, last_s = segment.start_s, to_seconds(window.end)
    if last_s <= first_s:
        last_s = float("inf")
    start_s = min(max(first_s + start_s, first_s), last_s)
    end_s = min(max(first_s + end_s, start_s), last_s)
    return media_pb2.TimeSpan(start=to_duration(start_s), end=to_duration(end_s))


def _region(box: Box) -> media_pb2.PixelRegion:
    return media_pb2.PixelRegion(
        left_px=box.left_px, top_px=box.top_px, width_px=box.width_px, height_px=box.height_px
    )


def _embedding(vector: bytes, space: str) -> media_pb2.Embedding:
    return media_pb2.Embedding(
        space=space,
        dtype=media_pb2.VECTOR_DTYPE_FLOAT32,
        dimension=len(vector) // 4,
        data=vector,
    )


def item_error(segment_id: str, error: SensoriumError) -> Event:
    """The event that tells of a failed segment."""
    return Event(item_error=stream_pb2.ItemError(item_id=segment_id, error=stream_error(error)))


def to_summary(segment_count: int, state: StreamState) -> encode_pb2.EncodeSummary:
    """The last event's content."""
    return encode_pb2.EncodeSummary(
        segment_count=segment_count,
        cache_hit_count=state.cache_hit_count,
        cache_miss_count=state.cache_miss_count,
        compute_time=to_duration(state.meter.compute_s),
    )
