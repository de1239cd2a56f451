"""SearchService: protobuf in, protobuf out."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
from sensorium.search.v1 import search_pb2, search_pb2_grpc

from services.runtime.calls import CallScope, is_forwarded, tenant_id, user_id
from services.runtime.durations import to_duration
from services.runtime.errors import SensoriumError
from services.runtime.status import item_error
from services.runtime.streams import Emit, duplex, open_stream
from services.runtime.telemetry import span
from services.search import convert, convert_query
from services.search.filters import Scope
from services.search.forward import Forwarder
from services.search.lease import Holder, writer_changed
from services.search.query import Searcher
from services.search.record import Record
from services.search.tables import check_space
from services.search.writer import IndexWriter

SearchRequest = search_pb2.StreamingSearchRequest
SearchResponse = search_pb2.StreamingSearchResponse
IndexRequest = search_pb2.StreamingIndexRequest
IndexResponse = search_pb2.StreamingIndexResponse

# Queries of one stream that the database works on at once.
QUERY_COUNT = 4
# Assets whose documents are read at once, and held until they are sent.
LISTED_COUNT = 16
# Documents of one stream that wait; also the most of one acknowledgement.
DOCUMENT_COUNT = 256


class SearchService(search_pb2_grpc.SearchServiceServicer):
    """Reads through ``searcher``; writes through ``writer`` while this process holds the
    lease, else through ``forwarder``."""

    def __init__(
        self, searcher: Searcher, writer: IndexWriter, forwarder: Forwarder, default_space: str
    ) -> None:
        self._searcher = searcher
        self._writer = writer
        self._forwarder = forwarder
        self._default_space = default_space

    async def StreamingSearch(
        self,
        request_iterator: AsyncIterator[SearchRequest],
        context: grpc.aio.ServicerContext[SearchRequest, SearchResponse],
    ) -> AsyncIterator[SearchResponse]:
        """See search.proto."""
        config, messages = await open_stream(request_iterator)
        space, tenant = self._space(config.space), tenant_id(context)
        effective = search_pb2.SearchConfig(space=space, omit_embeddings=config.omit_embeddings)
        yield SearchResponse(ready=search_pb2.SearchReady(effective_config=effective))
        tally = _Tally()

        async def answer_all(emit: Emit[SearchResponse]) -> None:
            free = asyncio.Semaphore(QUERY_COUNT)
            async with asyncio.TaskGroup() as group:

                async def answer(query: search_pb2.SearchQuery) -> None:
                    try:
                        await emit(await self._answer(query, tenant, effective, tally))
                    finally:
                        free.release()

                async for message in messages:
                    await free.acquire()
                    group.create_task(answer(message.query))

        async with contextlib.aclosing(duplex(answer_all)) as events:
            async for event in events:
                yield event
        yield SearchResponse(
            summary=search_pb2.SearchSummary(
                query_count=tally.count,
                database_time=to_duration(tally.database_s),
            )
        )

    async def StreamingIndex(
        self,
        request_iterator: AsyncIterator[IndexRequest],
        context: grpc.aio.ServicerContext[IndexRequest, IndexResponse],
    ) -> AsyncIterator[IndexResponse]:
        """See search.proto."""
        config, messages = await open_stream(request_iterator)
        space, tenant = self._space(config.space), tenant_id(context)
        if holder := await self._other_writer(context):
            config.space = space
            forwarded = self._forwarder.index(holder, config, messages, _forwarding(context))
            async with contextlib.aclosing(forwarded) as events:
                async for event in events:
                    yield event
            return
        yield IndexResponse(
            ready=search_pb2.IndexReady(effective_config=search_pb2.IndexConfig(space=space))
        )
        tally = _Tally()

        async def index_all(emit: Emit[IndexResponse]) -> None:
            waiting: asyncio.Queue[Record | None] = asyncio.Queue(DOCUMENT_COUNT)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._commit_all(space, waiting, emit, tally))
                async for message in messages:
                    document = message.document
                    try:
                        record = convert.read_document(document, tenant, space)
                    except SensoriumError as error:
                        item_id = document.evidence.evidence_id
                        await emit(IndexResponse(item_error=item_error(item_id, error)))
                        continue
                    await waiting.put(record)
                await waiting.put(None)

        async with contextlib.aclosing(duplex(index_all)) as events:
            async for event in events:
                yield event
        yield IndexResponse(
            summary=search_pb2.IndexSummary(
                document_count=tally.count,
                database_time=to_duration(tally.database_s),
            )
        )

    async def ListDocuments(
        self,
        request: search_pb2.ListDocumentsRequest,
        context: grpc.aio.ServicerContext[
            search_pb2.ListDocumentsRequest, search_pb2.ListDocumentsResponse
        ],
    ) -> AsyncIterator[search_pb2.ListDocumentsResponse]:
        """See search.proto."""
        space, tenant = self._space(request.space), tenant_id(context)
        asset_ids = convert.read_asset_ids(list(request.asset_ids))
        for start in range(0, len(asset_ids), LISTED_COUNT):
            part = asset_ids[start : start + LISTED_COUNT]
            for record in await self._searcher.list_assets(space, tenant, part):
                document = convert.write_document(record, space)
                yield search_pb2.ListDocumentsResponse(document=document)

    async def DeleteDocuments(
        self,
        request: search_pb2.DeleteDocumentsRequest,
        context: grpc.aio.ServicerContext[
            search_pb2.DeleteDocumentsRequest, search_pb2.DeleteDocumentsResponse
        ],
    ) -> search_pb2.DeleteDocumentsResponse:
        """See search.proto."""
        asset_ids = convert.read_asset_ids(list(request.asset_ids))
        if holder := await self._other_writer(context):
            return await self._forwarder.delete(holder, request, _forwarding(context))
        count = await self._writer.delete(Scope(tenant_id(context), asset_ids=asset_ids))
        return search_pb2.DeleteDocumentsResponse(document_count=count)

    async def FindNearDuplicates(
        self,
        request: search_pb2.FindNearDuplicatesRequest,
        context: grpc.aio.ServicerContext[
            search_pb2.FindNearDuplicatesRequest, search_pb2.FindNearDuplicatesResponse
        ],
    ) -> search_pb2.FindNearDuplicatesResponse:
        """See search.proto."""
        space, hashes = self._space(request.space), convert_query.read_hashes(request)
        scope = Scope(tenant_id(context), excluded_asset_ids=tuple(request.excluded_asset_ids))
        with span("search.look_alikes", hash_count=len(hashes)):
            found = await self._searcher.look_alikes(
                space, scope, hashes, request.hamming_distance_max
            )
        return search_pb2.FindNearDuplicatesResponse(
            near_duplicates=map(convert.write_look_alike, found)
        )

    async def GetStats(
        self,
        request: search_pb2.GetStatsRequest,
        context: grpc.aio.ServicerContext[search_pb2.GetStatsRequest, search_pb2.GetStatsResponse],
    ) -> search_pb2.GetStatsResponse:
        """See search.proto."""
        counts = await self._searcher.count(tenant_id(context))
        return search_pb2.GetStatsResponse(
            spaces=[
                search_pb2.SpaceStats(space=space, document_count=count)
                for space, count in counts.items()
            ]
        )

    async def _other_writer(self, context: grpc.aio.ServicerContext[Any, Any]) -> Holder | None:
        """Who writes where this process does not. Raises Unavailable INDEX_WRITER_CHANGED
        for a call that was sent on to it all the same, INDEX_UNREACHABLE."""
        holder = await self._writer.lease.acquire()
        if holder is not None and is_forwarded(context):
            raise writer_changed(holder.retry_after_s)
        return holder

    async def CountDocuments(
        self,
        request: search_pb2.CountDocumentsRequest,
        context: grpc.aio.ServicerContext[
            search_pb2.CountDocumentsRequest, search_pb2.CountDocumentsResponse
        ],
    ) -> AsyncIterator[search_pb2.CountDocumentsResponse]:
        """See search.proto."""
        counts = await self._searcher.count_by_asset(tenant_id(context))
        for asset_id, count in sorted(counts.items()):
            yield search_pb2.CountDocumentsResponse(
                asset_id=asset_id, document_count=count.documents, repeated_count=count.repeated
            )

    def _space(self, asked: str) -> str:
        space = asked or self._default_space
        check_space(space)
        return space

    async def _answer(
        self,
        message: search_pb2.SearchQuery,
        tenant: str,
        config: search_pb2.SearchConfig,
        tally: "_Tally",
    ) -> SearchResponse:
        began, space = time.perf_counter(), config.space
        try:
            query = convert_query.read_query(message, tenant, space)
            with span("search.query", top_k=query.top_k):
                hits = await self._searcher.search(space, query)
        except SensoriumError as error:
            return SearchResponse(item_error=item_error(message.query_id, error))
        tally.add(1, time.perf_counter() - began)
        result = convert.write_result(
            message.query_id, hits, space, with_vectors=not config.omit_embeddings
        )
        return SearchResponse(result=result)

    async def _commit_all(
        self,
        space: str,
        waiting: "asyncio.Queue[Record | None]",
        emit: Emit[IndexResponse],
        tally: "_Tally",
    ) -> None:
        """Commits what waits, together, until the end is read."""
        ended = False
        while not ended:
            batch = [await waiting.get()]
            while len(batch) < DOCUMENT_COUNT and not waiting.empty():
                batch.append(waiting.get_nowait())
            ended = batch[-1] is None
            records = [record for record in batch if record is not None]
            if records:
                await self._commit(space, records, emit, tally)

    async def _commit(
        self, space: str, batch: list[Record], emit: Emit[IndexResponse], tally: "_Tally"
    ) -> None:
        began = time.perf_counter()
        refusals = await self._writer.write(space, batch)
        accepted = []
        for record, refusal in zip(batch, refusals, strict=True):
            if refusal is None:
                accepted.append(record.document_id)
            else:
                await emit(IndexResponse(item_error=item_error(record.document_id, refusal)))
        tally.add(len(accepted), time.perf_counter() - began)
        if accepted:
            await emit(IndexResponse(ack=search_pb2.IndexAck(document_ids=accepted)))


def _forwarding(context: grpc.aio.ServicerContext[Any, Any]) -> CallScope:
    return CallScope(tenant_id(context), user_id(context), context.time_remaining, forwarded=True)


class _Tally:
    """What a stream did, for its summary."""

    def __init__(self) -> None:
        self.count = 0
        self.database_s = 0.0

    def add(self, count: int, duration_s: float) -> None:
        self.count += count
        self.database_s += duration_s
