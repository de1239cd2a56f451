"""What a search found, as JSON."""

from datetime import UTC

from sensorium.gateway.v1 import gateway_pb2
from sensorium.media.v1 import media_pb2

from services.gateway.http.evidence import (
    Characters,
    Origin,
    Region,
    Span,
    characters_of,
    origin_of,
    region_of,
    span_of,
)
from services.gateway.http.files.objects import (
    MODALITIES,
    PURPOSE,
    Modality,
    duration_s,
    thumbnail_url,
)
from services.gateway.http.schema import Schema


class MatchedFrame(Schema):
    """A moment, region or passage that matched."""

    span: Span | None
    """When, in video and sound."""
    region: Region | None
    """Where, in a picture or a frame."""
    characters: Characters | None
    """Where, in a text."""
    text: str
    """The words that matched or describe the place."""
    origin: Origin | None
    """How it was observed; null for a match by what it looks like."""
    similarity_score: float
    """As that of the result."""
    cosine: float
    """Of query and match, -1 to 1; it means something else for each kind of match."""
    thumbnail_url: str | None
    """A small picture of the frame, or of the picture."""


class FoundMetadata(Schema):
    """What is known of a file that was found."""

    uploaded_at: str
    """RFC 3339."""
    resolution: str | None
    """Such as "1920x1080"; null for sound and text."""
    duration: float | None
    """In seconds; null for pictures and text."""
    filename: str
    media_type: str
    size_bytes: int
    sha256: str
    tags: list[str]
    custom: dict[str, str]
    """As its client gave it."""


class Found(Schema):
    """A file that was found."""

    id: str
    type: Modality
    url: str
    """Where its bytes are: here, or in the content delivery network that is set up."""
    thumbnail_url: str | None
    similarity_score: float
    """How probable it is that its best match is a right one, 0 to 1; it can be compared across
    modalities."""
    matched_frames: list[MatchedFrame]
    """Where it matched, best first."""
    metadata: FoundMetadata


class SearchResponse(Schema):
    """What was found, best first."""

    results: list[Found]


def found(result: gateway_pb2.SearchResult, url: str) -> Found:
    """A file that was found, with the URL of its bytes."""
    asset, info = result.asset, result.asset.info
    custom = {name: value for name, value in asset.metadata.items() if name != PURPOSE}
    return Found(
        id=asset.asset_id,
        type=MODALITIES[info.modality],
        url=url,
        thumbnail_url=thumbnail_url(info),
        similarity_score=result.relevance,
        matched_frames=[_frame(info, match) for match in result.matches],
        metadata=FoundMetadata(
            uploaded_at=asset.create_time.ToDatetime(UTC).isoformat(timespec="milliseconds"),
            resolution=f"{info.width_px}x{info.height_px}" if info.width_px else None,
            duration=duration_s(info),
            filename=info.name,
            media_type=info.mime_type,
            size_bytes=asset.size_bytes,
            sha256=asset.sha256,
            tags=list(asset.tags),
            custom=custom,
        ),
    )


def _frame(info: media_pb2.AssetInfo, match: gateway_pb2.SearchMatch) -> MatchedFrame:
    span = span_of(match.locator)
    return MatchedFrame(
        span=span,
        region=region_of(match.locator),
        characters=characters_of(match.locator),
        text=match.preview_text,
        origin=origin_of(match.origin) if match.origin else None,
        similarity_score=match.relevance,
        cosine=match.similarity,
        thumbnail_url=thumbnail_url(info, span.start_s if span else None),
    )
