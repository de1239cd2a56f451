"""What the gateway does, whatever the transport: gRPC and HTTP are adapters of these calls."""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from sensorium.gateway.v1 import gateway_pb2
from sensorium.ingest.v1 import ingest_pb2

from services.gateway.admission import Admission
from services.gateway.checking import Checker
from services.gateway.conversation import Conversation
from services.gateway.conversations.calls import ConversationCalls
from services.gateway.conversations.remembering import Conversations
from services.gateway.embedding import embed
from services.gateway.events import ConverseEvent, TurnEvents
from services.gateway.fields import (
    ASK_FIELDS,
    CONVERSE_FIELDS,
    SEARCH_FIELDS,
    TRANSCRIBE_FIELDS,
    named,
)
from services.gateway.judging import judge_contents
from services.gateway.metering.report import UsageReport
from services.gateway.near_duplicates import find_near_duplicates
from services.gateway.outcome import TurnOutcome
from services.gateway.pipeline import Turn, TurnMessage, TurnOptions, Walk
from services.gateway.policy import Policy
from services.gateway.search import search
from services.gateway.search_stream import SearchEvent, SearchMessage, answer_searches
from services.gateway.traces import read_trace
from services.gateway.transcription import read_transcript, transcribe
from services.gateway.upload import Upload, UploadEvent, UploadMessage
from services.runtime.calls import CallScope, call_unary, read_stage
from services.runtime.errors import InvalidInput
from services.runtime.streams import Emit, duplex
from services.runtime.telemetry import RecentSpans

ASK_EVENTS = frozenset(field.name for field in gateway_pb2.AskResponse.DESCRIPTOR.fields)
CAPTION_QUESTIONS = {
    gateway_pb2.CAPTION_STYLE_SHORT: "Describe in one sentence what this is.",
    gateway_pb2.CAPTION_STYLE_DETAILED: (
        "Describe in detail, in several sentences, what is seen, what is heard and what is "
        "written, in order."
    ),
}


class GatewayCalls:
    """Every call of the contract, on behalf of a ``CallScope``.

    Each raises SensoriumError. The streaming ones are generators of the contract's
    events; closing one cancels its work.
    """

    def __init__(
        self,
        walk: Walk,
        admission: Admission,
        conversations: Conversations,
        checker: Checker,
        usage: UsageReport,
        recent: RecentSpans,
    ) -> None:
        self.conversations = ConversationCalls(walk.stages, conversations)
        self.usage = usage
        self._walk = walk
        self._admission = admission
        self._conversations = conversations
        self._checker = checker
        self._recent = recent

    # --- questions -------------------------------------------------------------------

    async def converse(
        self,
        scope: CallScope,
        config: gateway_pb2.ConverseConfig,
        messages: AsyncIterator[TurnMessage],
    ) -> AsyncGenerator[ConverseEvent, None]:
        """Turns over media and questions; ``messages`` are those after the config."""

        async def converse(emit: Emit[ConverseEvent]) -> None:
            conversation = Conversation(
                self._walk, self._admission, self._conversations, scope, config, emit
            )
            await conversation.run(messages)

        with named(CONVERSE_FIELDS):
            async with contextlib.aclosing(duplex(converse)) as events:
                async for event in events:
                    yield event

    async def ask(
        self, scope: CallScope, request: gateway_pb2.AskRequest
    ) -> AsyncGenerator[gateway_pb2.AskResponse, None]:
        """One question over text or stored assets."""

        async def ask(emit: Emit[gateway_pb2.AskResponse]) -> None:
            async def narrow(event: ConverseEvent) -> None:
                kind = event.WhichOneof("event")
                if kind in ASK_EVENTS:
                    await emit(gateway_pb2.AskResponse(**{kind: getattr(event, kind)}))

            outcome = await self._answer(scope, request, TurnEvents("ask", narrow))
            await emit(gateway_pb2.AskResponse(turn_complete=outcome.complete))

        with named(ASK_FIELDS):
            async with contextlib.aclosing(duplex(ask)) as events:
                async for event in events:
                    yield event

    async def caption(
        self, scope: CallScope, request: gateway_pb2.CaptionRequest
    ) -> gateway_pb2.CaptionResponse:
        """A description of a stored asset."""

        async def ignore(event: ConverseEvent) -> None:
            """A unary call has no events."""

        if not request.asset_id:
            raise InvalidInput("ASSET_ID_MISSING", "Name a stored asset.", subject="asset_id")
        style = request.style or gateway_pb2.CAPTION_STYLE_SHORT
        if style not in CAPTION_QUESTIONS:
            raise InvalidInput(
                "CAPTION_STYLE_UNKNOWN", "A caption is short or detailed.", subject="style"
            )
        question = CAPTION_QUESTIONS[style]
        asked = gateway_pb2.AskRequest(question=question, asset_ids=[request.asset_id])
        outcome = await self._answer(scope, asked, TurnEvents("caption", ignore))
        return gateway_pb2.CaptionResponse(text=outcome.answer.strip(), citations=outcome.citations)

    async def _answer(
        self, scope: CallScope, request: gateway_pb2.AskRequest, events: TurnEvents
    ) -> TurnOutcome:
        turn = Turn(self._walk, scope, TurnOptions(request.answer), events)
        question = gateway_pb2.TextChunk(text=request.question)
        turn.messages.put_nowait(TurnMessage(text=question))
        end = gateway_pb2.EndTurn(asset_ids=request.asset_ids)
        turn.messages.put_nowait(TurnMessage(end_turn=end))
        turn.clock.last_byte()
        with self._admission.permit(scope):
            memory = self._conversations.remembering(scope, request.conversation_id)
            async with memory.turn() as remembered:
                outcome = await turn.run(remembered.memory)
                await remembered.keep(outcome, ())
            return outcome

    async def transcribe(
        self, scope: CallScope, request: gateway_pb2.TranscribeRequest
    ) -> AsyncGenerator[gateway_pb2.TranscribeResponse, None]:
        """The words of a stored asset."""
        walk, policy = self._walk, self._policy(scope)
        heard = transcribe(walk.stages, walk.indexer, scope, request, policy)
        with named(TRANSCRIBE_FIELDS):
            async with contextlib.aclosing(heard) as responses:
                async for response in responses:
                    yield response

    async def get_transcript(
        self, scope: CallScope, request: gateway_pb2.GetTranscriptRequest
    ) -> AsyncGenerator[gateway_pb2.GetTranscriptResponse, None]:
        """The words of a stored asset as they were heard when it was indexed."""
        walk, policy = self._walk, self._policy(scope)
        lines = read_transcript(walk.stages, walk.indexer, scope, request.asset_id, policy)
        async with contextlib.aclosing(lines) as responses:
            async for response in responses:
                yield response

    # --- search ----------------------------------------------------------------------

    async def search(
        self, scope: CallScope, request: gateway_pb2.SearchRequest
    ) -> gateway_pb2.SearchResponse:
        """Moments, regions and passages."""
        with named(SEARCH_FIELDS):
            return await search(self._walk.stages, scope, request, self._policy(scope))

    async def streaming_search(
        self, scope: CallScope, messages: AsyncIterator[SearchMessage]
    ) -> AsyncGenerator[SearchEvent, None]:
        """Tagged searches; ``messages`` are those after the config."""

        async def answer(emit: Emit[SearchEvent]) -> None:
            policy = self._policy(scope)
            await answer_searches(self._walk.stages, scope, policy, messages, emit)

        async with contextlib.aclosing(duplex(answer)) as events:
            async for event in events:
                yield event

    async def find_near_duplicates(
        self, scope: CallScope, request: gateway_pb2.FindNearDuplicatesRequest
    ) -> gateway_pb2.FindNearDuplicatesResponse:
        """Stored pictures that look like another."""
        return await find_near_duplicates(self._walk.stages, scope, request, self._policy(scope))

    # --- what is looked at and not kept ----------------------------------------------

    async def embed(
        self, scope: CallScope, request: gateway_pb2.EmbedRequest
    ) -> gateway_pb2.EmbedResponse:
        """Vectors of words and pictures."""
        return await embed(self._walk.stages, scope, request)

    async def moderate(
        self, scope: CallScope, request: gateway_pb2.ModerateRequest
    ) -> gateway_pb2.ModerateResponse:
        """How far words and pictures are unwanted."""
        return await judge_contents(self._walk.stages, scope, request, self._policy(scope))

    # --- assets ----------------------------------------------------------------------

    async def upload(
        self,
        scope: CallScope,
        config: gateway_pb2.UploadConfig,
        messages: AsyncIterator[UploadMessage],
        *,
        words_awaited: bool = False,
    ) -> AsyncGenerator[UploadEvent, None]:
        """Media to store and index; ``messages`` are those after the config."""

        async def upload(emit: Emit[UploadEvent]) -> None:
            walk = self._walk
            await Upload(walk, scope, config, emit, words_awaited=words_awaited).run(messages)

        with named(CONVERSE_FIELDS):
            async with contextlib.aclosing(duplex(upload)) as events:
                async for event in events:
                    yield event

    async def find_assets(
        self, scope: CallScope, request: gateway_pb2.FindAssetsRequest
    ) -> gateway_pb2.FindAssetsResponse:
        """Assets by the hash of their bytes, or by id."""
        inner = ingest_pb2.FindAssetsRequest(sha256=request.sha256, asset_ids=request.asset_ids)
        found = await self._ingest("FindAssets", inner, scope)
        return gateway_pb2.FindAssetsResponse(assets=found.assets)

    async def get_asset(
        self, scope: CallScope, request: gateway_pb2.GetAssetRequest
    ) -> gateway_pb2.GetAssetResponse:
        """One asset, with its renditions."""
        inner = ingest_pb2.GetAssetRequest(asset_id=request.asset_id, with_renditions=True)
        found = await self._ingest("GetAsset", inner, scope)
        return gateway_pb2.GetAssetResponse(asset=found.asset)

    async def list_assets(
        self, scope: CallScope, request: gateway_pb2.ListAssetsRequest
    ) -> gateway_pb2.ListAssetsResponse:
        """A page of assets, newest first."""
        inner = ingest_pb2.ListAssetsRequest(
            page_size=request.page_size,
            page_token=request.page_token,
            after_asset_id=request.after_asset_id,
        )
        page = await self._ingest("ListAssets", inner, scope)
        return gateway_pb2.ListAssetsResponse(
            assets=page.assets, next_page_token=page.next_page_token
        )

    async def get_upload(
        self, scope: CallScope, request: gateway_pb2.GetUploadRequest
    ) -> gateway_pb2.GetUploadResponse:
        """Where an interrupted upload goes on."""
        inner = ingest_pb2.GetUploadRequest(asset_id=request.asset_id)
        state = await self._ingest("GetUpload", inner, scope)
        return gateway_pb2.GetUploadResponse(
            asset_id=state.asset_id,
            durable_offset=state.durable_offset,
            expire_time=state.expire_time,
            committed=state.committed,
        )

    async def download_asset(
        self, scope: CallScope, request: gateway_pb2.DownloadAssetRequest
    ) -> AsyncGenerator[gateway_pb2.DownloadAssetResponse, None]:
        """The bytes of an asset or of a rendition."""
        inner = ingest_pb2.ReadAssetRequest(
            asset_id=request.asset_id,
            offset=request.offset,
            length=request.length,
            rendition=request.rendition,
        )
        read = read_stage(self._walk.stages.ingest.ReadAsset, inner, scope)
        async with contextlib.aclosing(read) as events:
            async for event in events:
                kind = event.WhichOneof("event")
                yield gateway_pb2.DownloadAssetResponse(**{kind: getattr(event, kind)})

    async def get_asset_url(
        self, scope: CallScope, request: gateway_pb2.GetAssetUrlRequest
    ) -> gateway_pb2.GetAssetUrlResponse:
        """A URL of an asset or of a rendition."""
        inner = ingest_pb2.GetAssetUrlRequest(
            asset_id=request.asset_id,
            rendition=request.rendition,
            ttl=request.ttl if request.HasField("ttl") else None,
        )
        made = await self._ingest("GetAssetUrl", inner, scope)
        return gateway_pb2.GetAssetUrlResponse(
            url=made.url,
            expire_time=made.expire_time if made.HasField("expire_time") else None,
            content=made.content,
        )

    async def get_thumbnail(
        self, scope: CallScope, request: gateway_pb2.GetThumbnailRequest
    ) -> gateway_pb2.GetThumbnailResponse:
        """A small picture of an asset."""
        inner = ingest_pb2.GetThumbnailRequest(asset_id=request.asset_id)
        if request.HasField("offset"):
            inner.offset.CopyFrom(request.offset)
        made = await self._ingest("GetThumbnail", inner, scope)
        return gateway_pb2.GetThumbnailResponse(jpeg=made.jpeg)

    async def delete_asset(
        self, scope: CallScope, request: gateway_pb2.DeleteAssetRequest
    ) -> gateway_pb2.DeleteAssetResponse:
        """Take an asset out of everything."""
        await self._checker.deleter.delete(scope, request.asset_id)
        return gateway_pb2.DeleteAssetResponse()

    async def check(
        self, scope: CallScope, request: gateway_pb2.CheckRequest
    ) -> AsyncGenerator[gateway_pb2.CheckResponse, None]:
        """Whether media store and index agree."""
        async with contextlib.aclosing(self._checker.check(scope, request)) as responses:
            async for response in responses:
                yield response

    async def get_trace(
        self, scope: CallScope, request: gateway_pb2.GetTraceRequest
    ) -> gateway_pb2.GetTraceResponse:
        """The spans of a recent trace."""
        return read_trace(self._recent, request.trace_id, scope.tenant_id)

    def _policy(self, scope: CallScope) -> Policy:
        return self._walk.policies.of(scope.tenant_id)

    async def _ingest(self, method: str, request: Any, scope: CallScope) -> Any:
        stub = self._walk.stages.ingest
        return await call_unary(getattr(stub, method), request, scope)
