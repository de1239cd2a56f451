"""A citation is sent only if it resolves: a known asset, and a place within it."""

from collections.abc import Iterable, Mapping

from sensorium.gateway.v1 import gateway_pb2
from sensorium.media.v1 import evidence_pb2, media_pb2

from services.gateway.citations import Basis, Candidate, Cited, cite

BASES = {
    Basis.MARKER: gateway_pb2.CITATION_BASIS_MARKER,
    Basis.MATCH: gateway_pb2.CITATION_BASIS_MATCH,
    Basis.WEIGHT: gateway_pb2.CITATION_BASIS_WEIGHT,
}
PADDING_S = 0.5
"""Codecs pad the end of sound by a little."""


def lies_within(locator: media_pb2.Locator, info: media_pb2.AssetInfo) -> bool:
    """Whether a place can exist in an asset of this length and size."""
    if locator.HasField("span"):
        start = locator.span.start.ToTimedelta().total_seconds()
        end = locator.span.end.ToTimedelta().total_seconds()
        length = info.duration.ToTimedelta().total_seconds() if info.HasField("duration") else None
        if start < 0 or end < start or (length is not None and end > length + PADDING_S):
            return False
    if locator.HasField("region") and info.width_px:
        region = locator.region
        if region.left_px + region.width_px > info.width_px:
            return False
        if region.top_px + region.height_px > info.height_px:
            return False
    return True


def cite_verified(
    answer: str,
    evidence: Iterable[evidence_pb2.WeightedEvidence],
    assets: Mapping[str, media_pb2.Asset],
) -> list[gateway_pb2.Citation]:
    """The citations of an answer, from evidence of the committed ``assets`` (by id) only."""
    resolvable = {
        piece.citation_key: piece
        for piece in evidence
        if piece.evidence.asset_id in assets
        and lies_within(piece.evidence.locator, assets[piece.evidence.asset_id].info)
    }
    candidates = [
        Candidate(key, piece.evidence.asset_id, piece.evidence.text, piece.weight)
        for key, piece in resolvable.items()
        if piece.in_context
    ]
    return [_citation(cited, resolvable[cited.key], assets) for cited in cite(answer, candidates)]


def _citation(
    cited: Cited, piece: evidence_pb2.WeightedEvidence, assets: Mapping[str, media_pb2.Asset]
) -> gateway_pb2.Citation:
    citation = gateway_pb2.Citation(
        evidence=piece,
        basis=BASES[cited.basis],
        asset_sha256=assets[piece.evidence.asset_id].sha256,
    )
    if cited.answer_range:
        citation.answer_range.start, citation.answer_range.end = cited.answer_range
    return citation
