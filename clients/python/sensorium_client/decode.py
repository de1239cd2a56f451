"""From the contract's messages to the plain values of :mod:`sensorium_client.events`."""

from collections.abc import Callable
from typing import Any

from google.protobuf import duration_pb2, timestamp_pb2
from google.protobuf.message import Message
from sensorium.gateway.v1 import gateway_pb2
from sensorium.media.v1 import check_pb2, evidence_pb2, media_pb2, stream_pb2, upload_pb2

from sensorium_client import checks, events, locators
from sensorium_client.errors import from_stream_error

GatewayEvent = (
    gateway_pb2.StreamingConverseResponse
    | gateway_pb2.StreamingUploadResponse
    | gateway_pb2.AskResponse
    | gateway_pb2.StreamingSearchResponse
)


def event(message: GatewayEvent) -> events.Event | None:
    """The event of a response; None for a kind that this client does not know.

    Raises:
        SensoriumClientError: the response is the stream's error.
    """
    turn_id = getattr(message, "turn_id", "")
    kind = message.WhichOneof("event")
    if kind is None:
        return None
    body = getattr(message, kind)
    if kind == "error":
        raise from_stream_error(body)
    decoder = _DECODERS.get(type(body))
    return None if decoder is None else decoder(body, turn_id)


def seconds(duration: duration_pb2.Duration) -> float:
    """A duration in seconds."""
    return duration.seconds + duration.nanos / 1e9


def unix_seconds(timestamp: timestamp_pb2.Timestamp) -> float:
    """A point in time, in seconds since 1970."""
    return timestamp.seconds + timestamp.nanos / 1e9


def modality(value: media_pb2.Modality.ValueType) -> str:
    """ "image" for MODALITY_IMAGE."""
    return _word(media_pb2.Modality.Name(value), "MODALITY_")


def asset(message: media_pb2.Asset) -> events.StoredAsset:
    """A committed asset."""
    return events.StoredAsset(
        asset_id=message.asset_id,
        sha256=message.sha256,
        size_bytes=message.size_bytes,
        description=_description(message.info),
        create_time_s=unix_seconds(message.create_time),
        duplicate_of=message.duplicate_of,
        user_id=message.user_id,
        tags=tuple(message.tags),
        indexed=message.indexed,
        metadata=dict(message.metadata),
        moderation_findings=tuple(
            events.ModerationFinding(
                category=found.score.category,
                score=rounded(found.score.score),
                locator=locator(found.locator),
                blocked=found.blocked,
            )
            for found in message.moderation_findings
        ),
    )


def check(message: gateway_pb2.CheckResponse) -> checks.Finding | checks.CheckSummary:
    """An event of a check."""
    if message.WhichOneof("event") == "summary":
        counts = message.summary
        return checks.CheckSummary(
            **{f.name: getattr(counts, f.name) for f in counts.DESCRIPTOR.fields}
        )
    finding = message.finding
    fault = check_pb2.Fault.Name(finding.fault).removeprefix("FAULT_").lower()
    return checks.Finding(fault, finding.asset_id, finding.message, finding.repaired)


def span(message: gateway_pb2.Span) -> events.Span:
    """A span of a trace."""
    return events.Span(
        span_id=message.span_id,
        parent_span_id=message.parent_span_id,
        name=message.name,
        kind=message.kind,
        start_time_s=unix_seconds(message.start_time),
        end_time_s=unix_seconds(message.end_time),
        error=message.error,
        attributes=dict(message.attributes),
    )


def transcript(
    message: gateway_pb2.TranscriptChunk | gateway_pb2.TranscribeResponse,
    turn_id: str = "",
    asset_id: str = "",
) -> events.Transcript:
    """Words heard."""
    return events.Transcript(
        turn_id=turn_id,
        asset_id=asset_id or getattr(message, "asset_id", ""),
        span=_span(message.span),
        text=message.transcript.text,
        language=message.transcript.language,
        words=tuple(
            events.Word(
                text=word.text,
                start_s=seconds(word.span.start),
                end_s=seconds(word.span.end),
                confidence=rounded(word.confidence),
            )
            for word in message.transcript.words
        ),
    )


def citation(message: gateway_pb2.Citation, turn_id: str = "") -> events.Citation:
    """Evidence for an answer."""
    return events.Citation(
        turn_id=turn_id,
        evidence=_evidence(message.evidence),
        basis=_word(gateway_pb2.CitationBasis.Name(message.basis), "CITATION_BASIS_"),
        asset_sha256=message.asset_sha256,
        answer_range=(
            locators.CharRange(message.answer_range.start, message.answer_range.end)
            if message.HasField("answer_range")
            else None
        ),
    )


def _word(name: str, prefix: str) -> str:
    word = name.removeprefix(prefix).lower()
    return "" if word == "unspecified" else word


def finish_reason(value: gateway_pb2.TurnFinishReason.ValueType) -> str:
    """ "stop" for TURN_FINISH_REASON_STOP."""
    return _word(gateway_pb2.TurnFinishReason.Name(value), "TURN_FINISH_REASON_")


def origin(value: evidence_pb2.EvidenceOrigin.ValueType) -> str:
    """ "label" for EVIDENCE_ORIGIN_LABEL; empty where there is none."""
    return _word(evidence_pb2.EvidenceOrigin.Name(value), "EVIDENCE_ORIGIN_")


def rounded(value: float) -> float:
    """A number without the digits that are noise: it was a float32 on the wire."""
    return round(value, 6)


def _span(message: media_pb2.TimeSpan) -> locators.TimeSpan:
    return locators.TimeSpan(seconds(message.start), seconds(message.end))


def locator(message: media_pb2.Locator) -> locators.Locator:
    """Where in its asset something lies."""
    region, chars = message.region, message.chars
    return locators.Locator(
        span=_span(message.span) if message.HasField("span") else None,
        region=(
            locators.PixelRegion(region.left_px, region.top_px, region.width_px, region.height_px)
            if message.HasField("region")
            else None
        ),
        chars=(locators.CharRange(chars.start, chars.end) if message.HasField("chars") else None),
    )


def _evidence(message: evidence_pb2.WeightedEvidence) -> events.Evidence:
    evidence = message.evidence
    return events.Evidence(
        evidence_id=evidence.evidence_id,
        asset_id=evidence.asset_id,
        asset_name=evidence.asset_name,
        modality=modality(evidence.modality),
        origin=origin(evidence.origin),
        text=evidence.text,
        locator=locator(evidence.locator),
        confidence=rounded(evidence.confidence),
        citation_key=message.citation_key,
        similarity=rounded(message.similarity),
        weight=rounded(message.weight),
        in_context=message.in_context,
    )


def _description(message: media_pb2.AssetInfo) -> events.AssetDescription:
    return events.AssetDescription(
        asset_id=message.asset_id,
        name=message.name,
        modality=modality(message.modality),
        mime_type=message.mime_type,
        has_video=message.has_video,
        has_audio=message.has_audio,
        duration_s=seconds(message.duration) if message.HasField("duration") else None,
        width_px=message.width_px,
        height_px=message.height_px,
        streamable=message.streamable,
    )


def _usage(message: gateway_pb2.Usage) -> events.Usage:
    return events.Usage(
        prompt_token_count=message.prompt_token_count,
        cached_token_count=message.cached_token_count,
        completion_token_count=message.completion_token_count,
        media_bytes=message.media_bytes,
        segment_count=message.segment_count,
        cache_hit_count=message.cache_hit_count,
    )


def _timings(message: gateway_pb2.Timings) -> events.Timings:
    return events.Timings(
        last_byte_s=seconds(message.last_byte),
        first_token_s=seconds(message.first_token),
        last_token_s=seconds(message.last_token),
        time_to_first_token_s=seconds(message.time_to_first_token),
        overlap=rounded(message.overlap),
        stages=tuple(
            events.StageTiming(stage.stage, seconds(stage.start), seconds(stage.end))
            for stage in message.stages
        ),
    )


def _ready(message: gateway_pb2.StreamReady, turn_id: str) -> events.Ready:
    config = message.effective_config
    return events.Ready(
        turn_id=turn_id,
        trace_id=message.trace_id,
        model=config.answer.model,
        language=config.perception.language,
    )


def _upload_ready(message: gateway_pb2.UploadReady, turn_id: str) -> events.Ready:
    language = message.effective_config.perception.language
    return events.Ready(turn_id=turn_id, trace_id=message.trace_id, model="", language=language)


def _upload_opened(message: upload_pb2.UploadOpened, turn_id: str) -> events.UploadOpened:
    return events.UploadOpened(
        turn_id=turn_id, asset_id=message.asset_id, resume_offset=message.resume_offset
    )


def _chunk_ack(message: upload_pb2.ChunkAck, turn_id: str) -> events.ChunkAck:
    return events.ChunkAck(
        turn_id=turn_id,
        asset_id=message.asset_id,
        received_bytes=message.received_offset,
        durable_bytes=message.durable_offset,
    )


def _asset_info(message: media_pb2.AssetInfo, turn_id: str) -> events.AssetInfo:
    return events.AssetInfo(turn_id=turn_id, description=_description(message))


def _progress(message: gateway_pb2.Progress, turn_id: str) -> events.Progress:
    return events.Progress(
        turn_id=turn_id,
        asset_id=message.asset_id,
        received_bytes=message.received_bytes,
        segment_count=message.segment_count,
        encoded_segment_count=message.encoded_segment_count,
        complete=message.complete,
    )


def _partial_transcript(
    message: gateway_pb2.PartialTranscript, turn_id: str
) -> events.PartialTranscript:
    return events.PartialTranscript(
        turn_id=turn_id,
        asset_id=message.asset_id,
        span=_span(message.span),
        text=message.transcript.text,
        language=message.transcript.language,
    )


def _asset_stored(message: media_pb2.Asset, turn_id: str) -> events.AssetStored:
    return events.AssetStored(turn_id=turn_id, asset=asset(message))


def _evidence_weights(message: gateway_pb2.EvidenceWeights, turn_id: str) -> events.EvidenceWeights:
    return events.EvidenceWeights(
        turn_id=turn_id,
        evidence=tuple(_evidence(weighted) for weighted in message.evidence),
        modality_weights=tuple(
            (modality(gate.modality), rounded(gate.weight)) for gate in message.modality_weights
        ),
    )


def _token(message: gateway_pb2.TokenChunk, turn_id: str) -> events.Token:
    return events.Token(turn_id=turn_id, text=message.text, token_count=message.token_count)


def moderation(message: gateway_pb2.Moderation, turn_id: str = "") -> events.Moderation:
    """Something that reached a threshold of a policy."""
    return events.Moderation(
        turn_id=turn_id,
        part=_word(gateway_pb2.ModeratedPart.Name(message.part), "MODERATED_PART_"),
        asset_id=message.asset_id,
        locator=locator(message.locator),
        category=message.score.category,
        score=rounded(message.score.score),
        action=_word(gateway_pb2.ModerationAction.Name(message.action), "MODERATION_ACTION_"),
    )


def _turn_complete(message: gateway_pb2.TurnComplete, turn_id: str) -> events.TurnComplete:
    return events.TurnComplete(
        turn_id=turn_id,
        finish_reason=finish_reason(message.finish_reason),
        usage=_usage(message.usage),
        timings=_timings(message.timings),
        response_cached=message.response_cached,
    )


def _asset_indexed(message: gateway_pb2.AssetIndexed, turn_id: str) -> events.AssetIndexed:
    return events.AssetIndexed(
        turn_id=turn_id, asset_id=message.asset_id, document_count=message.document_count
    )


def _item_failed(message: stream_pb2.ItemError, turn_id: str) -> events.ItemFailed:
    error = from_stream_error(message.error)
    return events.ItemFailed(
        turn_id=turn_id,
        item_id=message.item_id,
        code=error.code,
        reason=error.reason,
        message=error.message,
    )


def _go_away(message: stream_pb2.GoAway, turn_id: str) -> events.GoAway:
    return events.GoAway(turn_id=turn_id, grace_s=seconds(message.grace))


def _summary(message: gateway_pb2.ConverseSummary, turn_id: str) -> events.Summary:
    return events.Summary(
        turn_id=turn_id, turn_count=message.turn_count, usage=_usage(message.usage)
    )


def _upload_summary(message: gateway_pb2.UploadSummary, turn_id: str) -> events.UploadSummary:
    return events.UploadSummary(
        turn_id=turn_id, asset_count=message.asset_count, received_bytes=message.received_bytes
    )


_DECODERS: dict[type[Message], Callable[[Any, str], events.Event]] = {
    gateway_pb2.StreamReady: _ready,
    gateway_pb2.UploadReady: _upload_ready,
    upload_pb2.UploadOpened: _upload_opened,
    upload_pb2.ChunkAck: _chunk_ack,
    media_pb2.AssetInfo: _asset_info,
    gateway_pb2.Progress: _progress,
    gateway_pb2.TranscriptChunk: transcript,
    gateway_pb2.PartialTranscript: _partial_transcript,
    media_pb2.Asset: _asset_stored,
    gateway_pb2.EvidenceWeights: _evidence_weights,
    gateway_pb2.TokenChunk: _token,
    gateway_pb2.Citation: citation,
    gateway_pb2.Moderation: moderation,
    gateway_pb2.TurnComplete: _turn_complete,
    gateway_pb2.AssetIndexed: _asset_indexed,
    stream_pb2.ItemError: _item_failed,
    stream_pb2.GoAway: _go_away,
    gateway_pb2.ConverseSummary: _summary,
    gateway_pb2.UploadSummary: _upload_summary,
}
