"""The words of a stored asset without an answer: heard now, or when it was indexed."""

from collections.abc import AsyncGenerator, AsyncIterator

from sensorium.encode.v1 import encode_pb2
from sensorium.gateway.v1 import gateway_pb2
from sensorium.media.v1 import evidence_pb2, media_pb2

from services.gateway.catalogue import canonical_id, get_asset, list_documents
from services.gateway.hearing import JudgedWords, TranscriptOrder
from services.gateway.indexing import Indexer
from services.gateway.ledger import Ledger
from services.gateway.metering.tally import MediaTally
from services.gateway.moderation import Moderation, tell_nobody
from services.gateway.perception import encode_config, encode_segments, segment_stored
from services.gateway.policy import Policy
from services.gateway.stages import Stages
from services.runtime.calls import CallScope
from services.runtime.errors import InvalidInput
from services.runtime.status import from_item_error


async def transcribe(
    stages: Stages,
    indexer: Indexer,
    scope: CallScope,
    request: gateway_pb2.TranscribeRequest,
    policy: Policy,
) -> AsyncGenerator[gateway_pb2.TranscribeResponse, None]:
    """The speech of a stored asset in order of time, and what is flagged in it. One that is being
    indexed is waited for. Raises SensoriumError where it cannot be judged, NotFound, InvalidInput
    CONTENT_BLOCKED before the first words that the policy blocks."""
    flagged: list[gateway_pb2.Moderation] = []

    async def keep(found: gateway_pb2.Moderation) -> None:
        flagged.append(found)

    moderation = Moderation(stages, scope, policy, keep)
    ledger, tally = Ledger(), MediaTally(scope.account)
    asset = await indexer.judged(await get_asset(stages, scope, request.asset_id), scope)
    moderation.admit(asset)
    if not asset.info.has_audio:
        raise InvalidInput("NO_SOUND", "The asset has no sound.", subject="asset_id")

    async def windows() -> AsyncIterator[media_pb2.MediaSegment]:
        async for event in segment_stored(stages, scope, canonical_id(asset)):
            ledger.note_ingest(event)
            tally.note(event)
            if (
                event.WhichOneof("event") == "segment"
                and event.segment.kind == media_pb2.SEGMENT_KIND_AUDIO_WINDOW
            ):
                yield event.segment

    config = encode_config(
        (encode_pb2.ENCODE_TASK_TRANSCRIBE,),
        request.language,
        word_times=request.word_times,
        moderated=moderation.categories,
    )
    judged, order = JudgedWords(hold=moderation.holds_words), TranscriptOrder()
    async for event in encode_segments(stages, scope, config, windows()):
        if event.WhichOneof("event") == "item_error":
            raise from_item_error(event.item_error)
        await moderation.media(ledger.of_segment, event)
        for found in flagged:
            yield gateway_pb2.TranscribeResponse(moderation=found)
        flagged.clear()
        for observation in (o for each in judged.take(event) for o in order.take(each)):
            yield gateway_pb2.TranscribeResponse(
                span=observation.locator.span, transcript=observation.transcript
            )


async def read_transcript(
    stages: Stages, indexer: Indexer, scope: CallScope, asset_id: str, policy: Policy
) -> AsyncGenerator[gateway_pb2.GetTranscriptResponse, None]:
    """What the index holds of the speech of an asset, in order of time. One that is being indexed
    is waited for. Raises NotFound, InvalidInput CONTENT_BLOCKED."""
    asset = await indexer.judged(await get_asset(stages, scope, asset_id), scope)
    Moderation(stages, scope, policy, tell_nobody).admit(asset)
    for document in await list_documents(stages, scope, canonical_id(asset)):
        said = document.evidence
        if said.origin == evidence_pb2.EVIDENCE_ORIGIN_SPEECH:
            yield gateway_pb2.GetTranscriptResponse(span=said.locator.span, text=said.text)
