"""IngestService: protobuf in, protobuf out."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import grpc
from sensorium.ingest.v1 import ingest_pb2, ingest_pb2_grpc
from sensorium.media.v1 import media_pb2, upload_pb2

from services.ingest import convert
from services.ingest.engine import IngestEngine
from services.ingest.events import Event, StreamScope
from services.ingest.model import MediaInfo, Rendition, Segment
from services.ingest.options import CutOptions
from services.ingest.reading import find_content, read_content
from services.ingest.records import AssetRecord
from services.ingest.session import IngestSession
from services.runtime.calls import tenant_id, user_id
from services.runtime.durations import to_seconds
from services.runtime.errors import InvalidInput
from services.runtime.streams import duplex, open_stream

LOOKUP_COUNT_MAX = 1000
PAGE_SIZE_DEFAULT = 100
PAGE_SIZE_MAX = 1000
SPACE_CHARACTERS_MAX = 64

Request = ingest_pb2.StreamingIngestRequest
Response = ingest_pb2.StreamingIngestResponse
ReadResponse = ingest_pb2.ReadAssetResponse
SegmentResponse = ingest_pb2.SegmentAssetResponse


class IngestService(ingest_pb2_grpc.IngestServiceServicer):
    """See ingest.proto. The tenant comes from the call's metadata."""

    def __init__(self, engine: IngestEngine) -> None:
        self._engine = engine

    async def StreamingIngest(
        self,
        request_iterator: AsyncIterator[Request],
        context: grpc.aio.ServicerContext[Request, Response],
    ) -> AsyncIterator[Response]:
        """Upload, cut and commit assets."""
        config, messages = await open_stream(request_iterator)
        if config.store_only and config.ephemeral:
            raise InvalidInput(
                "CONFIG_CONFLICT", "store_only and ephemeral exclude each other.", subject="config"
            )
        options = dataclasses.replace(
            self._cut_options(config.frame_sampling, "config.frame_sampling"),
            long_audio_windows=config.long_audio_windows,
            audio_previews=config.audio_previews,
        )
        scope = StreamScope(
            tenant=tenant_id(context),
            user_id=config.user_id or user_id(context),
            cut_options=options,
            store_only=config.store_only,
            ephemeral=config.ephemeral,
        )
        effective = ingest_pb2.IngestConfig(
            store_only=config.store_only,
            ephemeral=config.ephemeral,
            frame_sampling=convert.write_sampling(options.frame_sampling),
            user_id=scope.user_id,
            audio_previews=options.audio_previews,
            long_audio_windows=options.long_audio_windows,
        )
        yield Response(ready=ingest_pb2.StreamReady(effective_config=effective))

        async def body(emit: Callable[[Response], Awaitable[None]]) -> None:
            async def tell(event: Event) -> None:
                await emit(convert.write_event(event))

            async with asyncio.TaskGroup() as group:
                session = IngestSession(self._engine, scope, group, tell)
                async for message in messages:
                    await _apply(session, message)
                await session.end()
            summary = ingest_pb2.IngestSummary(
                asset_count=session.asset_count,
                segment_count=session.segment_count,
                received_bytes=session.received_bytes,
            )
            await emit(Response(summary=summary))

        async with contextlib.aclosing(duplex(body)) as events:
            async for event in events:
                yield event

    async def SegmentAsset(
        self,
        request: ingest_pb2.SegmentAssetRequest,
        context: grpc.aio.ServicerContext[ingest_pb2.SegmentAssetRequest, SegmentResponse],
    ) -> AsyncIterator[SegmentResponse]:
        """Cut a committed asset again."""
        options = dataclasses.replace(
            self._cut_options(request.frame_sampling, "frame_sampling"),
            long_audio_windows=request.long_audio_windows,
        )
        segment_count = 0
        items = self._engine.recut(tenant_id(context), request.asset_id, options)
        async with contextlib.aclosing(items):
            async for record, item in items:
                if isinstance(item, MediaInfo):
                    info = convert.write_info(record.asset_id, record.name, item)
                    yield SegmentResponse(asset_info=info)
                elif isinstance(item, Segment):
                    segment_count += 1
                    yield SegmentResponse(segment=convert.write_segment(record.asset_id, item))
        complete = upload_pb2.SegmentsComplete(
            asset_id=request.asset_id, segment_count=segment_count
        )
        yield SegmentResponse(segments_complete=complete)

    async def ReadAsset(
        self,
        request: ingest_pb2.ReadAssetRequest,
        context: grpc.aio.ServicerContext[ingest_pb2.ReadAssetRequest, ReadResponse],
    ) -> AsyncIterator[ReadResponse]:
        """Send stored bytes."""
        engine = self._engine
        content = await find_content(
            engine, tenant_id(context), request.asset_id, request.rendition
        )
        end = content.end_of(request.offset, request.length)
        yield ReadResponse(content=convert.write_content(content))
        reading = read_content(engine, content, request.offset, end)
        async with contextlib.aclosing(reading) as pieces:
            async for piece in pieces:
                chunk = upload_pb2.MediaChunk(
                    asset_id=request.asset_id, offset=piece.offset, data=piece.data
                )
                yield ReadResponse(chunk=chunk)

    async def GetUpload(
        self,
        request: ingest_pb2.GetUploadRequest,
        context: grpc.aio.ServicerContext[
            ingest_pb2.GetUploadRequest, ingest_pb2.GetUploadResponse
        ],
    ) -> ingest_pb2.GetUploadResponse:
        """How far an upload got."""
        state = await self._engine.upload_state(tenant_id(context), request.asset_id)
        response = ingest_pb2.GetUploadResponse(
            asset_id=request.asset_id,
            durable_offset=state.durable_bytes,
            committed=state.expire_time_s is None,
        )
        if state.expire_time_s is not None:
            response.expire_time.CopyFrom(convert.write_timestamp(round(state.expire_time_s * 1e6)))
        return response

    async def GetAsset(
        self,
        request: ingest_pb2.GetAssetRequest,
        context: grpc.aio.ServicerContext[ingest_pb2.GetAssetRequest, ingest_pb2.GetAssetResponse],
    ) -> ingest_pb2.GetAssetResponse:
        """One asset's record."""
        engine, tenant = self._engine, tenant_id(context)
        record = await engine.on_disk(engine.store.get, tenant, request.asset_id)
        renditions: Sequence[Rendition] = ()
        if request.with_renditions:
            known = await engine.on_disk(engine.renditions.of, tenant, record.sha256)
            renditions = known.items
        return ingest_pb2.GetAssetResponse(asset=convert.write_asset(record, renditions))

    async def GetAssetUrl(
        self,
        request: ingest_pb2.GetAssetUrlRequest,
        context: grpc.aio.ServicerContext[
            ingest_pb2.GetAssetUrlRequest, ingest_pb2.GetAssetUrlResponse
        ],
    ) -> ingest_pb2.GetAssetUrlResponse:
        """Where stored bytes can be fetched from."""
        engine = self._engine
        content = await find_content(
            engine, tenant_id(context), request.asset_id, request.rendition
        )
        ttl_s = to_seconds(request.ttl) if request.HasField("ttl") else None
        link = await engine.on_disk(engine.links.link, content, ttl_s)
        response = ingest_pb2.GetAssetUrlResponse(
            url=link.url, content=convert.write_content(content)
        )
        if link.expire_time_s is not None:
            response.expire_time.CopyFrom(convert.write_timestamp(round(link.expire_time_s * 1e6)))
        return response

    async def FindAssets(
        self,
        request: ingest_pb2.FindAssetsRequest,
        context: grpc.aio.ServicerContext[
            ingest_pb2.FindAssetsRequest, ingest_pb2.FindAssetsResponse
        ],
    ) -> ingest_pb2.FindAssetsResponse:
        """Assets by the hash of their bytes and by their ids."""
        if len(request.sha256) > LOOKUP_COUNT_MAX:
            raise InvalidInput(
                "TOO_MANY_HASHES", f"Ask for at most {LOOKUP_COUNT_MAX} at once.", subject="sha256"
            )
        if len(request.asset_ids) > LOOKUP_COUNT_MAX:
            raise InvalidInput(
                "TOO_MANY_ASSETS",
                f"Ask for at most {LOOKUP_COUNT_MAX} at once.",
                subject="asset_ids",
            )
        store, tenant = self._engine.store, tenant_id(context)

        def find() -> list[AssetRecord]:
            by_id = (store.find(tenant, asset_id) for asset_id in request.asset_ids)
            return [
                *store.find_by_sha256(tenant, request.sha256),
                *(record for record in by_id if record is not None),
            ]

        records = await self._engine.on_disk(find)
        return ingest_pb2.FindAssetsResponse(assets=map(convert.write_asset, records))

    async def MarkIndexed(
        self,
        request: ingest_pb2.MarkIndexedRequest,
        context: grpc.aio.ServicerContext[
            ingest_pb2.MarkIndexedRequest, ingest_pb2.MarkIndexedResponse
        ],
    ) -> ingest_pb2.MarkIndexedResponse:
        """Note that the index holds all of an asset."""
        if len(request.space) > SPACE_CHARACTERS_MAX:
            raise InvalidInput(
                "SPACE_INVALID",
                f"The name of a space has at most {SPACE_CHARACTERS_MAX} characters.",
                subject="space",
            )
        await self._engine.on_disk(
            self._engine.store.mark_indexed,
            tenant_id(context),
            request.asset_id,
            request.sha256,
            request.document_count,
            request.space,
        )
        return ingest_pb2.MarkIndexedResponse()

    async def RecordModeration(
        self,
        request: ingest_pb2.RecordModerationRequest,
        context: grpc.aio.ServicerContext[
            ingest_pb2.RecordModerationRequest, ingest_pb2.RecordModerationResponse
        ],
    ) -> ingest_pb2.RecordModerationResponse:
        """Keep what moderation found in an asset."""
        await self._engine.on_disk(
            self._engine.store.record_findings,
            tenant_id(context),
            request.asset_id,
            [convert.read_finding(found) for found in request.findings],
            [convert.read_finding(found) for found in request.scores],
        )
        return ingest_pb2.RecordModerationResponse()

    async def UnmarkIndexed(
        self,
        request: ingest_pb2.UnmarkIndexedRequest,
        context: grpc.aio.ServicerContext[
            ingest_pb2.UnmarkIndexedRequest, ingest_pb2.UnmarkIndexedResponse
        ],
    ) -> ingest_pb2.UnmarkIndexedResponse:
        """Have an asset indexed again."""
        store = self._engine.store
        await self._engine.on_disk(store.unmark_indexed, tenant_id(context), request.asset_id)
        return ingest_pb2.UnmarkIndexedResponse()

    async def DeleteAsset(
        self,
        request: ingest_pb2.DeleteAssetRequest,
        context: grpc.aio.ServicerContext[
            ingest_pb2.DeleteAssetRequest, ingest_pb2.DeleteAssetResponse
        ],
    ) -> ingest_pb2.DeleteAssetResponse:
        """Begin to delete an asset."""
        store = self._engine.store
        promoted = await self._engine.on_disk(store.bury, tenant_id(context), request.asset_id)
        return ingest_pb2.DeleteAssetResponse(promoted_asset_id=promoted)

    async def PurgeAsset(
        self,
        request: ingest_pb2.PurgeAssetRequest,
        context: grpc.aio.ServicerContext[
            ingest_pb2.PurgeAssetRequest, ingest_pb2.PurgeAssetResponse
        ],
    ) -> ingest_pb2.PurgeAssetResponse:
        """End a deletion."""
        await self._engine.purge(tenant_id(context), request.asset_id)
        return ingest_pb2.PurgeAssetResponse()

    async def ListDeletions(
        self,
        request: ingest_pb2.ListDeletionsRequest,
        context: grpc.aio.ServicerContext[
            ingest_pb2.ListDeletionsRequest, ingest_pb2.ListDeletionsResponse
        ],
    ) -> ingest_pb2.ListDeletionsResponse:
        """Deletions that are not done."""
        buried = await self._engine.on_disk(self._engine.store.buried, tenant_id(context))
        return ingest_pb2.ListDeletionsResponse(asset_ids=buried)

    async def ListTenants(
        self,
        request: ingest_pb2.ListTenantsRequest,
        context: grpc.aio.ServicerContext[
            ingest_pb2.ListTenantsRequest, ingest_pb2.ListTenantsResponse
        ],
    ) -> ingest_pb2.ListTenantsResponse:
        """All that ever stored anything."""
        tenants = await self._engine.on_disk(self._engine.store.tenants)
        return ingest_pb2.ListTenantsResponse(tenant_ids=tenants)

    async def CheckStore(
        self,
        request: ingest_pb2.CheckStoreRequest,
        context: grpc.aio.ServicerContext[
            ingest_pb2.CheckStoreRequest, ingest_pb2.CheckStoreResponse
        ],
    ) -> AsyncIterator[ingest_pb2.CheckStoreResponse]:
        """All that is wrong with what is stored."""
        found = self._engine.check(tenant_id(context), deep=request.deep, repair=request.repair)
        async with contextlib.aclosing(found) as findings:
            async for finding in findings:
                yield ingest_pb2.CheckStoreResponse(finding=convert.write_finding(finding))

    async def ListAssets(
        self,
        request: ingest_pb2.ListAssetsRequest,
        context: grpc.aio.ServicerContext[
            ingest_pb2.ListAssetsRequest, ingest_pb2.ListAssetsResponse
        ],
    ) -> ingest_pb2.ListAssetsResponse:
        """A page of assets, newest first."""
        page_size = min(request.page_size or PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)
        before_us = request.before.ToMicroseconds() if request.HasField("before") else None
        store, tenant = self._engine.store, tenant_id(context)
        page_token = request.page_token
        if request.after_asset_id:
            page_token = await self._engine.on_disk(
                store.page_token_after, tenant, request.after_asset_id
            )
        records, next_page_token = await self._engine.on_disk(
            store.list_newest, tenant, page_size, page_token, before_us
        )
        return ingest_pb2.ListAssetsResponse(
            assets=map(convert.write_asset, records), next_page_token=next_page_token
        )

    async def GetThumbnail(
        self,
        request: ingest_pb2.GetThumbnailRequest,
        context: grpc.aio.ServicerContext[
            ingest_pb2.GetThumbnailRequest, ingest_pb2.GetThumbnailResponse
        ],
    ) -> ingest_pb2.GetThumbnailResponse:
        """A small picture of an asset."""
        offset_s = to_seconds(request.offset) if request.HasField("offset") else None
        if offset_s is not None and offset_s < 0:
            raise InvalidInput(
                "OFFSET_NEGATIVE", "An offset counts from the start of the video.", subject="offset"
            )
        jpeg = await self._engine.thumbnail(tenant_id(context), request.asset_id, offset_s)
        return ingest_pb2.GetThumbnailResponse(jpeg=jpeg)

    def _cut_options(self, sampling: media_pb2.FrameSampling, field: str) -> CutOptions:
        defaults = self._engine.cut_options
        wanted = convert.read_sampling(sampling, defaults.frame_sampling, field)
        return dataclasses.replace(defaults, frame_sampling=wanted)


async def _apply(session: IngestSession, message: Request) -> None:
    match message.WhichOneof("message"):
        case "chunk":
            chunk = message.chunk
            await session.append(chunk.asset_id, chunk.offset, chunk.data)
        case "asset_start":
            await session.start(convert.read_announcement(message.asset_start))
        case "asset_finish":
            finish = message.asset_finish
            await session.finish(finish.asset_id, convert.read_finish(finish))
