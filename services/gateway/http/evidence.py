"""What an answer rests on, as JSON: times in seconds, regions in pixels."""

from typing import Literal, cast

from sensorium.gateway.v1 import gateway_pb2
from sensorium.media.v1 import evidence_pb2, media_pb2

from services.gateway.http.schema import Schema
from services.runtime.durations import to_seconds

Modality = Literal["image", "audio", "video", "text"]
Origin = Literal["speech", "ocr", "label", "caption", "passage"]
Basis = Literal["marker", "match", "weight"]


class Span(Schema):
    """A stretch of time within an asset."""

    start_s: float
    end_s: float


class Region(Schema):
    """A rectangle in the pixels of the upright picture or frame."""

    left_px: int
    top_px: int
    width_px: int
    height_px: int


class Characters(Schema):
    """A range of characters; ``end`` is one past the last."""

    start: int
    end: int


class Evidence(Schema):
    """One thing that was observed in an asset, in words, and its part in the answer."""

    asset_id: str
    asset_name: str
    modality: Modality
    origin: Origin
    """speech: heard; ocr: read; label, caption: seen; passage: written in a text."""
    text: str
    key: str
    """How the answer cites it: ``[key]``."""
    weight: float
    """Attention over all evidence; the weights add up to 1."""
    similarity: float
    """Cosine of the evidence and the question."""
    confidence: float
    in_context: bool
    """Whether the language model read it."""
    span: Span | None
    """When, in video and sound."""
    region: Region | None
    """Where, in a picture or a frame."""
    characters: Characters | None
    """Where, in a text."""


class Citation(Schema):
    """Evidence for a sentence of the answer; it was checked before it was sent."""

    evidence: Evidence
    basis: Basis
    """marker: the answer names it; match: the answer's words match its words; weight: it weighed
    most among the evidence of its asset."""
    asset_sha256: str
    answer_range: Characters | None
    """The sentence that it supports."""


class ModalityWeight(Schema):
    """The gate of a modality: how much it counted. All together are 1."""

    modality: Modality
    weight: float


class Stage(Schema):
    """When one stage worked."""

    stage: str
    start_s: float
    end_s: float


class Timings(Schema):
    """Where the time went, in seconds from the turn's first message."""

    last_byte_s: float
    """The last byte of the request's media."""
    first_token_s: float
    last_token_s: float
    time_to_first_token_s: float
    """first_token_s less last_byte_s."""
    overlap: float
    """Share of the media that was perceived before the last byte came, 0 to 1."""
    stages: list[Stage]


def to_evidence(piece: evidence_pb2.WeightedEvidence) -> Evidence:
    """A piece of evidence."""
    found = piece.evidence
    return Evidence(
        asset_id=found.asset_id,
        asset_name=found.asset_name,
        modality=_modality(found.modality),
        origin=origin_of(found.origin),
        text=found.text,
        key=piece.citation_key,
        weight=piece.weight,
        similarity=piece.similarity,
        confidence=found.confidence,
        in_context=piece.in_context,
        span=span_of(found.locator),
        region=region_of(found.locator),
        characters=characters_of(found.locator),
    )


def to_citation(cited: gateway_pb2.Citation) -> Citation:
    """A citation."""
    return Citation(
        evidence=to_evidence(cited.evidence),
        basis=cast(Basis, _word(gateway_pb2.CitationBasis.Name(cited.basis))),
        asset_sha256=cited.asset_sha256,
        answer_range=_characters(cited.answer_range) if cited.HasField("answer_range") else None,
    )


def to_gates(weights: gateway_pb2.EvidenceWeights) -> list[ModalityWeight]:
    """The gates of a turn."""
    return [
        ModalityWeight(modality=_modality(each.modality), weight=each.weight)
        for each in weights.modality_weights
    ]


def to_timings(marks: gateway_pb2.Timings) -> Timings:
    """The marks of a turn."""
    return Timings(
        last_byte_s=to_seconds(marks.last_byte),
        first_token_s=to_seconds(marks.first_token),
        last_token_s=to_seconds(marks.last_token),
        time_to_first_token_s=to_seconds(marks.time_to_first_token),
        overlap=marks.overlap,
        stages=[
            Stage(stage=each.stage, start_s=to_seconds(each.start), end_s=to_seconds(each.end))
            for each in marks.stages
        ],
    )


def origin_of(origin: evidence_pb2.EvidenceOrigin.ValueType) -> Origin:
    """How something was observed."""
    return cast(Origin, _word(evidence_pb2.EvidenceOrigin.Name(origin)))


def span_of(locator: media_pb2.Locator) -> Span | None:
    """When, in video and sound."""
    if not locator.HasField("span"):
        return None
    return Span(start_s=to_seconds(locator.span.start), end_s=to_seconds(locator.span.end))


def region_of(locator: media_pb2.Locator) -> Region | None:
    """Where, in a picture or a frame."""
    if not locator.HasField("region"):
        return None
    region = locator.region
    return Region(
        left_px=region.left_px,
        top_px=region.top_px,
        width_px=region.width_px,
        height_px=region.height_px,
    )


def characters_of(locator: media_pb2.Locator) -> Characters | None:
    """Where, in a text."""
    return _characters(locator.chars) if locator.HasField("chars") else None


def _characters(found: media_pb2.CharRange) -> Characters:
    return Characters(start=found.start, end=found.end)


def _modality(modality: media_pb2.Modality.ValueType) -> Modality:
    return cast(Modality, _word(media_pb2.Modality.Name(modality)))


def _word(name: str) -> str:
    """The last word of an enum's name."""
    return name.rsplit("_", 1)[-1].lower()
