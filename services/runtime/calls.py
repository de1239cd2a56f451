"""Calls from one stage to another: tenant, deadline, cancellation and trace travel with each."""

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from services.runtime import telemetry
from services.runtime.account import Account
from services.runtime.durations import to_seconds
from services.runtime.errors import (
    InternalFailure,
    InvalidInput,
    NotFound,
    SensoriumError,
    Unavailable,
)
from services.runtime.priority import Priority
from services.runtime.status import ERROR_TYPES, from_stream_error
from services.runtime.streams import Emit, duplex

TENANT_KEY = "sensorium-tenant"
USER_KEY = "sensorium-user"
PRIORITY_KEY = "sensorium-priority"
FORWARDED_KEY = "sensorium-forwarded"
DEFAULT_TENANT = "default"
STATUS_TIMEOUT_S = 1.0

_TENANT = re.compile(r"[A-Za-z0-9_-]{1,64}")
# Whatever an identity provider calls its users: auth0|5f7c, ada@example.org.
_USER = re.compile(r"[!-~]{1,128}")

RequestT = TypeVar("RequestT", bound=Message)
ResponseT = TypeVar("ResponseT", bound=Message)
Context = grpc.aio.ServicerContext[Any, Any]


def metadata_value(context: Context, key: str) -> str:
    """The first value of a key in a call's metadata; empty if there is none."""
    for name, value in context.invocation_metadata() or ():
        if name == key and isinstance(value, str):
            return value
    return ""


def tenant_id(context: Context) -> str:
    """The tenant of a call between stages. Raises InvalidInput for a malformed one."""
    tenant = metadata_value(context, TENANT_KEY) or DEFAULT_TENANT
    return check_tenant(tenant, TENANT_KEY)


def user_id(context: Context) -> str:
    """The user of a call; empty if none is known. Raises InvalidInput for a malformed name."""
    return check_user(metadata_value(context, USER_KEY), USER_KEY)


def check_tenant(name: str, subject: str) -> str:
    """The name of a tenant, which is part of paths. Raises InvalidInput TENANT_INVALID."""
    if not _TENANT.fullmatch(name):
        raise InvalidInput(
            "TENANT_INVALID",
            "A tenant's name has 1 to 64 letters, digits, - and _.",
            subject=subject,
        )
    return name


def check_user(name: str, subject: str) -> str:
    """The name of a user; may be empty. Raises InvalidInput USER_INVALID."""
    if name and not _USER.fullmatch(name):
        raise InvalidInput(
            "USER_INVALID",
            "A user's name has at most 128 printable ASCII characters and no space.",
            subject=subject,
        )
    return name


def priority_of(context: Context) -> Priority:
    """The class of a call between stages; NORMAL unless it says otherwise. Raises InvalidInput
    PRIORITY_UNKNOWN."""
    return to_priority(metadata_value(context, PRIORITY_KEY)) or Priority.NORMAL


def to_priority(name: str) -> Priority | None:
    """The class of that name; None for no name. Raises InvalidInput PRIORITY_UNKNOWN."""
    try:
        return Priority(name) if name else None
    except ValueError:
        raise InvalidInput(
            "PRIORITY_UNKNOWN", f"A priority is {', '.join(Priority)}.", subject=PRIORITY_KEY
        ) from None


def is_forwarded(context: Context) -> bool:
    """Whether a process of the same stage sent the call on; it must not be sent on again."""
    return bool(metadata_value(context, FORWARDED_KEY))


@dataclass(frozen=True, slots=True)
class CallScope:
    """On whose behalf calls are made, and until when."""

    tenant_id: str = DEFAULT_TENANT
    user_id: str = ""
    remaining_s: Callable[[], float | None] = lambda: None
    """Seconds left of the caller's deadline; None without one. grpc.aio does not pass it on."""
    forwarded: bool = False
    """The call goes from one process of a stage to another of the same."""
    priority: Priority = Priority.NORMAL
    """Whom its work goes before, and whom it lets go first."""
    operator: bool = False
    """The caller may see what concerns all tenants."""
    account: Account = field(default_factory=Account, compare=False)
    """Told what the work takes, by those who do it in the same process."""

    def __post_init__(self) -> None:
        """Whoever makes a scope: what gRPC would not take as metadata is refused in words.

        Raises InvalidInput TENANT_INVALID and USER_INVALID.
        """
        check_tenant(self.tenant_id, TENANT_KEY)
        check_user(self.user_id, USER_KEY)

    def metadata(self) -> dict[str, str]:
        """The metadata that says so."""
        user = {USER_KEY: self.user_id} if self.user_id else {}
        forwarded = {FORWARDED_KEY: "1"} if self.forwarded else {}
        usual = self.priority is Priority.NORMAL
        priority = {} if usual else {PRIORITY_KEY: str(self.priority)}
        return {TENANT_KEY: self.tenant_id, **user, **forwarded, **priority}


def to_domain(error: grpc.aio.AioRpcError, peer: str) -> SensoriumError:
    """The domain form of a status that came back from ``peer``."""
    status = rpc_status.from_call(error)
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    for detail in status.details if status else ():
        for message in (info, retry):
            if detail.Is(message.DESCRIPTOR):
                detail.Unpack(message)
    if status and info.reason:
        return ERROR_TYPES.get(status.code, InternalFailure)(
            info.reason,
            error.details() or info.reason,
            subject=info.metadata.get("subject", ""),
            retry_after_s=to_seconds(retry.retry_delay) or None,
        )
    code = error.code()
    if code == grpc.StatusCode.DEADLINE_EXCEEDED:
        return Unavailable("DEADLINE_EXCEEDED", "The deadline passed before the work was done.")
    if code == grpc.StatusCode.UNAVAILABLE:
        return Unavailable(
            "STAGE_UNAVAILABLE", f"{peer} cannot be reached.", subject=peer, retry_after_s=1.0
        )
    if code == grpc.StatusCode.NOT_FOUND:
        return NotFound("NOT_FOUND", f"{peer} has no such thing.", subject=peer)
    return InternalFailure("STAGE_FAILED", f"{peer} failed ({code.name}).", subject=peer)


class StageStream(Generic[RequestT, ResponseT]):
    """One open bidirectional stream to a stage. Errors of either kind are raised as ours."""

    def __init__(self, call: Any, peer: str) -> None:
        self._call = call
        self._peer = peer
        # gRPC takes one write at a time.
        self._writing = asyncio.Lock()

    async def send(self, request: RequestT) -> None:
        """Send one message; waits while the stage is not reading."""
        try:
            async with self._writing:
                await self._send(request)
        except grpc.aio.AioRpcError as error:
            raise to_domain(error, self._peer) from None
        except (grpc.aio.UsageError, grpc.aio.InternalError):
            # The stage has ended the stream; its status is the reason. It comes when all events
            # are read, so a stream that nobody reads must not wait for it.
            try:
                async with asyncio.timeout(STATUS_TIMEOUT_S):
                    reason = await self._reason()
            except TimeoutError:
                reason = InternalFailure(
                    "STAGE_ENDED", f"{self._peer} ended its stream.", subject=self._peer
                )
            raise reason from None

    async def _send(self, request: RequestT) -> None:
        await self._call.wait_for_connection()
        # Call.write would put INTERNAL, for good, in the place of the status of a stage that
        # has just ended the stream; one layer below, the stage's own status survives.
        await self._call._cython_call.send_serialized_message(request.SerializeToString())

    async def done_sending(self) -> None:
        """Half-close."""
        with contextlib.suppress(grpc.aio.BaseError, grpc.aio.AioRpcError):
            await self._call.done_writing()

    async def _reason(self) -> SensoriumError:
        status = await self._call.code()
        if status == grpc.StatusCode.OK:
            return InternalFailure(
                "STAGE_ENDED", f"{self._peer} ended its stream early.", subject=self._peer
            )
        return to_domain(
            grpc.aio.AioRpcError(
                status,
                await self._call.initial_metadata(),
                await self._call.trailing_metadata(),
                await self._call.details(),
            ),
            self._peer,
        )

    async def __aiter__(self) -> AsyncIterator[ResponseT]:
        try:
            async for response in self._call:
                if response.WhichOneof("event") == "error":
                    raise from_stream_error(response.error)
                yield response
        except grpc.aio.AioRpcError as error:
            raise to_domain(error, self._peer) from None


@contextlib.asynccontextmanager
async def call_stage(method: Any, scope: CallScope) -> AsyncIterator[StageStream[Any, Any]]:
    """Open a bidirectional stream; when the block ends, however it ends, so does the call."""
    name = _method_name(method)
    span, trace_metadata = telemetry.start_client_span(name)
    call = method(
        metadata=tuple({**scope.metadata(), **trace_metadata}.items()),
        timeout=scope.remaining_s(),
    )
    call.add_done_callback(lambda _: span.end())
    try:
        yield StageStream(call, name.split("/")[0])
    finally:
        # Dropping a call without cancel would leave the stage at work. No-op when done.
        call.cancel()


async def exchange(
    method: Any, scope: CallScope, requests: AsyncIterable[Any]
) -> AsyncGenerator[Any, None]:
    """Send all requests on one stream, half-close, and yield the events as they come.

    Raises SensoriumError, from the stage or from ``requests``; closing the
    iterator cancels the call.
    """

    async def body(emit: Emit[Any]) -> None:
        async with call_stage(method, scope) as stream, asyncio.TaskGroup() as group:

            async def send() -> None:
                async for request in requests:
                    await stream.send(request)
                await stream.done_sending()

            group.create_task(send())
            async for event in stream:
                await emit(event)

    async with contextlib.aclosing(duplex(body)) as events:
        async for event in events:
            yield event


async def call_unary(method: Any, request: Message, scope: CallScope) -> Any:
    """One unary call. Raises SensoriumError."""
    name = _method_name(method)
    span, trace_metadata = telemetry.start_client_span(name)
    try:
        return await method(
            request,
            metadata=tuple({**scope.metadata(), **trace_metadata}.items()),
            timeout=scope.remaining_s(),
        )
    except grpc.aio.AioRpcError as error:
        ours = to_domain(error, name.split("/")[0])
        telemetry.mark_failed(span, ours.reason)
        raise ours from None
    finally:
        span.end()


async def read_stage(method: Any, request: Message, scope: CallScope) -> AsyncGenerator[Any, None]:
    """One server-streaming call. Raises SensoriumError; closing the iterator cancels the call."""
    name = _method_name(method)
    span, trace_metadata = telemetry.start_client_span(name)
    call = method(
        request,
        metadata=tuple({**scope.metadata(), **trace_metadata}.items()),
        timeout=scope.remaining_s(),
    )
    call.add_done_callback(lambda _: span.end())
    try:
        async for response in call:
            yield response
    except grpc.aio.AioRpcError as error:
        raise to_domain(error, name.split("/")[0]) from None
    finally:
        call.cancel()


def _method_name(method: Any) -> str:
    raw: bytes | str = method._method
    return (raw.decode() if isinstance(raw, bytes) else raw).lstrip("/")
