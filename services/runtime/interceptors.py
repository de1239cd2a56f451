"""The shell around every handler: trace span, metrics, errors told twice, clean ends.

The contrib OpenTelemetry interceptors break coroutine handlers and health
Watch, so this one wraps each handler of ours into a single coroutine that runs
in the RPC's own task. Health and reflection pass untouched.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.message import Message
from grpc_status import rpc_status
from sensorium.media.v1 import stream_pb2

from services.runtime import telemetry
from services.runtime.calls import DEFAULT_TENANT, TENANT_KEY
from services.runtime.durations import to_duration
from services.runtime.errors import InvalidInput, Unavailable
from services.runtime.served import ServedCall, served_call
from services.runtime.status import rich_status, stream_error

log = logging.getLogger(__name__)

OUR_METHODS = "/sensorium."
GATEWAY_SERVICE = "sensorium.gateway.v1.GatewayService"
RETRY_AFTER_S = 1.0
TELL_S = 1.0
"""How long a client may take to read that the server shuts down."""
DRAIN_S = 1.0
"""How long a client that still writes may take to notice the error event."""

Context = grpc.aio.ServicerContext[Any, Any]


class RequestPump:
    """Reads a call's requests ahead by one, so that cancelling a reader never loses the stream.

    grpc.aio allows one receive at a time and cannot take one back; the pump is
    the only receiver. ``discard`` reads on and throws away.
    """

    def __init__(self, requests: AsyncIterator[Message]) -> None:
        self._requests = requests
        self._queue: asyncio.Queue[Message | InvalidInput | None] = asyncio.Queue(maxsize=1)
        self._discarding = False
        self._task = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        end: InvalidInput | None = None
        try:
            async for request in self._requests:
                if not self._discarding:
                    await self._queue.put(request)
        except grpc.aio.BaseError:
            # A broken transport ends the requests; the handler's next write tells.
            pass
        except Exception as error:
            log.info("a request could not be parsed", exc_info=error)
            end = InvalidInput("MESSAGE_MALFORMED", "A message of the stream cannot be parsed.")
        if not self._discarding:
            await self._queue.put(end)

    async def requests(self) -> AsyncIterator[Message]:
        """The requests in order, until the client's half-close, cancel or deadline.

        Raises InvalidInput MESSAGE_MALFORMED.
        """
        while (request := await self._queue.get()) is not None:
            if isinstance(request, InvalidInput):
                raise request
            yield request

    async def discard(self, timeout_s: float) -> None:
        """Read and forget until the client stops writing, at most ``timeout_s``."""
        self._discarding = True
        while not self._queue.empty():
            self._queue.get_nowait()
        await asyncio.wait({self._task}, timeout=timeout_s)

    def stop(self) -> None:
        """The call is over."""
        self._task.cancel()


class LiveStreams:
    """The open streams of a server, to tell them of a shutdown."""

    def __init__(self) -> None:
        self._send: set[Callable[[stream_pb2.GoAway], Awaitable[None]]] = set()
        self._changed = asyncio.Event()

    @contextlib.contextmanager
    def entered(self, send: Callable[[stream_pb2.GoAway], Awaitable[None]]) -> Any:
        """Count a stream in while it lives."""
        self._send.add(send)
        try:
            yield
        finally:
            self._send.discard(send)
            self._changed.set()

    async def go_away(self, grace_s: float) -> None:
        """Send GoAway on every open stream that has such an event."""
        event = stream_pb2.GoAway(grace=to_duration(grace_s))
        told = [asyncio.ensure_future(send(event)) for send in self._send]
        if told:
            # A client that does not read cannot be told.
            _, untold = await asyncio.wait(told, timeout=TELL_S)
            for task in untold:
                task.cancel()

    async def ended(self, timeout_s: float) -> None:
        """Wait until no stream is open, at most ``timeout_s``."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self._send:
                    self._changed.clear()
                    await self._changed.wait()

    def __len__(self) -> int:
        return len(self._send)


class StageInterceptor(grpc.aio.ServerInterceptor):
    """Wraps the handlers of our services; ``ready`` tells whether a service may be called yet."""

    def __init__(self, ready: Callable[[str], bool], live: LiveStreams) -> None:
        self._ready = ready
        self._live = live
        self.draining = False

    async def intercept_service(
        self, continuation: Any, handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        """Wrap the handler of one call."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or not method.startswith(OUR_METHODS):
            return handler
        metadata = {
            key: value
            for key, value in handler_call_details.invocation_metadata or ()
            if isinstance(value, str)
        }
        if handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(
                self._wrap_unary(method, metadata, handler.unary_unary),
                handler.request_deserializer,
                handler.response_serializer,
            )
        if handler.unary_stream is not None:
            return grpc.unary_stream_rpc_method_handler(
                self._wrap_stream(method, metadata, handler.unary_stream, pumped=False),
                handler.request_deserializer,
                handler.response_serializer,
            )
        return grpc.stream_stream_rpc_method_handler(
            self._wrap_stream(method, metadata, handler.stream_stream, pumped=True),
            handler.request_deserializer,
            handler.response_serializer,
        )

    def _check_ready(self, method: str) -> None:
        service = method.split("/")[1]
        # Only the public door closes: turns that are under way still need the stages.
        if self.draining and service == GATEWAY_SERVICE:
            raise Unavailable(
                "SHUTTING_DOWN", "The server is shutting down.", retry_after_s=RETRY_AFTER_S
            )
        if not self._ready(service):
            raise Unavailable(
                "NOT_READY",
                f"{service} is still loading its models; try again in a moment.",
                subject=service,
                retry_after_s=RETRY_AFTER_S,
            )

    def _wrap_unary(self, method: str, metadata: dict[str, str], behavior: Any) -> Any:
        async def unary(request: Message, context: Context) -> Message | None:
            with _call(method, metadata) as call:
                try:
                    self._check_ready(method)
                    response: Message = await behavior(request, context)
                    return response
                except grpc.aio.AbortError:
                    raise
                except Exception as error:  # noqa: BLE001 - the boundary: nothing foreign leaves
                    ours = call.failed(error)
                await context.abort_with_status(rpc_status.to_status(rich_status(ours)))
                return None

        return unary

    def _wrap_stream(
        self, method: str, metadata: dict[str, str], behavior: Any, *, pumped: bool
    ) -> Any:
        response_type = _response_type(method)

        async def stream(request: Any, context: Context) -> None:
            pump = RequestPump(request) if pumped else None
            writing = asyncio.Lock()

            async def write(event: Message) -> None:
                async with writing:
                    await context.write(event)

            async def go_away(event: stream_pb2.GoAway) -> None:
                if "go_away" in response_type.DESCRIPTOR.fields_by_name:
                    with contextlib.suppress(grpc.aio.BaseError):
                        await write(response_type(go_away=event))

            with _call(method, metadata) as call, self._live.entered(go_away):
                events = behavior(pump.requests() if pump else request, context)
                try:
                    self._check_ready(method)
                    async for event in events:
                        await write(event)
                    return
                except (grpc.aio.AbortError, grpc.aio.InternalError):
                    # Aborted by the handler, or the client is gone in mid-write.
                    raise
                except Exception as error:  # noqa: BLE001 - the boundary: nothing foreign leaves
                    ours = call.failed(error)
                finally:
                    await events.aclose()
                    if pump and call.error is None:
                        pump.stop()
                try:
                    if pump and "error" in response_type.DESCRIPTOR.fields_by_name:
                        await write(response_type(error=stream_error(ours)))
                        await pump.discard(DRAIN_S)
                finally:
                    if pump:
                        pump.stop()
                await context.abort_with_status(rpc_status.to_status(rich_status(ours)))

        return stream


def _call(method: str, metadata: dict[str, str]) -> contextlib.AbstractContextManager[ServedCall]:
    attributes = {"rpc.system": "grpc", "rpc.method": method}
    if not method.startswith(f"/{GATEWAY_SERVICE}/"):
        # Between stages; who calls the gateway is found out at its door.
        attributes[telemetry.TENANT] = metadata.get(TENANT_KEY, DEFAULT_TENANT)
    return served_call(method, metadata, **attributes)


def _response_type(method: str) -> Any:
    pool = descriptor_pool.Default()
    name = method.lstrip("/").replace("/", ".")
    descriptor = pool.FindMethodByName(name)
    return message_factory.GetMessageClass(descriptor.output_type)
