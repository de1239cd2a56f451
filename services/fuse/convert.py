"""Protobuf to domain and back, field by field."""

import math
from collections.abc import Sequence

from google.protobuf.duration_pb2 import Duration
from sensorium.fuse.v1 import fuse_pb2
from sensorium.media.v1 import evidence_pb2, media_pb2

from services.fuse.alignment import Focus, Relation, Track
from services.fuse.model import (
    Asset,
    Chars,
    Locator,
    Modality,
    Origin,
    Piece,
    Region,
    Segment,
    SegmentKind,
    Span,
    Vector,
)
from services.fuse.session import Fused, Part, Weighed
from services.fuse.vectors import VectorSpace
from services.runtime.errors import InvalidInput

# A message is at most 4 MiB.
EVIDENCE_BYTES_MAX = 3 << 20
KEY_DIGITS_MAX = 9

_MODALITIES = {
    media_pb2.MODALITY_TEXT: Modality.TEXT,
    media_pb2.MODALITY_IMAGE: Modality.IMAGE,
    media_pb2.MODALITY_VIDEO: Modality.VIDEO,
    media_pb2.MODALITY_AUDIO: Modality.AUDIO,
}
_MODALITY_NUMBERS = {modality: number for number, modality in _MODALITIES.items()}
_KINDS = {
    media_pb2.SEGMENT_KIND_IMAGE_VIEW: SegmentKind.IMAGE_VIEW,
    media_pb2.SEGMENT_KIND_IMAGE_TILE: SegmentKind.IMAGE_TILE,
    media_pb2.SEGMENT_KIND_VIDEO_FRAME: SegmentKind.VIDEO_FRAME,
    media_pb2.SEGMENT_KIND_AUDIO_WINDOW: SegmentKind.AUDIO_WINDOW,
    media_pb2.SEGMENT_KIND_TEXT_PASSAGE: SegmentKind.TEXT_PASSAGE,
}
_ORIGINS = {
    evidence_pb2.EVIDENCE_ORIGIN_SPEECH: Origin.SPEECH,
    evidence_pb2.EVIDENCE_ORIGIN_OCR: Origin.OCR,
    evidence_pb2.EVIDENCE_ORIGIN_LABEL: Origin.LABEL,
    evidence_pb2.EVIDENCE_ORIGIN_CAPTION: Origin.CAPTION,
    evidence_pb2.EVIDENCE_ORIGIN_PASSAGE: Origin.PASSAGE,
}
_ORIGIN_NUMBERS = {origin: number for number, origin in _ORIGINS.items()}
_OBSERVED = {
    "transcript": Origin.SPEECH,
    "ocr_line": Origin.OCR,
    "label": Origin.LABEL,
    "caption": Origin.CAPTION,
    "passage": Origin.PASSAGE,
}

_RELATIONS = {
    fuse_pb2.TEMPORAL_RELATION_AT: Relation.AT,
    fuse_pb2.TEMPORAL_RELATION_DURING: Relation.DURING,
    fuse_pb2.TEMPORAL_RELATION_AFTER: Relation.AFTER,
    fuse_pb2.TEMPORAL_RELATION_BEFORE: Relation.BEFORE,
    fuse_pb2.TEMPORAL_RELATION_FIRST: Relation.FIRST,
    fuse_pb2.TEMPORAL_RELATION_LAST: Relation.LAST,
}
_TRACKS = {
    fuse_pb2.EVIDENCE_TRACK_UNSPECIFIED: Track.ANY,
    fuse_pb2.EVIDENCE_TRACK_SEEN: Track.SEEN,
    fuse_pb2.EVIDENCE_TRACK_HEARD: Track.HEARD,
}


def read_part(message: fuse_pb2.ContextPart) -> Part:
    """Raises InvalidInput EARLIER_PART_INVALID."""
    key = message.citation_key
    # As fusion writes them.
    if not (key.isascii() and key.isdigit() and len(key) <= KEY_DIGITS_MAX):
        raise InvalidInput(
            "EARLIER_PART_INVALID",
            "The key of an earlier part is a number.",
            subject="config.earlier_parts",
        )
    return Part(key, message.text)


def read_asset(message: media_pb2.AssetInfo) -> Asset:
    """Raises InvalidInput MODALITY_MISSING or ID_MISSING."""
    return Asset(
        asset_id=_id(message.asset_id, "asset_info.asset_id"),
        name=message.name,
        modality=_modality(message.modality, message.asset_id),
        has_video=message.has_video,
        has_audio=message.has_audio,
    )


def read_segment(message: fuse_pb2.SegmentPending) -> Segment:
    """Raises InvalidInput KIND_MISSING, ID_MISSING or LOCATOR_INVALID."""
    segment_id = _id(message.segment_id, "segment_pending.segment_id")
    kind = _KINDS.get(message.kind)
    if kind is None:
        raise InvalidInput(
            "KIND_MISSING", "A segment must say which cut it is.", subject=segment_id
        )
    return Segment(segment_id, message.asset_id, kind, _locator(message.locator, segment_id))


def read_observation(message: media_pb2.Observation, space: VectorSpace) -> Piece:
    """Raises InvalidInput for a missing id or content, a bad locator,
    confidence or vector."""
    evidence_id = _id(message.observation_id, "observation.observation_id")
    observed = message.WhichOneof("observed")
    if observed is None:
        raise InvalidInput(
            "OBSERVATION_EMPTY", "An observation must say what was observed.", subject=evidence_id
        )
    return Piece(
        evidence_id=evidence_id,
        segment_id=message.segment_id,
        asset_id=message.asset_id,
        origin=_OBSERVED[observed],
        text=getattr(message, observed).text,
        locator=_locator(message.locator, evidence_id),
        confidence=_confidence(message.confidence, evidence_id),
        vector=read_optional_vector(message.embedding, space, evidence_id),
    )


def read_focus(finish: fuse_pb2.FuseFinish, space: VectorSpace) -> Focus | None:
    """Raises InvalidInput RELATION_MISSING, TRACK_UNKNOWN, LOCATOR_INVALID, or for a bad vector."""
    if not finish.HasField("focus"):
        return None
    message = finish.focus
    relation = _RELATIONS.get(message.relation)
    if relation is None:
        raise InvalidInput(
            "RELATION_MISSING",
            "A focus must say how its evidence lies in time.",
            subject="finish.focus.relation",
        )
    for field in ("anchor_track", "target_track"):
        if getattr(message, field) not in _TRACKS:
            raise InvalidInput(
                "TRACK_UNKNOWN", "There is no such track.", subject=f"finish.focus.{field}"
            )
    return Focus(
        relation=relation,
        anchor_text=message.anchor_text,
        anchor_vector=read_optional_vector(message.anchor_embedding, space, "finish.focus"),
        anchor_track=_TRACKS[message.anchor_track],
        target_track=_TRACKS[message.target_track],
        anchor_span=_span(message.anchor_span, "finish.focus.anchor_span")
        if message.HasField("anchor_span")
        else None,
    )


def read_recalled(message: fuse_pb2.RecalledEvidence, space: VectorSpace) -> tuple[Asset, Piece]:
    """Raises InvalidInput as ``read_observation``, and ORIGIN_MISSING."""
    evidence = message.evidence
    evidence_id = _id(evidence.evidence_id, "recalled.evidence.evidence_id")
    origin = _ORIGINS.get(evidence.origin)
    if origin is None and evidence.text.strip():
        raise InvalidInput(
            "ORIGIN_MISSING", "Evidence must say how it came to be.", subject=evidence_id
        )
    asset = Asset(
        asset_id=_id(evidence.asset_id, "recalled.evidence.asset_id"),
        name=evidence.asset_name,
        modality=_modality(evidence.modality, evidence_id),
    )
    piece = Piece(
        evidence_id=evidence_id,
        segment_id=evidence.segment_id,
        asset_id=evidence.asset_id,
        origin=origin or Origin.CAPTION,
        text=evidence.text,
        locator=_locator(evidence.locator, evidence_id),
        confidence=_confidence(evidence.confidence, evidence_id),
        vector=read_optional_vector(message.embedding, space, evidence_id),
    )
    return asset, piece


def read_vector(message: media_pb2.Embedding, space: VectorSpace, subject: str) -> Vector:
    """Raises InvalidInput DTYPE_UNSUPPORTED and as ``VectorSpace.read``."""
    if message.dtype != media_pb2.VECTOR_DTYPE_FLOAT32:
        raise InvalidInput(
            "DTYPE_UNSUPPORTED", "Vectors must be float32, little-endian.", subject=subject
        )
    return space.read(message.space, message.dimension, message.data, subject=subject)


def read_optional_vector(
    message: media_pb2.Embedding, space: VectorSpace, subject: str
) -> Vector | None:
    """None for an embedding that is unset or has nothing in it; else as
    ``read_vector``."""
    return read_vector(message, space, subject) if message.ByteSize() else None


def write_part(part: Part) -> fuse_pb2.ContextPart:
    """One line of context."""
    return fuse_pb2.ContextPart(citation_key=part.citation_key, text=part.text)


def write_fused(fused: Fused, space: VectorSpace) -> fuse_pb2.FusedContext:
    """The result of a fusion. Evidence past ``EVIDENCE_BYTES_MAX`` is left out, what
    is not in the context and weighs least first."""
    message = fuse_pb2.FusedContext(
        evidence=_within_message(fused.evidence),
        modality_weights=[
            evidence_pb2.ModalityWeight(modality=_MODALITY_NUMBERS[modality], weight=gate)
            for modality, gate in fused.gates.items()
        ],
        parts=[write_part(part) for part in fused.parts],
        prefix_kept=fused.prefix_kept,
        shows_nothing=fused.shows_nothing,
    )
    if fused.vector is not None:
        message.fused_embedding.space = space.name
        message.fused_embedding.dtype = media_pb2.VECTOR_DTYPE_FLOAT32
        message.fused_embedding.dimension = space.dimension
        message.fused_embedding.data = fused.vector.astype("<f4").tobytes()
    return message


def _within_message(evidence: Sequence[Weighed]) -> list[evidence_pb2.WeightedEvidence]:
    messages = [_write_weighed(weighed) for weighed in evidence]
    first = sorted(
        range(len(messages)),
        key=lambda index: (not evidence[index].in_context, -evidence[index].weight, index),
    )
    kept: list[int] = []
    size_bytes = 0
    for index in first:
        size_bytes += messages[index].ByteSize()
        if size_bytes > EVIDENCE_BYTES_MAX:
            break
        kept.append(index)
    return [messages[index] for index in sorted(kept)]


def _write_weighed(weighed: Weighed) -> evidence_pb2.WeightedEvidence:
    line = weighed.line
    first = line.pieces[0]
    return evidence_pb2.WeightedEvidence(
        evidence=evidence_pb2.Evidence(
            evidence_id=first.evidence_id,
            segment_id=first.segment_id,
            asset_id=line.asset.asset_id,
            asset_name=line.asset.name,
            modality=_MODALITY_NUMBERS[line.modality],
            origin=_ORIGIN_NUMBERS[line.origin],
            text=line.text,
            locator=_write_locator(line.locator),
            confidence=line.confidence,
        ),
        citation_key=weighed.citation_key,
        similarity=weighed.similarity,
        weight=weighed.weight,
        in_context=weighed.in_context,
    )


def _write_locator(locator: Locator) -> media_pb2.Locator:
    message = media_pb2.Locator()
    if locator.span:
        message.span.start.FromNanoseconds(locator.span.start_ns)
        message.span.end.FromNanoseconds(locator.span.end_ns)
    if locator.region:
        region = locator.region
        message.region.left_px, message.region.top_px = region.left_px, region.top_px
        message.region.width_px, message.region.height_px = region.width_px, region.height_px
    if locator.chars:
        message.chars.start, message.chars.end = locator.chars.start, locator.chars.end
    return message


def _locator(message: media_pb2.Locator, subject: str) -> Locator:
    span = region = chars = None
    if message.HasField("span"):
        span = _span(message.span, subject)
    if message.HasField("region"):
        part = message.region
        region = Region(part.left_px, part.top_px, part.width_px, part.height_px)
    if message.HasField("chars"):
        chars = Chars(message.chars.start, message.chars.end)
    return Locator(span, region, chars)


def _span(message: media_pb2.TimeSpan, subject: str) -> Span:
    span = Span(_nanoseconds(message.start), _nanoseconds(message.end))
    if not 0 <= span.start_ns <= span.end_ns:
        raise InvalidInput(
            "LOCATOR_INVALID", "A span must not end before it starts.", subject=subject
        )
    return span


def _nanoseconds(duration: Duration) -> int:
    return duration.seconds * 1_000_000_000 + duration.nanos


def _modality(number: int, subject: str) -> Modality:
    modality = _MODALITIES.get(media_pb2.Modality.ValueType(number))
    if modality is None:
        raise InvalidInput(
            "MODALITY_MISSING", "An asset must say what it is: its modality.", subject=subject
        )
    return modality


def _confidence(confidence: float, subject: str) -> float:
    if not math.isfinite(confidence) or not 0.0 <= confidence <= 1.0 + 1e-6:
        raise InvalidInput(
            "CONFIDENCE_INVALID", "A confidence must be between 0 and 1.", subject=subject
        )
    return min(confidence, 1.0)


def _id(identifier: str, field: str) -> str:
    if not identifier:
        raise InvalidInput("ID_MISSING", "An id must not be empty.", subject=field)
    return identifier
