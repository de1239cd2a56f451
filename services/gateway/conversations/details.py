"""What of a turn is kept besides its words, so that it can be shown again as it was."""

from collections.abc import Sequence

from sensorium.gateway.v1 import gateway_pb2
from sensorium.media.v1 import evidence_pb2

from services.gateway.conversations.records import OfAsset, TurnRecord
from services.gateway.outcome import TurnOutcome

EVIDENCE_COUNT_MAX = 64
EVIDENCE_BYTES_MAX = 32 << 10


def kept_citations(citations: Sequence[gateway_pb2.Citation]) -> tuple[OfAsset, ...]:
    """Citations, each to go with its asset."""
    return tuple(
        OfAsset(each.evidence.evidence.asset_id, each.SerializeToString()) for each in citations
    )


def kept_evidence(evidence: Sequence[evidence_pb2.WeightedEvidence]) -> tuple[OfAsset, ...]:
    """The evidence that is kept, each piece to go with its asset; in the order that it has. Where
    it is too much, what the model read goes first, then what weighs most."""
    first = sorted(
        range(len(evidence)),
        key=lambda index: (not evidence[index].in_context, -evidence[index].weight, index),
    )
    kept: dict[int, OfAsset] = {}
    size_bytes = 0
    for index in first[:EVIDENCE_COUNT_MAX]:
        piece = evidence[index]
        kept[index] = OfAsset(piece.evidence.asset_id, piece.SerializeToString())
        size_bytes += len(kept[index].data)
        if size_bytes > EVIDENCE_BYTES_MAX:
            del kept[index]
            break
    return tuple(kept[index] for index in sorted(kept))


def kept_details(outcome: TurnOutcome, trace_id: str) -> bytes:
    """What the answer took and where it is traced, for ``TurnRecord.details``."""
    complete = outcome.complete
    weights = gateway_pb2.EvidenceWeights(modality_weights=outcome.modality_weights)
    return gateway_pb2.ConversationTurn(
        weights=weights,
        usage=complete.usage,
        timings=complete.timings,
        response_cached=complete.response_cached,
        trace_id=trace_id,
        span_id=complete.span_id,
    ).SerializeToString()


def restored_details(record: TurnRecord, stored: frozenset[str]) -> gateway_pb2.ConversationTurn:
    """A turn with what was kept of it here, but what is of assets that are not ``stored``."""
    turn = gateway_pb2.ConversationTurn.FromString(record.details)
    turn.citations.extend(
        gateway_pb2.Citation.FromString(each.data)
        for each in record.citations
        if each.asset_id in stored
    )
    turn.weights.evidence.extend(
        evidence_pb2.WeightedEvidence.FromString(each.data)
        for each in record.evidence
        if each.asset_id in stored
    )
    if not turn.weights.evidence:
        # The gates alone would tell what kind of media there was.
        turn.ClearField("weights")
    return turn
