"""One open two-way call: writers that stop in time, and a reader that learns the real reason."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any, Generic, TypeVar

import grpc
from sensorium.gateway.v1 import gateway_pb2

from sensorium_client import decode
from sensorium_client.errors import SensoriumClientError, from_rpc_error
from sensorium_client.events import Event

RequestT = TypeVar(
    "RequestT",
    gateway_pb2.StreamingConverseRequest,
    gateway_pb2.StreamingUploadRequest,
    gateway_pb2.StreamingSearchRequest,
)
ResponseT = TypeVar(
    "ResponseT",
    gateway_pb2.StreamingConverseResponse,
    gateway_pb2.StreamingUploadResponse,
    gateway_pb2.StreamingSearchResponse,
)


class WritingStopped(Exception):
    """The stream takes no more; the reader has the reason."""


class DuplexCall(Generic[RequestT, ResponseT]):
    """A bidirectional call. Any number of tasks may write; one may read, at the same time."""

    def __init__(
        self,
        call: grpc.aio.StreamStreamCall[RequestT, ResponseT],
        decoder: Callable[[ResponseT], Event | None] = decode.event,
    ) -> None:
        self._call: grpc.aio.StreamStreamCall[RequestT, ResponseT] = call
        self._decode: Callable[[ResponseT], Event | None] = decoder
        self._write_lock = asyncio.Lock()
        self._stopped = False

    async def write(self, request: RequestT) -> None:
        """Send a message; waits while the server is not reading. Raises WritingStopped."""
        async with self._write_lock:
            if self._stopped:
                raise WritingStopped
            try:
                await self._send(request)
            except (grpc.aio.BaseError, grpc.aio.AioRpcError):
                self._stopped = True
                raise WritingStopped from None

    async def _send(self, request: RequestT) -> None:
        await self._call.wait_for_connection()
        # Call.write would do, but when the server has just ended the stream it
        # puts INTERNAL in the place of the server's status, for good. One
        # layer below, the server's status survives (30 of 30 in a test).
        cython_call: Any = self._call._cython_call  # type: ignore[attr-defined]
        await cython_call.send_serialized_message(request.SerializeToString())

    async def done_writing(self) -> None:
        """Half-close. Harmless on a stream that is over."""
        async with self._write_lock:
            self._stopped = True
            try:
                await self._call.done_writing()
            except (grpc.aio.BaseError, grpc.aio.AioRpcError):
                return

    def cancel(self) -> None:
        """End the call at once. Harmless when it is over."""
        self._stopped = True
        self._call.cancel()

    async def events(self) -> AsyncGenerator[Event, None]:
        """The events until the server ends the stream.

        Raises:
            SensoriumClientError: the stream failed, in band or by its status.
        """
        try:
            async for message in self._call:
                event = self._decode(message)
                if event is not None:
                    yield event
        except SensoriumClientError:
            # Told in band: nothing that is still written would be read.
            self._stopped = True
            raise
        except grpc.aio.AioRpcError as error:
            self._stopped = True
            raise from_rpc_error(error) from None

    async def events_while(self, writing: Coroutine[Any, Any, None]) -> AsyncGenerator[Event, None]:
        """The events, with ``writing`` at work in its own task until they end.

        A failure of the writer other than WritingStopped cancels the call and is
        raised here. When this iterator is closed the writer is cancelled.
        """

        async def write() -> None:
            try:
                await writing
            except WritingStopped:
                pass
            except BaseException:
                self.cancel()
                raise

        writer = asyncio.create_task(write())
        try:
            async for event in self.events():
                yield event
        except asyncio.CancelledError:
            if writer.done() and not writer.cancelled() and (cause := writer.exception()):
                raise cause from None
            raise
        finally:
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
