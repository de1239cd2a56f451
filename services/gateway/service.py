"""GatewayService: the public contract on top of the walk."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from sensorium.gateway.v1 import gateway_pb2, gateway_pb2_grpc
from sensorium.ingest.v1 import ingest_pb2

from services.gateway.admission import Admission
from services.gateway.checking import Checker
from services.gateway.conversation import Conversation
from services.gateway.events import ConverseEvent, TurnEvents
from services.gateway.fields import (
    ASK_FIELDS,
    CONVERSE_FIELDS,
    SEARCH_FIELDS,
    TRANSCRIBE_FIELDS,
    named,
)
from services.gateway.near_duplicates import find_near_duplicates
from services.gateway.pipeline import Turn, TurnMessage, TurnOptions, TurnOutcome, Walk
from services.gateway.search import search
from services.gateway.search_stream import SearchEvent, SearchMessage, answer_searches
from services.gateway.traces import read_trace
from services.gateway.transcription import transcribe
from services.gateway.upload import Upload, UploadEvent, UploadMessage
from services.runtime.calls import CallScope, Context, call_unary, read_stage, user_id
from services.runtime.errors import InvalidInput
from services.runtime.streams import Emit, duplex, open_stream
from services.runtime.telemetry import RecentSpans

ASK_EVENTS = frozenset(field.name for field in gateway_pb2.AskResponse.DESCRIPTOR.fields)
CAPTION_QUESTIONS = {
    gateway_pb2.CAPTION_STYLE_SHORT: "Describe in one sentence what this is.",
    gateway_pb2.CAPTION_STYLE_DETAILED: (
        "Describe in detail, in several sentences, what is seen, what is heard and what is "
        "written, in order."
    ),
}


class GatewayServicer(gateway_pb2_grpc.GatewayServiceServicer):
    """The one public door. Until there are credentials everybody is the default tenant,
    and users are who they say they are (metadata ``sensorium-user``)."""

    def __init__(
        self, walk: Walk, admission: Admission, checker: Checker, recent: RecentSpans
    ) -> None:
        self._walk = walk
        self._admission = admission
        self._checker = checker
        self._recent = recent

    def _scope(self, context: Context) -> CallScope:
        return CallScope(user_id=user_id(context), remaining_s=context.time_remaining)

    async def StreamingConverse(
        self, requests: AsyncIterator[TurnMessage], context: Context
    ) -> AsyncIterator[ConverseEvent]:
        """See the contract."""
        config, messages = await open_stream(requests)

        async def converse(emit: Emit[ConverseEvent]) -> None:
            scope = self._scope(context)
            await Conversation(self._walk, self._admission, scope, config, emit).run(messages)

        with named(CONVERSE_FIELDS):
            async with contextlib.aclosing(duplex(converse)) as events:
                async for event in events:
                    yield event

    async def StreamingUpload(
        self, requests: AsyncIterator[UploadMessage], context: Context
    ) -> AsyncIterator[UploadEvent]:
        """See the contract."""
        config, messages = await open_stream(requests)

        async def upload(emit: Emit[UploadEvent]) -> None:
            await Upload(self._walk, self._scope(context), config, emit).run(messages)

        with named(CONVERSE_FIELDS):
            async with contextlib.aclosing(duplex(upload)) as events:
                async for event in events:
                    yield event

    async def Ask(
        self, request: gateway_pb2.AskRequest, context: Context
    ) -> AsyncIterator[gateway_pb2.AskResponse]:
        """See the contract."""

        async def ask(emit: Emit[gateway_pb2.AskResponse]) -> None:
            async def narrow(event: ConverseEvent) -> None:
                kind = event.WhichOneof("event")
                if kind in ASK_EVENTS:
                    await emit(gateway_pb2.AskResponse(**{kind: getattr(event, kind)}))

            outcome = await self._answer(request, TurnEvents("ask", narrow), context)
            await emit(gateway_pb2.AskResponse(turn_complete=outcome.complete))

        with named(ASK_FIELDS):
            async with contextlib.aclosing(duplex(ask)) as events:
                async for event in events:
                    yield event

    async def _answer(
        self, request: gateway_pb2.AskRequest, events: TurnEvents, context: Context
    ) -> TurnOutcome:
        turn = Turn(self._walk, self._scope(context), TurnOptions(request.answer), events)
        question = gateway_pb2.TextChunk(text=request.question)
        turn.messages.put_nowait(TurnMessage(text=question))
        end = gateway_pb2.EndTurn(asset_ids=request.asset_ids)
        turn.messages.put_nowait(TurnMessage(end_turn=end))
        turn.clock.last_byte()
        with self._admission.permit():
            return await turn.run()

    async def Caption(
        self, request: gateway_pb2.CaptionRequest, context: Context
    ) -> gateway_pb2.CaptionResponse:
        """See the contract."""

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
        outcome = await self._answer(asked, TurnEvents("caption", ignore), context)
        return gateway_pb2.CaptionResponse(text=outcome.answer.strip(), citations=outcome.citations)

    async def Transcribe(
        self, request: gateway_pb2.TranscribeRequest, context: Context
    ) -> AsyncIterator[gateway_pb2.TranscribeResponse]:
        """See the contract."""
        scope = self._scope(context)
        policy = self._walk.policies.of(scope.tenant_id)
        heard = transcribe(self._walk.stages, scope, request, policy)
        with named(TRANSCRIBE_FIELDS):
            async with contextlib.aclosing(heard) as responses:
                async for response in responses:
                    yield response

    async def Search(
        self, request: gateway_pb2.SearchRequest, context: Context
    ) -> gateway_pb2.SearchResponse:
        """See the contract."""
        scope = self._scope(context)
        policy = self._walk.policies.of(scope.tenant_id)
        with named(SEARCH_FIELDS):
            return await search(self._walk.stages, scope, request, policy)

    async def StreamingSearch(
        self, requests: AsyncIterator[SearchMessage], context: Context
    ) -> AsyncIterator[SearchEvent]:
        """See the contract."""
        _, messages = await open_stream(requests)
        scope = self._scope(context)
        policy = self._walk.policies.of(scope.tenant_id)

        async def answer(emit: Emit[SearchEvent]) -> None:
            await answer_searches(self._walk.stages, scope, policy, messages, emit)

        async with contextlib.aclosing(duplex(answer)) as events:
            async for event in events:
                yield event

    async def FindNearDuplicates(
        self, request: gateway_pb2.FindNearDuplicatesRequest, context: Context
    ) -> gateway_pb2.FindNearDuplicatesResponse:
        """See the contract."""
        return await find_near_duplicates(self._walk.stages, self._scope(context), request)

    async def FindAssets(
        self, request: gateway_pb2.FindAssetsRequest, context: Context
    ) -> gateway_pb2.FindAssetsResponse:
        """See the contract."""
        inner = ingest_pb2.FindAssetsRequest(sha256=request.sha256, asset_ids=request.asset_ids)
        found = await self._ingest("FindAssets", inner, context)
        return gateway_pb2.FindAssetsResponse(assets=found.assets)

    async def GetAsset(
        self, request: gateway_pb2.GetAssetRequest, context: Context
    ) -> gateway_pb2.GetAssetResponse:
        """See the contract."""
        inner = ingest_pb2.GetAssetRequest(asset_id=request.asset_id, with_renditions=True)
        found = await self._ingest("GetAsset", inner, context)
        return gateway_pb2.GetAssetResponse(asset=found.asset)

    async def ListAssets(
        self, request: gateway_pb2.ListAssetsRequest, context: Context
    ) -> gateway_pb2.ListAssetsResponse:
        """See the contract."""
        inner = ingest_pb2.ListAssetsRequest(
            page_size=request.page_size, page_token=request.page_token
        )
        page = await self._ingest("ListAssets", inner, context)
        return gateway_pb2.ListAssetsResponse(
            assets=page.assets, next_page_token=page.next_page_token
        )

    async def GetUpload(
        self, request: gateway_pb2.GetUploadRequest, context: Context
    ) -> gateway_pb2.GetUploadResponse:
        """See the contract."""
        inner = ingest_pb2.GetUploadRequest(asset_id=request.asset_id)
        state = await self._ingest("GetUpload", inner, context)
        return gateway_pb2.GetUploadResponse(
            asset_id=state.asset_id,
            durable_offset=state.durable_offset,
            expire_time=state.expire_time,
            committed=state.committed,
        )

    async def DownloadAsset(
        self, request: gateway_pb2.DownloadAssetRequest, context: Context
    ) -> AsyncIterator[gateway_pb2.DownloadAssetResponse]:
        """See the contract."""
        inner = ingest_pb2.ReadAssetRequest(
            asset_id=request.asset_id,
            offset=request.offset,
            length=request.length,
            rendition=request.rendition,
        )
        read = read_stage(self._walk.stages.ingest.ReadAsset, inner, self._scope(context))
        async with contextlib.aclosing(read) as events:
            async for event in events:
                kind = event.WhichOneof("event")
                yield gateway_pb2.DownloadAssetResponse(**{kind: getattr(event, kind)})

    async def GetAssetUrl(
        self, request: gateway_pb2.GetAssetUrlRequest, context: Context
    ) -> gateway_pb2.GetAssetUrlResponse:
        """See the contract."""
        inner = ingest_pb2.GetAssetUrlRequest(
            asset_id=request.asset_id,
            rendition=request.rendition,
            ttl=request.ttl if request.HasField("ttl") else None,
        )
        made = await self._ingest("GetAssetUrl", inner, context)
        return gateway_pb2.GetAssetUrlResponse(
            url=made.url,
            expire_time=made.expire_time if made.HasField("expire_time") else None,
            content=made.content,
        )

    async def GetThumbnail(
        self, request: gateway_pb2.GetThumbnailRequest, context: Context
    ) -> gateway_pb2.GetThumbnailResponse:
        """See the contract."""
        inner = ingest_pb2.GetThumbnailRequest(asset_id=request.asset_id)
        if request.HasField("offset"):
            inner.offset.CopyFrom(request.offset)
        made = await self._ingest("GetThumbnail", inner, context)
        return gateway_pb2.GetThumbnailResponse(jpeg=made.jpeg)

    async def DeleteAsset(
        self, request: gateway_pb2.DeleteAssetRequest, context: Context
    ) -> gateway_pb2.DeleteAssetResponse:
        """See the contract."""
        await self._checker.deleter.delete(self._scope(context), request.asset_id)
        return gateway_pb2.DeleteAssetResponse()

    async def Check(
        self, request: gateway_pb2.CheckRequest, context: Context
    ) -> AsyncIterator[gateway_pb2.CheckResponse]:
        """See the contract."""
        async with contextlib.aclosing(
            self._checker.check(self._scope(context), request)
        ) as responses:
            async for response in responses:
                yield response

    async def GetTrace(
        self, request: gateway_pb2.GetTraceRequest, context: Context
    ) -> gateway_pb2.GetTraceResponse:
        """See the contract."""
        return read_trace(self._recent, request.trace_id)

    async def _ingest(self, method: str, request: Any, context: Context) -> Any:
        stub = self._walk.stages.ingest
        return await call_unary(getattr(stub, method), request, self._scope(context))
