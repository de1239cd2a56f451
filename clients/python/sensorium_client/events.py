"""What a server tells, as plain frozen values: times in seconds, enums as short words.

Every event has a ``type``, the word that ``sensorium --json`` prints:

    ready upload_opened chunk_ack asset_info progress partial_transcript transcript
    asset evidence token citation moderation turn_complete asset_indexed
    item_error go_away summary upload_summary        told by the server
    already_stored                                   told by this client
"""

import base64
import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

from sensorium_client.locators import CharRange, Locator, TimeSpan


def to_json(value: Any) -> Any:
    """A value of this module as JSON types; an event carries its ``type`` first."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"type": value.type, **fields} if isinstance(value, Event) else fields
    if isinstance(value, tuple):
        return [to_json(item) for item in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value


@dataclass(frozen=True)
class Evidence:
    """Something observed in an asset, and its part in an answer."""

    evidence_id: str
    asset_id: str
    asset_name: str
    modality: str
    """"text", "image", "video" or "audio"."""
    origin: str
    """"speech", "ocr", "label", "caption" or "passage"."""
    text: str
    locator: Locator
    confidence: float
    citation_key: str
    similarity: float
    weight: float
    in_context: bool


@dataclass(frozen=True)
class Word:
    """A word and when it is said."""

    text: str
    start_s: float
    end_s: float
    confidence: float


@dataclass(frozen=True)
class Usage:
    """What a turn took."""

    prompt_token_count: int
    cached_token_count: int
    completion_token_count: int
    media_bytes: int
    segment_count: int
    cache_hit_count: int


@dataclass(frozen=True)
class StageTiming:
    """When one stage worked, in seconds from the turn's first message."""

    stage: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Timings:
    """Where the time went, in seconds from the turn's first message."""

    last_byte_s: float
    first_token_s: float
    last_token_s: float
    time_to_first_token_s: float
    """From the last byte sent to the first token: what a person waits."""
    overlap: float
    """Share of the segments that were encoded before the last byte, 0 to 1."""
    stages: tuple[StageTiming, ...]


@dataclass(frozen=True)
class AssetDescription:
    """What the bytes of an asset turned out to be."""

    asset_id: str
    name: str
    modality: str
    mime_type: str
    has_video: bool
    has_audio: bool
    duration_s: float | None
    width_px: int
    height_px: int
    streamable: bool


@dataclass(frozen=True)
class ModerationFinding:
    """What the server's moderation policy found in an asset: a category and, where it scores
    highest in it, the place."""

    category: str
    score: float
    locator: Locator
    blocked: bool
    """Whether the policy keeps the asset out of answers and of the index."""


@dataclass(frozen=True)
class StoredAsset:
    """A committed asset."""

    asset_id: str
    sha256: str
    size_bytes: int
    description: AssetDescription
    create_time_s: float
    """Seconds since 1970."""
    duplicate_of: str
    user_id: str
    tags: tuple[str, ...]
    indexed: bool
    """Whether all of it can be searched."""
    metadata: dict[str, str]
    moderation_findings: tuple[ModerationFinding, ...]

    @property
    def content_id(self) -> str:
        """The asset id under which the index knows these bytes."""
        return self.duplicate_of or self.asset_id


@dataclass(frozen=True)
class Caption:
    """A sentence about an asset and what it rests on."""

    text: str
    citations: "tuple[Citation, ...]"


@dataclass(frozen=True)
class Span:
    """A timed piece of work of a trace; times in seconds since 1970."""

    span_id: str
    parent_span_id: str
    name: str
    kind: str
    start_time_s: float
    end_time_s: float
    error: bool
    attributes: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Event:
    """What all events share."""

    type: ClassVar[str]
    turn_id: str = ""


@dataclass(frozen=True, kw_only=True)
class Ready(Event):
    """The stream is open."""

    type: ClassVar[str] = "ready"
    trace_id: str
    model: str
    language: str


@dataclass(frozen=True, kw_only=True)
class UploadOpened(Event):
    """Where the server wants the bytes from."""

    type: ClassVar[str] = "upload_opened"
    asset_id: str
    resume_offset: int


@dataclass(frozen=True, kw_only=True)
class ChunkAck(Event):
    """How far an asset has come."""

    type: ClassVar[str] = "chunk_ack"
    asset_id: str
    received_bytes: int
    durable_bytes: int


@dataclass(frozen=True, kw_only=True)
class AssetInfo(Event):
    """What the bytes turned out to be."""

    type: ClassVar[str] = "asset_info"
    description: AssetDescription


@dataclass(frozen=True, kw_only=True)
class Progress(Event):
    """What has been perceived so far of one asset."""

    type: ClassVar[str] = "progress"
    asset_id: str
    received_bytes: int
    segment_count: int
    encoded_segment_count: int
    complete: bool


@dataclass(frozen=True, kw_only=True)
class Transcript(Event):
    """Words heard."""

    type: ClassVar[str] = "transcript"
    asset_id: str
    span: TimeSpan
    text: str
    language: str
    words: tuple[Word, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PartialTranscript(Event):
    """A guess at words being said, until the next one or a transcript of the asset replaces it."""

    type: ClassVar[str] = "partial_transcript"
    asset_id: str
    span: TimeSpan
    text: str
    """Empty takes back what was guessed before."""
    language: str


@dataclass(frozen=True, kw_only=True)
class AssetStored(Event):
    """An asset is committed: its bytes are durable."""

    type: ClassVar[str] = "asset"
    asset: StoredAsset


@dataclass(frozen=True, kw_only=True)
class EvidenceWeights(Event):
    """What the answer is weighed from, in the order of the timeline."""

    type: ClassVar[str] = "evidence"
    evidence: tuple[Evidence, ...]
    modality_weights: tuple[tuple[str, float], ...]


@dataclass(frozen=True, kw_only=True)
class Token(Event):
    """Newly generated text."""

    type: ClassVar[str] = "token"
    text: str
    token_count: int


@dataclass(frozen=True, kw_only=True)
class Citation(Event):
    """Evidence for the answer, checked by the server before it was sent."""

    type: ClassVar[str] = "citation"
    evidence: Evidence
    basis: str
    """"marker" (the answer names it), "match" (its words match) or "weight" (it weighed most)."""
    asset_sha256: str
    answer_range: CharRange | None


@dataclass(frozen=True, kw_only=True)
class Moderation(Event):
    """Something reached a threshold of the server's moderation policy."""

    type: ClassVar[str] = "moderation"
    part: str
    """"question", "asset" or "answer"."""
    asset_id: str
    locator: Locator
    category: str
    """Such as "toxic" or "sexual"."""
    score: float
    action: str
    """"flag" (it is told, no more) or "block" (an error, or the end of the answer, follows)."""


@dataclass(frozen=True, kw_only=True)
class TurnComplete(Event):
    """A turn is over."""

    type: ClassVar[str] = "turn_complete"
    finish_reason: str
    """"stop", "length", "cancelled" or "content_filter"."""
    usage: Usage
    timings: Timings
    response_cached: bool = False
    """Whether the answer was given before and sent again."""


@dataclass(frozen=True, kw_only=True)
class AssetIndexed(Event):
    """A stored asset can be searched."""

    type: ClassVar[str] = "asset_indexed"
    asset_id: str
    document_count: int


@dataclass(frozen=True, kw_only=True)
class ItemFailed(Event):
    """One asset or segment failed; the stream goes on with the others."""

    type: ClassVar[str] = "item_error"
    item_id: str
    code: str
    reason: str
    message: str


@dataclass(frozen=True, kw_only=True)
class GoAway(Event):
    """The server shuts down: finish within the time."""

    type: ClassVar[str] = "go_away"
    grace_s: float


@dataclass(frozen=True, kw_only=True)
class Summary(Event):
    """The last event of a conversation that ended well."""

    type: ClassVar[str] = "summary"
    turn_count: int
    usage: Usage


@dataclass(frozen=True, kw_only=True)
class UploadSummary(Event):
    """The last event of an upload that ended well."""

    type: ClassVar[str] = "upload_summary"
    asset_count: int
    received_bytes: int


@dataclass(frozen=True, kw_only=True)
class AlreadyStored(Event):
    """The server has these bytes: they are named, not sent."""

    type: ClassVar[str] = "already_stored"
    name: str
    asset_id: str
    sha256: str
    size_bytes: int
