"""How HTTP requests end when the server shuts down."""

import asyncio
import contextlib

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.gateway.http.errors import error_body, error_response, to_client
from services.runtime.errors import Unavailable

RETRY_AFTER_S = 1.0
TELL_S = 1.0
"""How long a request that is cancelled may take to end."""
SERVICE_RESTART = 1012
"""WebSocket close code."""


class Draining:
    """Lets open requests end within a grace, tells those that did not, and refuses others."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._open: set[asyncio.Timeout] = set()
        self._ended = asyncio.Event()
        self.begun = False

    async def drain(self, grace_s: float) -> None:
        """Refuse from now on; returns when no request is open."""
        self.begun = True
        await self._none_open(grace_s)
        now_s = asyncio.get_running_loop().time()
        for limit in self._open:
            limit.reschedule(now_s)
        await self._none_open(TELL_S)

    async def _none_open(self, within_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self._open:
                    self._ended.clear()
                    await self._ended.wait()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or WebSocket."""
        end = _End(scope, receive, send)
        if self.begun:
            await end.tell()
            return
        try:
            async with asyncio.timeout(None) as limit:
                self._open.add(limit)
                try:
                    await self._app(scope, receive, end.send)
                finally:
                    self._open.discard(limit)
                    self._ended.set()
        except TimeoutError:
            if not limit.expired():
                raise
            await end.tell()


class _End:
    """Knows how far a response is, and so how it can still be told that the server shuts down."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._connection = (scope, receive, send)
        self._is_websocket = scope["type"] == "websocket"
        self._send = send
        self._started: Message | None = None

    async def send(self, message: Message) -> None:
        if message["type"] in ("http.response.start", "websocket.accept"):
            self._started = message
        await self._send(message)

    async def tell(self) -> None:
        error = to_client(
            Unavailable(
                "SHUTTING_DOWN", "The server is shutting down.", retry_after_s=RETRY_AFTER_S
            )
        )
        if self._started is None:
            await error_response(error)(*self._connection)
        elif self._is_websocket:
            await self._send({"type": "websocket.close", "code": SERVICE_RESTART})
        elif (
            Headers(raw=self._started["headers"])
            .get("content-type", "")
            .startswith("text/event-stream")
        ):
            event = f"data: {error_body(error).model_dump_json()}\n\n".encode()
            await self._send({"type": "http.response.body", "body": event, "more_body": False})
        # Of anything else the client sees that it is not whole.
