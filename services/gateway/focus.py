"""What a question asks of the order of time, as fuse takes it."""

from sensorium.fuse.v1 import fuse_pb2

from services.gateway.perception import embed_text
from services.gateway.stages import Stages
from services.gateway.temporal import Relation, Track, read_temporal
from services.runtime.calls import CallScope

_RELATIONS = {
    Relation.AT: fuse_pb2.TEMPORAL_RELATION_AT,
    Relation.DURING: fuse_pb2.TEMPORAL_RELATION_DURING,
    Relation.AFTER: fuse_pb2.TEMPORAL_RELATION_AFTER,
    Relation.BEFORE: fuse_pb2.TEMPORAL_RELATION_BEFORE,
    Relation.FIRST: fuse_pb2.TEMPORAL_RELATION_FIRST,
    Relation.LAST: fuse_pb2.TEMPORAL_RELATION_LAST,
}
_TRACKS = {
    Track.ANY: fuse_pb2.EVIDENCE_TRACK_UNSPECIFIED,
    Track.SEEN: fuse_pb2.EVIDENCE_TRACK_SEEN,
    Track.HEARD: fuse_pb2.EVIDENCE_TRACK_HEARD,
}


async def temporal_focus(
    stages: Stages, scope: CallScope, question: str
) -> fuse_pb2.TemporalFocus | None:
    """The focus of a question with the vector of its anchor; None for most questions."""
    asked = read_temporal(question)
    if asked is None:
        return None
    focus = fuse_pb2.TemporalFocus(
        relation=_RELATIONS[asked.relation],
        anchor_text=asked.anchor,
        anchor_track=_TRACKS[asked.anchor_track],
        target_track=_TRACKS[asked.target],
    )
    if asked.span_s:
        start_s, end_s = asked.span_s
        focus.anchor_span.start.FromNanoseconds(round(start_s * 1e9))
        focus.anchor_span.end.FromNanoseconds(round(end_s * 1e9))
    elif asked.anchor:
        focus.anchor_embedding.CopyFrom(await embed_text(stages, scope, asked.anchor))
    return focus
