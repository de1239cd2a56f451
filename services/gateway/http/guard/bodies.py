"""How large a request's body may be, and how slowly it may come."""

import asyncio
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.gateway.http.errors import error_response, to_client
from services.runtime.errors import LimitExceeded, SensoriumError, TimedOut


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """``json_bytes`` bounds every body that is not a form with files, ``form_bytes`` those."""

    json_bytes: int
    form_bytes: int
    stall_s: float
    """Longest wait without a byte, in seconds."""
    rate_min: float
    """Bytes a second, over ``stall_s`` of waiting for the client."""


class Bodies:
    """Refuses bodies that are too large, by their word or in fact, or too slow.

    What reads the body gets LimitExceeded BODY_TOO_LARGE or TimedOut BODY_TOO_SLOW.
    """

    def __init__(self, app: ASGIApp, limits: BodyLimits) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; WebSockets have limits of their own."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        is_form = headers.get("content-type", "").lower().startswith("multipart/form-data")
        bytes_max = self._limits.form_bytes if is_form else self._limits.json_bytes
        stated = headers.get("content-length", "")
        try:
            if stated.isdecimal() and int(stated) > bytes_max:
                raise _too_large(bytes_max)
        except SensoriumError as error:
            await error_response(to_client(error))(scope, receive, send)
            return
        await self._app(scope, _Body(receive, bytes_max, self._limits).receive, send)


class _Body:
    """One body while it is read."""

    def __init__(self, receive: Receive, bytes_max: int, limits: BodyLimits) -> None:
        self._receive = receive
        self._bytes_max = bytes_max
        self._limits = limits
        self._size = 0
        self._ended = False
        self._waited_s = 0.0
        self._came = 0

    async def receive(self) -> Message:
        """The next message of the request."""
        if self._ended:
            # What may still come is the end of the connection.
            return await self._receive()
        loop = asyncio.get_running_loop()
        asked_s = loop.time()
        try:
            async with asyncio.timeout(self._limits.stall_s):
                message = await self._receive()
        except TimeoutError:
            raise _too_slow() from None
        if message["type"] == "http.request":
            self._ended = not message.get("more_body", False)
            self._count(len(message.get("body", b"")), loop.time() - asked_s)
        return message

    def _count(self, size: int, waited_s: float) -> None:
        self._size += size
        if self._size > self._bytes_max:
            raise _too_large(self._bytes_max)
        self._came += size
        self._waited_s += waited_s
        if self._waited_s >= self._limits.stall_s:
            if self._came < self._waited_s * self._limits.rate_min and not self._ended:
                raise _too_slow()
            self._waited_s, self._came = 0.0, 0


def _too_large(bytes_max: int) -> LimitExceeded:
    return LimitExceeded(
        "BODY_TOO_LARGE",
        f"The body may have {bytes_max} bytes; send media as files of multipart/form-data.",
        subject="body",
    )


def _too_slow() -> TimedOut:
    return TimedOut("BODY_TOO_SLOW", "The body comes too slowly; send it again.", subject="body")
