"""What a turn tells its client, in the client's vocabulary."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sensorium.encode.v1 import encode_pb2
from sensorium.fuse.v1 import fuse_pb2
from sensorium.gateway.v1 import gateway_pb2
from sensorium.generate.v1 import generate_pb2
from sensorium.ingest.v1 import ingest_pb2
from sensorium.media.v1 import media_pb2

from services.gateway.hearing import JudgedWords, TranscriptOrder
from services.gateway.ledger import AssetEntry, Ledger
from services.gateway.timings import TurnClock
from services.runtime.durations import to_duration

ConverseEvent = gateway_pb2.StreamingConverseResponse

PASSED_ON = ("upload_opened", "chunk_ack", "asset_info", "asset", "item_error")
"""Events of ingest that a client sees as they are."""

FINISH_REASONS = {
    generate_pb2.FINISH_REASON_STOP: gateway_pb2.TURN_FINISH_REASON_STOP,
    generate_pb2.FINISH_REASON_LENGTH: gateway_pb2.TURN_FINISH_REASON_LENGTH,
    generate_pb2.FINISH_REASON_CANCELLED: gateway_pb2.TURN_FINISH_REASON_CANCELLED,
}


def progress(entry: AssetEntry) -> gateway_pb2.Progress:
    """How far one asset has come."""
    return gateway_pb2.Progress(
        asset_id=entry.info.asset_id,
        received_bytes=entry.received_bytes,
        segment_count=len(entry.segments),
        encoded_segment_count=len(entry.encoded),
        complete=entry.complete,
    )


def partial_transcript(guess: encode_pb2.PartialTranscript) -> gateway_pb2.PartialTranscript:
    """Words that are just being said."""
    return gateway_pb2.PartialTranscript(
        asset_id=guess.asset_id, span=guess.span, transcript=guess.transcript
    )


def transcript(observation: media_pb2.Observation) -> gateway_pb2.TranscriptChunk:
    """Words heard."""
    return gateway_pb2.TranscriptChunk(
        asset_id=observation.asset_id,
        span=observation.locator.span,
        transcript=observation.transcript,
    )


class PerceptionEvents:
    """What a client sees of ingest and encode, in the order in which it should.

    ``hold_words`` until they are judged; those of an asset that is blocked are not shown.
    """

    def __init__(self, ledger: Ledger, *, hold_words: bool = False) -> None:
        self._ledger = ledger
        self._judged = JudgedWords(hold=hold_words)
        self._order = TranscriptOrder()

    def of(
        self, event: ingest_pb2.StreamingIngestResponse | encode_pb2.StreamingEncodeResponse
    ) -> list[dict[str, object]]:
        """What is to be shown now that the ledger has this event, as fields of the response."""
        kind = event.WhichOneof("event")
        if kind in PASSED_ON:
            return [{kind: getattr(event, kind)}]
        if kind in ("segment", "segments_complete"):
            entry = self._ledger.assets[getattr(event, kind).asset_id]
            return [{"progress": progress(entry)}]
        if not isinstance(event, encode_pb2.StreamingEncodeResponse):
            return []
        shown: list[dict[str, object]] = [
            {"transcript": transcript(observation)}
            for judged in self._judged.take(event)
            for observation in self._order.take(judged)
            if not self._ledger.of_segment(observation.segment_id).blocked
        ]
        if guess := self._order.take_guess(event):
            shown.append({"partial_transcript": partial_transcript(guess)})
        if kind == "segment_complete":
            entry = self._ledger.of_segment(event.segment_complete.segment_id)
            shown.append({"progress": progress(entry)})
        return shown


def timings(clock: TurnClock, segment_count: int) -> gateway_pb2.Timings:
    """The marks of a turn."""
    result = gateway_pb2.Timings(
        stages=[
            gateway_pb2.StageTiming(stage=name, start=to_duration(start), end=to_duration(end))
            for name, (start, end) in sorted(clock.stages.items(), key=lambda item: item[1])
        ]
    )
    if segment_count:
        result.overlap = clock.segments_before_last_byte / segment_count
    if clock.last_byte_s is not None:
        result.last_byte.CopyFrom(to_duration(clock.last_byte_s))
    if clock.first_token_s is not None and clock.last_token_s is not None:
        result.first_token.CopyFrom(to_duration(clock.first_token_s))
        result.last_token.CopyFrom(to_duration(clock.last_token_s))
        if clock.last_byte_s is not None:
            waited = to_duration(clock.first_token_s - clock.last_byte_s)
            result.time_to_first_token.CopyFrom(waited)
    return result


@dataclass(frozen=True, slots=True)
class TurnEvents:
    """Sends the events of one turn; ``emit`` waits while the client does not read."""

    turn_id: str
    emit: Callable[[ConverseEvent], Awaitable[None]]

    async def send(self, **event: object) -> None:
        """Send one event, given as its field of the response."""
        await self.emit(ConverseEvent(turn_id=self.turn_id, **event))  # type: ignore[arg-type]

    async def moderation(self, found: gateway_pb2.Moderation) -> None:
        """Something is unwanted."""
        await self.send(moderation=found)

    async def weights(self, fused: fuse_pb2.FusedContext) -> None:
        """What the answer is weighed from."""
        weights = gateway_pb2.EvidenceWeights(
            evidence=fused.evidence, modality_weights=fused.modality_weights
        )
        await self.send(evidence=weights)
