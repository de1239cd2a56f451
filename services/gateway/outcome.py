"""What a turn leaves behind."""

from collections.abc import Sequence
from dataclasses import dataclass

from sensorium.fuse.v1 import fuse_pb2
from sensorium.gateway.v1 import gateway_pb2
from sensorium.media.v1 import evidence_pb2


@dataclass(frozen=True, slots=True)
class TurnOutcome:
    """A turn that was answered."""

    question: str
    answer: str
    citations: Sequence[gateway_pb2.Citation]
    complete: gateway_pb2.TurnComplete
    evidence: Sequence[evidence_pb2.WeightedEvidence] = ()
    """All that it was weighed from, in the order of the timeline."""
    modality_weights: Sequence[evidence_pb2.ModalityWeight] = ()
    named_ids: Sequence[str] = ()
    """Stored assets that were named in it."""
    parts: Sequence[fuse_pb2.ContextPart] = ()
    """The lines of context that the model read with the question."""
    read_afresh: bool = False
    """Whether it no longer has the lines that it read with earlier ones."""
