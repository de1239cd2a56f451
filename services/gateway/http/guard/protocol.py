"""The limits of a connection that a request cannot know of: uvicorn's protocol sets none of them.

idle -> head (deadline, size) -> request -> lingering, where it is answered before it is read
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from services.gateway.http.errors import error_body, error_response
from services.runtime.errors import (
    InvalidInput,
    LimitExceeded,
    SensoriumError,
    TimedOut,
    Unavailable,
)

URL_BYTES_MAX = 8 << 10
HEAD_BYTES_MAX = 32 << 10
HEADER_COUNT_MAX = 100
FRAMING_SHARE_MAX = 16
"""Bytes of chunked framing for each byte of a body: a chunk of one byte has five."""
PIPELINED_MAX = 16
LINGER_S = 2.0
"""How long the rest of a request that is already answered is read, so that the answer arrives."""
RETRY_AFTER_S = 1.0


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """See the settings of the same names."""

    connections_max: int
    stall_s: float
    keep_alive_s: float


class _Refused(Exception):
    """Ends the parsing of a head; the refusal is with the protocol."""


class _Watch:
    """At most one thing that happens unless something else does first."""

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None

    def set(self, seconds: float, action: Callable[[], None]) -> None:
        self.clear()
        self._timer = asyncio.get_running_loop().call_later(seconds, action)

    def clear(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None


class _MustRead(asyncio.Protocol):
    """Hangs up on a client that does not read; beside a protocol of uvicorn."""

    transport: asyncio.Transport
    _limits: ConnectionLimits
    _unread: _Watch

    def connection_lost(self, exc: Exception | None) -> None:
        """No timer outlives it."""
        self._unread.clear()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The client does not read: it may for so long."""
        super().pause_writing()
        self._unread.set(self._limits.stall_s, self.transport.abort)

    def resume_writing(self) -> None:
        """The client has read on."""
        self._unread.clear()
        super().resume_writing()


class GuardedProtocol(_MustRead, HttpToolsProtocol):
    """One connection. What is wrong with a head is answered with a typed error and the end of the
    connection; a client that does not read is hung up on."""

    def __init__(self, limits: ConnectionLimits, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._limits = limits
        self._linger_s = min(LINGER_S, limits.stall_s)
        self._watch = _Watch()
        self._unread = _Watch()
        self._in_head = True
        self._complete = True
        """Whether all of the latest request was read."""
        self._head_bytes = 0
        self._framing_bytes = 0
        self._body_bytes = 0
        self._crowded = False
        self._refusal = _MALFORMED
        self._refused = False

    # --- the connection ----------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """One more, or one too many: that is told to as many again, and not to those beyond."""
        super().connection_made(transport)
        count = len(self.connections)
        if count > 2 * self._limits.connections_max:
            transport.abort()
        elif count > self._limits.connections_max:
            self._crowded = True
            self.app = _too_many
        self._watch.set(self._limits.stall_s, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """No timer outlives it."""
        self._watch.clear()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse, and see that what is not of a body stays small."""
        if self._refused:
            return
        in_body, body_bytes = not (self._in_head or self._complete), self._body_bytes
        super().data_received(data)
        if self._refused or self.transport.is_closing():
            return
        if self._in_head:
            # The parser keeps a header until it is whole.
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX:
                self._refuse(431, _HEAD_TOO_LARGE)
        elif in_body and self._body_bytes >= body_bytes:
            self._framing_bytes += len(data) - (self._body_bytes - body_bytes)
            if self._framing_bytes > HEAD_BYTES_MAX + FRAMING_SHARE_MAX * self._body_bytes:
                self._refuse(400, _MALFORMED[1])

    def _close(self) -> None:
        """Close, and do not wait for ever until what was written is read."""
        self.transport.close()
        self._watch.set(self._limits.stall_s, self.transport.abort)

    # --- the parser's callbacks ----------------------------------------------------------

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._in_head, self._complete = True, False
        self._head_bytes = self._framing_bytes = self._body_bytes = 0
        self._watch.set(self._limits.stall_s, self._head_late)

    def on_url(self, url: bytes) -> None:
        """A piece of the path and the query."""
        super().on_url(url)
        if len(self.url) > URL_BYTES_MAX:
            self._refuse_head(414, _URL_TOO_LONG)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header. One that follows a chunked body is none: it could pass for what was checked."""
        if not self._in_head:
            return
        super().on_header(name, value)
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if len(self.headers) > HEADER_COUNT_MAX or size > HEAD_BYTES_MAX:
            self._refuse_head(431, _HEAD_TOO_LARGE)

    def on_headers_complete(self) -> None:
        """The request begins, or waits for the one before it."""
        self._in_head = False
        self._watch.clear()
        if len(self.pipeline) >= PIPELINED_MAX:
            self._refuse_head(400, _TOO_MANY_PIPELINED)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """All of the request is read."""
        self._complete = True
        super().on_message_complete()
        if self.cycle and self.cycle.response_complete:
            self._await_next()

    def on_response_complete(self) -> None:
        """All of the response is written, perhaps before the request was read, or after the
        next one came: a client that knows the length need not wait for the end."""
        next_came = bool(self.pipeline) or (self._in_head and not self._complete)
        super().on_response_complete()
        if self.transport.is_closing():
            self._watch.set(self._limits.stall_s, self.transport.abort)
        elif next_came:
            return
        elif not self._complete:
            self._watch.set(self._linger_s, self._close)
        else:
            self._await_next()

    def _await_next(self) -> None:
        self._watch.set(0.0 if self._crowded else self._limits.keep_alive_s, self._close)

    def handle_websocket_upgrade(self) -> None:
        """The connection becomes a WebSocket, which has its own protocol."""
        if self._crowded:
            self._refuse(503, _TOO_MANY)
            return
        self._watch.clear()
        super().handle_websocket_upgrade()

    # --- refusals -------------------------------------------------------------------------

    def _head_late(self) -> None:
        self._refuse(408, _HEAD_LATE)

    def _refuse_head(self, status: int, error: SensoriumError) -> None:
        self._refusal = (status, error)
        raise _Refused

    def send_400_response(self, msg: str) -> None:
        """The parser has stopped, by itself or by a callback's refusal."""
        self._refuse(*self._refusal)

    def _refuse(self, status: int, error: SensoriumError) -> None:
        """Answer without a request, and read on for a moment so that the answer arrives."""
        if self.cycle and not self.cycle.response_complete:
            # It would come in the middle of another.
            self.transport.abort()
            return
        self._refused = True
        body = error_body(error).model_dump_json().encode()
        headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
        headers.append((b"content-length", str(len(body)).encode()))
        if error.retry_after_s is not None:
            headers.append((b"retry-after", b"%d" % error.retry_after_s))
        lines = [
            b"%s: %s\r\n" % header for header in (*self.server_state.default_headers, *headers)
        ]
        self.transport.write(b"".join([STATUS_LINE[status], *lines, b"\r\n", body]))
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self._watch.set(self._linger_s, self.transport.abort)
        else:
            self._close()


class GuardedWebSocket(_MustRead, WebSocketsSansIOProtocol):
    """A WebSocket whose client must read too, and that a shutdown leaves to ``Draining``."""

    def __init__(self, limits: ConnectionLimits, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._limits = limits
        self._unread = _Watch()

    def shutdown(self) -> None:
        """Nothing yet: what is being answered may end within the grace."""


async def _too_many(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers on a connection that is one too many."""
    await error_response(_TOO_MANY)(scope, receive, send)


_MALFORMED: tuple[int, SensoriumError] = (
    400,
    InvalidInput("REQUEST_MALFORMED", "This is not HTTP/1.1 as it should be."),
)
_URL_TOO_LONG = LimitExceeded(
    "URL_TOO_LONG", f"Path and query may have {URL_BYTES_MAX} bytes.", subject="url"
)
_HEAD_TOO_LARGE = LimitExceeded(
    "HEADERS_TOO_LARGE",
    f"A request may have {HEADER_COUNT_MAX} headers, of {HEAD_BYTES_MAX} bytes together.",
    subject="headers",
)
_HEAD_LATE = TimedOut(
    "HEADERS_TOO_SLOW", "The headers come too slowly; send them again.", subject="headers"
)
_TOO_MANY_PIPELINED = LimitExceeded(
    "TOO_MANY_PIPELINED", f"At most {PIPELINED_MAX} requests may wait on one connection."
)
_TOO_MANY = Unavailable(
    "TOO_MANY_CONNECTIONS",
    "All connections are taken; try again in a moment.",
    retry_after_s=RETRY_AFTER_S,
)
