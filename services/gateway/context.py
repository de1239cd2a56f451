"""Fuse and generate as one: evidence in, and the model reads what is stable of it at once."""

from collections.abc import Iterable, Sequence
from typing import Any

from sensorium.fuse.v1 import fuse_pb2
from sensorium.generate.v1 import generate_pb2
from sensorium.media.v1 import evidence_pb2, media_pb2

from services.gateway.grounding import Statement
from services.gateway.timings import TurnClock
from services.runtime.calls import StageStream
from services.runtime.errors import InternalFailure

FuseRequest = fuse_pb2.StreamingFuseRequest
GenerateRequest = generate_pb2.StreamingGenerateRequest

RESET = GenerateRequest(context_reset=generate_pb2.ContextReset())
REPEATED_CHARACTERS_MAX = 240
"""Of a line that is read twice: about 80 tokens."""
# Told that the notes do not tell, the offline model still answers every third question ("The animal
# is a dog."); to these words it kept in 30 of 30.
NOTHING_TELLS = (
    "The notes are empty. Whatever the question is, answer with exactly this sentence: "
    "I cannot tell from what I was given."
)


class Context:
    """One fusion whose parts flow on into one generation.

    ``parts`` are those that the model has read for this turn, and ``lines`` all that it has;
    ``read_afresh`` tells that it no longer has those of earlier turns.
    """

    def __init__(
        self, fusion: StageStream[Any, Any], generation: StageStream[Any, Any], clock: TurnClock
    ) -> None:
        self._fusion = fusion
        self._generation = generation
        self._clock = clock
        self.parts: list[fuse_pb2.ContextPart] = []
        self.lines: list[str] = []
        self.read_afresh = False

    async def begin(self, ahead: Sequence[fuse_pb2.ContextPart]) -> None:
        """Begin with what the model has read before this turn, and fuse knows as read."""
        await self._append(ahead)

    async def asset_info(self, info: media_pb2.AssetInfo) -> None:
        """An asset begins."""
        await self._fusion.send(FuseRequest(asset_info=info))

    async def segment(self, segment: media_pb2.MediaSegment) -> None:
        """A segment begins."""
        pending = fuse_pb2.SegmentPending(
            segment_id=segment.segment_id,
            asset_id=segment.asset_id,
            kind=segment.kind,
            locator=segment.locator,
        )
        await self._fusion.send(FuseRequest(segment_pending=pending))

    async def vector(self, segment_id: str, embedding: media_pb2.Embedding) -> None:
        """The vector of a segment."""
        vector = fuse_pb2.SegmentVector(segment_id=segment_id, embedding=embedding)
        await self._fusion.send(FuseRequest(segment_vector=vector))

    async def observation(self, observation: media_pb2.Observation) -> None:
        """Something observed in a segment that is not over."""
        await self._fusion.send(FuseRequest(observation=observation))

    async def segment_encoded(self, segment_id: str) -> None:
        """A segment is over."""
        encoded = fuse_pb2.SegmentEncoded(segment_id=segment_id)
        await self._fusion.send(FuseRequest(segment_encoded=encoded))

    async def segments_complete(self, complete: Any) -> None:
        """An asset is cut to its end."""
        await self._fusion.send(FuseRequest(segments_complete=complete))

    async def recalled(self, evidence: Iterable[fuse_pb2.RecalledEvidence]) -> None:
        """Evidence from storage, from earlier turns, or late for its segment."""
        for piece in evidence:
            await self._fusion.send(FuseRequest(recalled=piece))

    async def finish(
        self,
        question: str,
        embedding: media_pb2.Embedding,
        focus: fuse_pb2.TemporalFocus | None = None,
    ) -> None:
        """All evidence is sent."""
        finish = fuse_pb2.FuseFinish(question=question, question_embedding=embedding, focus=focus)
        await self._fusion.send(FuseRequest(finish=finish))
        await self._fusion.done_sending()

    async def nothing_tells(self, fused: fuse_pb2.FusedContext) -> None:
        """The evidence is about something else: give the model that alone to read, for it
        would make up an answer of the rest."""
        await self._reset()
        await self._send([NOTHING_TELLS])
        for piece in fused.evidence:
            piece.in_context = False

    async def repeat(
        self, fused: fuse_pb2.FusedContext, earlier: Iterable[fuse_pb2.ContextPart]
    ) -> None:
        """Have the model read once more, right before the question, the line of earlier turns
        that tells most: a small model overlooks what is behind other questions and answers. What
        was seen is named in a word or two, which it does not need to read twice."""
        in_context = [piece for piece in fused.evidence if piece.in_context]
        if self.read_afresh or not in_context:
            return
        best = max(in_context, key=lambda piece: piece.weight)
        if best.evidence.origin == evidence_pb2.EVIDENCE_ORIGIN_LABEL:
            return
        for part in earlier:
            if part.citation_key == best.citation_key:
                if len(part.text) <= REPEATED_CHARACTERS_MAX:
                    await self._append([part])
                return

    async def relay(self) -> fuse_pb2.FusedContext:
        """Pass stable parts on to the model as they come; the fused context at the end."""
        fused: fuse_pb2.FusedContext | None = None
        relayed_count = 0
        async for event in self._fusion:
            self._clock.stage("fuse")
            kind = event.WhichOneof("event")
            if kind == "context_part":
                await self._append([event.context_part])
                relayed_count += 1
            elif kind == "fused_context":
                fused = event.fused_context
                if not fused.prefix_kept:
                    await self._reset()
                    relayed_count = 0
                await self._append(fused.parts[relayed_count:])
        if fused is None:
            raise InternalFailure("STAGE_ENDED", "fuse ended without a context.", subject="fuse")
        return fused

    async def _append(self, parts: Sequence[fuse_pb2.ContextPart]) -> None:
        if parts:
            await self._send([part.text for part in parts])
            self.parts += parts

    async def _send(self, lines: list[str]) -> None:
        append = generate_pb2.ContextAppend(lines=lines)
        await self._generation.send(GenerateRequest(context_append=append))
        self.lines += lines

    async def _reset(self) -> None:
        await self._generation.send(RESET)
        self.parts, self.lines = [], []
        self.read_afresh = True


def statements(fused: fuse_pb2.FusedContext) -> Iterable[Statement]:
    """The evidence as it is judged: what was observed, and in which file."""
    for piece in fused.evidence:
        evidence = piece.evidence
        is_shown = (
            evidence.modality == media_pb2.MODALITY_VIDEO
            and evidence.origin != evidence_pb2.EVIDENCE_ORIGIN_SPEECH
        )
        yield Statement(f"{evidence.text} {evidence.asset_name}", piece.similarity, is_shown)
