"""GatewayService: the public contract over gRPC, an adapter of ``GatewayCalls``."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing

from sensorium.gateway.v1 import gateway_pb2, gateway_pb2_grpc, usage_pb2

from services.gateway.access.entrance import Arrival, Entrance
from services.gateway.calls import GatewayCalls
from services.gateway.events import ConverseEvent
from services.gateway.pipeline import TurnMessage
from services.gateway.search_stream import SearchEvent, SearchMessage
from services.gateway.upload import UploadEvent, UploadMessage
from services.runtime.calls import PRIORITY_KEY, CallScope, Context, metadata_value, user_id
from services.runtime.streams import open_stream


class GatewayServicer(gateway_pb2_grpc.GatewayServiceServicer):
    """The public door for gRPC: each call passes the entrance, and then is made."""

    def __init__(self, calls: GatewayCalls, entrance: Entrance) -> None:
        self._calls = calls
        self._entrance = entrance

    def _enter(self, context: Context, method: str) -> AbstractAsyncContextManager[CallScope]:
        return self._entrance.enter(
            Arrival(
                method=method,
                authorization=metadata_value(context, "authorization"),
                user_id=user_id(context),
                priority=metadata_value(context, PRIORITY_KEY),
                remaining_s=context.time_remaining,
            )
        )

    async def StreamingConverse(
        self, requests: AsyncIterator[TurnMessage], context: Context
    ) -> AsyncIterator[ConverseEvent]:
        """See the contract."""
        async with self._enter(context, "StreamingConverse") as scope:
            config, messages = await open_stream(requests)
            async with aclosing(self._calls.converse(scope, config, messages)) as events:
                async for event in events:
                    yield event

    async def StreamingUpload(
        self, requests: AsyncIterator[UploadMessage], context: Context
    ) -> AsyncIterator[UploadEvent]:
        """See the contract."""
        async with self._enter(context, "StreamingUpload") as scope:
            config, messages = await open_stream(requests)
            async with aclosing(self._calls.upload(scope, config, messages)) as events:
                async for event in events:
                    yield event

    async def Ask(
        self, request: gateway_pb2.AskRequest, context: Context
    ) -> AsyncIterator[gateway_pb2.AskResponse]:
        """See the contract."""
        async with (
            self._enter(context, "Ask") as scope,
            aclosing(self._calls.ask(scope, request)) as responses,
        ):
            async for response in responses:
                yield response

    async def Caption(
        self, request: gateway_pb2.CaptionRequest, context: Context
    ) -> gateway_pb2.CaptionResponse:
        """See the contract."""
        async with self._enter(context, "Caption") as scope:
            return await self._calls.caption(scope, request)

    async def Transcribe(
        self, request: gateway_pb2.TranscribeRequest, context: Context
    ) -> AsyncIterator[gateway_pb2.TranscribeResponse]:
        """See the contract."""
        async with (
            self._enter(context, "Transcribe") as scope,
            aclosing(self._calls.transcribe(scope, request)) as responses,
        ):
            async for response in responses:
                yield response

    async def Search(
        self, request: gateway_pb2.SearchRequest, context: Context
    ) -> gateway_pb2.SearchResponse:
        """See the contract."""
        async with self._enter(context, "Search") as scope:
            return await self._calls.search(scope, request)

    async def StreamingSearch(
        self, requests: AsyncIterator[SearchMessage], context: Context
    ) -> AsyncIterator[SearchEvent]:
        """See the contract."""
        async with self._enter(context, "StreamingSearch") as scope:
            _, messages = await open_stream(requests)
            async with aclosing(self._calls.streaming_search(scope, messages)) as events:
                async for event in events:
                    yield event

    async def FindNearDuplicates(
        self, request: gateway_pb2.FindNearDuplicatesRequest, context: Context
    ) -> gateway_pb2.FindNearDuplicatesResponse:
        """See the contract."""
        async with self._enter(context, "FindNearDuplicates") as scope:
            return await self._calls.find_near_duplicates(scope, request)

    async def Embed(
        self, request: gateway_pb2.EmbedRequest, context: Context
    ) -> gateway_pb2.EmbedResponse:
        """See the contract."""
        async with self._enter(context, "Embed") as scope:
            return await self._calls.embed(scope, request)

    async def Moderate(
        self, request: gateway_pb2.ModerateRequest, context: Context
    ) -> gateway_pb2.ModerateResponse:
        """See the contract."""
        async with self._enter(context, "Moderate") as scope:
            return await self._calls.moderate(scope, request)

    async def FindAssets(
        self, request: gateway_pb2.FindAssetsRequest, context: Context
    ) -> gateway_pb2.FindAssetsResponse:
        """See the contract."""
        async with self._enter(context, "FindAssets") as scope:
            return await self._calls.find_assets(scope, request)

    async def GetAsset(
        self, request: gateway_pb2.GetAssetRequest, context: Context
    ) -> gateway_pb2.GetAssetResponse:
        """See the contract."""
        async with self._enter(context, "GetAsset") as scope:
            return await self._calls.get_asset(scope, request)

    async def ListAssets(
        self, request: gateway_pb2.ListAssetsRequest, context: Context
    ) -> gateway_pb2.ListAssetsResponse:
        """See the contract."""
        async with self._enter(context, "ListAssets") as scope:
            return await self._calls.list_assets(scope, request)

    async def GetUpload(
        self, request: gateway_pb2.GetUploadRequest, context: Context
    ) -> gateway_pb2.GetUploadResponse:
        """See the contract."""
        async with self._enter(context, "GetUpload") as scope:
            return await self._calls.get_upload(scope, request)

    async def DownloadAsset(
        self, request: gateway_pb2.DownloadAssetRequest, context: Context
    ) -> AsyncIterator[gateway_pb2.DownloadAssetResponse]:
        """See the contract."""
        async with (
            self._enter(context, "DownloadAsset") as scope,
            aclosing(self._calls.download_asset(scope, request)) as responses,
        ):
            async for response in responses:
                yield response

    async def GetTranscript(
        self, request: gateway_pb2.GetTranscriptRequest, context: Context
    ) -> AsyncIterator[gateway_pb2.GetTranscriptResponse]:
        """See the contract."""
        async with (
            self._enter(context, "GetTranscript") as scope,
            aclosing(self._calls.get_transcript(scope, request)) as responses,
        ):
            async for response in responses:
                yield response

    async def GetAssetUrl(
        self, request: gateway_pb2.GetAssetUrlRequest, context: Context
    ) -> gateway_pb2.GetAssetUrlResponse:
        """See the contract."""
        async with self._enter(context, "GetAssetUrl") as scope:
            return await self._calls.get_asset_url(scope, request)

    async def GetThumbnail(
        self, request: gateway_pb2.GetThumbnailRequest, context: Context
    ) -> gateway_pb2.GetThumbnailResponse:
        """See the contract."""
        async with self._enter(context, "GetThumbnail") as scope:
            return await self._calls.get_thumbnail(scope, request)

    async def DeleteAsset(
        self, request: gateway_pb2.DeleteAssetRequest, context: Context
    ) -> gateway_pb2.DeleteAssetResponse:
        """See the contract."""
        async with self._enter(context, "DeleteAsset") as scope:
            return await self._calls.delete_asset(scope, request)

    async def Check(
        self, request: gateway_pb2.CheckRequest, context: Context
    ) -> AsyncIterator[gateway_pb2.CheckResponse]:
        """See the contract."""
        async with (
            self._enter(context, "Check") as scope,
            aclosing(self._calls.check(scope, request)) as responses,
        ):
            async for response in responses:
                yield response

    async def GetTrace(
        self, request: gateway_pb2.GetTraceRequest, context: Context
    ) -> gateway_pb2.GetTraceResponse:
        """See the contract."""
        async with self._enter(context, "GetTrace") as scope:
            return await self._calls.get_trace(scope, request)

    async def GetUsage(
        self, request: usage_pb2.GetUsageRequest, context: Context
    ) -> usage_pb2.GetUsageResponse:
        """See the contract."""
        async with self._enter(context, "GetUsage") as scope:
            return await self._calls.usage.get(scope, request)

    async def CreateConversation(
        self, request: gateway_pb2.CreateConversationRequest, context: Context
    ) -> gateway_pb2.CreateConversationResponse:
        """See the contract."""
        async with self._enter(context, "CreateConversation") as scope:
            return await self._calls.conversations.create(scope, request)

    async def ListConversations(
        self, request: gateway_pb2.ListConversationsRequest, context: Context
    ) -> gateway_pb2.ListConversationsResponse:
        """See the contract."""
        async with self._enter(context, "ListConversations") as scope:
            return await self._calls.conversations.list(scope, request)

    async def GetConversation(
        self, request: gateway_pb2.GetConversationRequest, context: Context
    ) -> gateway_pb2.GetConversationResponse:
        """See the contract."""
        async with self._enter(context, "GetConversation") as scope:
            return await self._calls.conversations.get(scope, request)

    async def UpdateConversation(
        self, request: gateway_pb2.UpdateConversationRequest, context: Context
    ) -> gateway_pb2.UpdateConversationResponse:
        """See the contract."""
        async with self._enter(context, "UpdateConversation") as scope:
            return await self._calls.conversations.update(scope, request)

    async def DeleteConversation(
        self, request: gateway_pb2.DeleteConversationRequest, context: Context
    ) -> gateway_pb2.DeleteConversationResponse:
        """See the contract."""
        async with self._enter(context, "DeleteConversation") as scope:
            return await self._calls.conversations.delete(scope, request)
