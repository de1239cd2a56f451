"""Protobuf to domain and back, field by field."""

import math
from collections.abc import Iterable, Mapping

import numpy as np
from google.protobuf.timestamp_pb2 import Timestamp
from sensorium.media.v1 import evidence_pb2, media_pb2
from sensorium.search.v1 import search_pb2

from services.runtime.errors import InvalidInput
from services.search.near_duplicates import LookAlike
from services.search.ranking import Hit
from services.search.record import Chars, Record, Region, Span, Vector, is_metadata_key

TEXT_CHARACTERS_MAX = 16_000
# A message is at most 4 MiB.
RESULT_BYTES_MAX = 3 << 20
ASSET_COUNT_MAX = 100
TAG_COUNT_MAX = 32
METADATA_COUNT_MAX = 32

# Vectors of half-precision models are a little off one.
_UNIT_TOLERANCE = 0.01

# The longest google.protobuf.Duration: about 10,000 years.
_SPAN_END_MS_MAX = 315_576_000_000 * 1000


def read_document(message: search_pb2.Document, tenant_id: str, space: str) -> Record:
    """Raises InvalidInput for a missing id or modality, a bad locator, time or vector,
    or text that is too long."""
    evidence = message.evidence
    for identifier, field in (
        (evidence.evidence_id, "document.evidence.evidence_id"),
        (evidence.asset_id, "document.evidence.asset_id"),
    ):
        if not identifier:
            raise InvalidInput("ID_MISSING", "An id must not be empty.", subject=field)
    if evidence.modality == media_pb2.MODALITY_UNSPECIFIED:
        raise InvalidInput(
            "MODALITY_MISSING",
            "A document must say what its asset is.",
            subject="document.evidence.modality",
        )
    if len(evidence.text) > TEXT_CHARACTERS_MAX:
        raise InvalidInput(
            "TEXT_TOO_LONG",
            f"A document has at most {TEXT_CHARACTERS_MAX} characters; split it.",
            subject="document.evidence.text",
        )
    if len(message.tags) > TAG_COUNT_MAX:
        raise InvalidInput(
            "TOO_MANY_TAGS",
            f"A document has at most {TAG_COUNT_MAX} tags.",
            subject="document.tags",
        )
    check_metadata(message.metadata, "document.metadata")
    if not math.isfinite(evidence.confidence):
        raise InvalidInput(
            "CONFIDENCE_INVALID",
            "A confidence must be between 0 and 1.",
            subject="document.evidence.confidence",
        )
    locator = evidence.locator
    return Record(
        tenant_id=tenant_id,
        document_id=evidence.evidence_id,
        segment_id=evidence.segment_id,
        asset_id=evidence.asset_id,
        asset_name=evidence.asset_name,
        asset_sha256=message.asset_sha256,
        user_id=message.user_id,
        modality=modality_name(evidence.modality),
        segment_kind=_KINDS.get(message.segment_kind, "unspecified"),
        origin=_ORIGINS.get(evidence.origin, "unspecified"),
        text=evidence.text,
        confidence=evidence.confidence,
        span=_read_span(locator) if locator.HasField("span") else None,
        region=_read_region(locator.region) if locator.HasField("region") else None,
        chars=Chars(locator.chars.start, locator.chars.end) if locator.HasField("chars") else None,
        tags=tuple(message.tags),
        metadata=dict(message.metadata),
        create_time_us=read_time(message.create_time, "document.create_time")
        if message.HasField("create_time")
        else None,
        perceptual_hash=message.perceptual_hash if message.HasField("perceptual_hash") else None,
        vector=read_vector(message.embedding, space, "document.embedding"),
    )


def write_look_alike(found: LookAlike) -> search_pb2.NearDuplicate:
    """A picture or frame that looks like one that was given."""
    return search_pb2.NearDuplicate(
        asset_id=found.asset_id,
        locator=_write_locator(found.span, found.region),
        hamming_distance=found.distance,
        query_index=found.query_index,
    )


def check_metadata(metadata: Mapping[str, str], field: str) -> None:
    """Raises InvalidInput METADATA_INVALID for too many entries or a bad key."""
    if len(metadata) > METADATA_COUNT_MAX:
        raise InvalidInput(
            "METADATA_INVALID", f"At most {METADATA_COUNT_MAX} entries of metadata.", subject=field
        )
    if not all(is_metadata_key(key) for key in metadata):
        raise InvalidInput(
            "METADATA_INVALID",
            "A key of metadata has 1 to 64 small letters, digits, '_', '.' and '-'.",
            subject=field,
        )


def read_asset_ids(asset_ids: list[str]) -> list[str]:
    """Each once, in order. Raises InvalidInput ASSET_IDS_MISSING or
    TOO_MANY_ASSETS."""
    if not asset_ids or not all(asset_ids):
        raise InvalidInput(
            "ASSET_IDS_MISSING", "Name at least one asset, and none empty.", subject="asset_ids"
        )
    if len(asset_ids) > ASSET_COUNT_MAX:
        raise InvalidInput(
            "TOO_MANY_ASSETS", f"Name at most {ASSET_COUNT_MAX} assets.", subject="asset_ids"
        )
    return list(dict.fromkeys(asset_ids))


def read_vector(message: media_pb2.Embedding, space: str, subject: str) -> Vector:
    """A vector of the space, float32 [dimension]. Raises InvalidInput
    VECTOR_MALFORMED, DTYPE_UNSUPPORTED or SPACE_MISMATCH."""
    if message.dtype != media_pb2.VECTOR_DTYPE_FLOAT32:
        raise InvalidInput(
            "DTYPE_UNSUPPORTED", "Vectors must be float32, little-endian.", subject=subject
        )
    if message.space != space:
        raise InvalidInput(
            "SPACE_MISMATCH",
            f"This stream is of the space {space}; open another for other vectors.",
            subject=subject,
        )
    if message.dimension < 1 or len(message.data) != 4 * message.dimension:
        raise InvalidInput(
            "VECTOR_MALFORMED",
            "An embedding needs a dimension and four bytes for each number.",
            subject=subject,
        )
    vector = np.frombuffer(message.data, dtype="<f4").astype(np.float32)
    length = float(np.linalg.norm(vector.astype(np.float64)))
    if not math.isfinite(length) or abs(length - 1.0) > _UNIT_TOLERANCE:
        raise InvalidInput(
            "VECTOR_MALFORMED",
            "An embedding must be of unit length, all its numbers finite.",
            subject=subject,
        )
    return vector / np.float32(length)


def write_document(record: Record, space: str, *, with_vector: bool = True) -> search_pb2.Document:
    """A document, with its vector or without."""
    message = search_pb2.Document(
        evidence=evidence_pb2.Evidence(
            evidence_id=record.document_id,
            segment_id=record.segment_id,
            asset_id=record.asset_id,
            asset_name=record.asset_name,
            modality=media_pb2.Modality.Value(f"MODALITY_{record.modality.upper()}"),
            origin=evidence_pb2.EvidenceOrigin.Value(f"EVIDENCE_ORIGIN_{record.origin.upper()}"),
            text=record.text,
            locator=_write_locator(record.span, record.region, record.chars),
            confidence=record.confidence,
        ),
        segment_kind=media_pb2.SegmentKind.Value(f"SEGMENT_KIND_{record.segment_kind.upper()}"),
        asset_sha256=record.asset_sha256,
        user_id=record.user_id,
        tags=record.tags,
        metadata=record.metadata,
        perceptual_hash=record.perceptual_hash,
    )
    if record.create_time_us is not None:
        message.create_time.FromMicroseconds(record.create_time_us)
    if not with_vector:
        return message
    message.embedding.space = space
    message.embedding.dtype = media_pb2.VECTOR_DTYPE_FLOAT32
    message.embedding.dimension = len(record.vector)
    message.embedding.data = record.vector.astype("<f4").tobytes()
    return message


def write_result(
    query_id: str, hits: Iterable[Hit], space: str, *, with_vectors: bool = True
) -> search_pb2.SearchResult:
    """The answer to a query; hits past ``RESULT_BYTES_MAX`` are left out."""
    result = search_pb2.SearchResult(query_id=query_id)
    size_bytes = 0
    for hit in hits:
        message = search_pb2.SearchHit(
            document=write_document(hit.record, space, with_vector=with_vectors),
            similarity=hit.similarity,
            score=hit.score,
        )
        size_bytes += message.ByteSize()
        if size_bytes > RESULT_BYTES_MAX:
            break
        result.hits.append(message)
    return result


def read_time(time: Timestamp, subject: str) -> int:
    """Microseconds from the epoch. Raises InvalidInput TIME_INVALID."""
    try:
        microseconds: int = time.ToMicroseconds()
    except ValueError:
        raise InvalidInput(
            "TIME_INVALID",
            "A time is between the years 1 and 9999, nanoseconds below a second.",
            subject=subject,
        ) from None
    return microseconds


def origin_name(number: int) -> str:
    """As rows hold it; one of a newer client is none that a row could have."""
    return _ORIGINS.get(number, "unknown")


def modality_name(number: int) -> str:
    """The name of a modality in the index: "image" for MODALITY_IMAGE."""
    return _MODALITIES.get(number, "unspecified")


def _names(values: Iterable[tuple[str, int]], prefix: str) -> dict[int, str]:
    return {number: name.removeprefix(prefix).lower() for name, number in values}


def _read_span(locator: media_pb2.Locator) -> Span:
    start_ms, end_ms = (
        round(offset.seconds * 1000 + offset.nanos / 1e6)
        for offset in (locator.span.start, locator.span.end)
    )
    if not 0 <= start_ms <= end_ms <= _SPAN_END_MS_MAX:
        raise InvalidInput(
            "LOCATOR_INVALID",
            "A span must not end before it starts, nor after 10,000 years.",
            subject="document.evidence.locator.span",
        )
    return Span(start_ms, end_ms)


def _read_region(region: media_pb2.PixelRegion) -> Region:
    return Region(region.left_px, region.top_px, region.width_px, region.height_px)


def _write_locator(
    span: Span | None, region: Region | None, chars: Chars | None = None
) -> media_pb2.Locator:
    locator = media_pb2.Locator()
    if span:
        locator.span.start.FromMilliseconds(span.start_ms)
        locator.span.end.FromMilliseconds(span.end_ms)
    if region:
        locator.region.left_px, locator.region.top_px = region.left_px, region.top_px
        locator.region.width_px, locator.region.height_px = region.width_px, region.height_px
    if chars:
        locator.chars.start, locator.chars.end = chars.start, chars.end
    return locator


_MODALITIES = _names(media_pb2.Modality.items(), "MODALITY_")
_KINDS = _names(media_pb2.SegmentKind.items(), "SEGMENT_KIND_")
_ORIGINS = _names(evidence_pb2.EvidenceOrigin.items(), "EVIDENCE_ORIGIN_")
