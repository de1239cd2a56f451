"""Sends writes on to the search process that holds the lease of the index.

The one call that a stage makes, and it is to itself: everything else is called
by the gateway alone. What the holder says passes through as it is.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from typing import Any, TypeVar

import grpc
from sensorium.search.v1 import search_pb2, search_pb2_grpc

from services.runtime.calls import CallScope, call_unary, exchange
from services.runtime.channel import open_channel
from services.runtime.errors import SensoriumError, Unavailable
from services.runtime.streams import Emit, duplex
from services.runtime.telemetry import metrics
from services.search.lease import Holder, Lease

T = TypeVar("T")
IndexRequest = search_pb2.StreamingIndexRequest
IndexResponse = search_pb2.StreamingIndexResponse


class Forwarder:
    """Keeps a channel to the present holder; over TLS with ``credentials``."""

    def __init__(
        self,
        lease: Lease,
        window_bytes: int,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        self._lease = lease
        self._window_bytes = window_bytes
        self._credentials = credentials
        self._address = ""
        self._channel: grpc.aio.Channel | None = None

    def index(
        self,
        holder: Holder,
        config: search_pb2.IndexConfig,
        messages: AsyncIterator[IndexRequest],
        scope: CallScope,
    ) -> AsyncGenerator[IndexResponse, None]:
        """The holder's answers to an index stream. Raises Unavailable
        INDEX_WRITER_UNREACHABLE, and what the holder raises."""
        metrics.index_forwarded.add(1, {"method": "StreamingIndex"})

        async def requests() -> AsyncIterator[IndexRequest]:
            yield IndexRequest(config=config)
            async for message in messages:
                yield message

        async def relay(emit: Emit[IndexResponse]) -> None:
            async with self._stub(holder) as stub:
                events = exchange(stub.StreamingIndex, scope, requests())
                async with contextlib.aclosing(events):
                    async for event in events:
                        await emit(event)

        return duplex(lambda emit: self._while_held(holder, relay(emit)))

    async def delete(
        self, holder: Holder, request: search_pb2.DeleteDocumentsRequest, scope: CallScope
    ) -> search_pb2.DeleteDocumentsResponse:
        """The holder's answer to a deletion. Raises as ``index``."""
        metrics.index_forwarded.add(1, {"method": "DeleteDocuments"})

        async def ask() -> search_pb2.DeleteDocumentsResponse:
            async with self._stub(holder) as stub:
                answer: search_pb2.DeleteDocumentsResponse = await call_unary(
                    stub.DeleteDocuments, request, scope
                )
                return answer

        return await self._while_held(holder, ask())

    async def close(self) -> None:
        """Closes the channel."""
        if self._channel is not None:
            await self._channel.close()
            self._channel = None

    async def _while_held(self, holder: Holder, work: Coroutine[Any, Any, T]) -> T:
        """The outcome of a call to the holder. One that is frozen answers nothing and keeps
        its connections, so the call ends when the lease does."""
        call = asyncio.ensure_future(work)
        lapsed = asyncio.ensure_future(self._lease.lapsed(holder))
        try:
            await asyncio.wait({call, lapsed}, return_when=asyncio.FIRST_COMPLETED)
            if not call.done():
                raise _unreachable(holder)
            return call.result()
        finally:
            call.cancel()
            lapsed.cancel()
            await asyncio.gather(call, lapsed, return_exceptions=True)

    @contextlib.asynccontextmanager
    async def _stub(self, holder: Holder) -> AsyncIterator[search_pb2_grpc.SearchServiceStub]:
        if not holder.address:
            raise _unreachable(holder)
        if self._channel is None or self._address != holder.address:
            # What still runs on the old one is a call to a process that writes no more.
            await self.close()
            self._address = holder.address
            self._channel = open_channel(
                holder.address, self._window_bytes, credentials=self._credentials
            )
        try:
            yield search_pb2_grpc.SearchServiceStub(self._channel)
        except SensoriumError as error:
            if error.reason != "STAGE_UNAVAILABLE":
                raise
            # The next call dials at once; this channel would wait ever longer.
            await self.close()
            raise _unreachable(holder) from error


def _unreachable(holder: Holder) -> Unavailable:
    return Unavailable(
        "INDEX_WRITER_UNREACHABLE",
        "The process that writes the index cannot be reached; try again.",
        retry_after_s=holder.retry_after_s,
    )
