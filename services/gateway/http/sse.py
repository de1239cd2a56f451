"""Server-sent events (WHATWG HTML, section 9.2), as OpenAI's API sends them."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Protocol

from pydantic import BaseModel
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from services.gateway.http.errors import error_body, to_client
from services.runtime.streams import Emit, duplex, first_error

DONE = b"data: [DONE]\n\n"
JSON = "application/json"
CLIENT_CLOSED_REQUEST = 499
"""nginx's status for a client that is gone; nobody sees it but the metrics."""


def event(message: BaseModel) -> bytes:
    """A message as one event."""
    return b"data: " + message.__pydantic_serializer__.to_json(message) + b"\n\n"


class EventStream(Response):
    """Events as they come. What goes wrong meanwhile is told as a last event, which holds an
    ``ErrorBody``: OpenAI's clients raise it."""

    media_type = "text/event-stream"

    def __init__(self, first: bytes, rest: AsyncGenerator[bytes, None]) -> None:
        """``first`` is sent with the headers; closing ``rest`` ends the work behind it."""
        # Proxies such as nginx would gather events otherwise.
        super().__init__(headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._first = first
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send them."""

        async def send_piece(piece: bytes, *, more: bool = True) -> None:
            await send({"type": "http.response.body", "body": piece, "more_body": more})

        async with aclosing(self._rest):
            await send(
                {
                    "type": "http.response.start",
                    "status": self.status_code,
                    "headers": self.raw_headers,
                }
            )
            await send_piece(self._first)
            try:
                async for piece in self._rest:
                    await send_piece(piece)
            except ClientDisconnect:
                return
            except Exception as error:  # noqa: BLE001 - the boundary: nothing foreign leaves
                await send_piece(event(error_body(to_client(error))))
        await send_piece(b"", more=False)


class Work(Protocol):
    """Answers one request. By its first piece it is known whether it is ``streamed``."""

    streamed: bool
    """Whether the pieces are events; if not, the first is the whole body."""
    media_type: str
    """Of a body that is not streamed."""

    async def run(self, emit: Emit[bytes]) -> None:
        """Emit what is to be sent. Raises SensoriumError, or ClientDisconnect when the client
        goes away."""
        ...


async def respond(work: Work) -> Response:
    """The response of a request. It begins with the first piece, so what fails before that has a
    status of its own."""
    pieces = duplex(work.run)
    try:
        first = await anext(pieces)
    except ClientDisconnect:
        return Response(status_code=CLIENT_CLOSED_REQUEST)
    if work.streamed:
        return EventStream(first, pieces)
    await pieces.aclose()
    return Response(first, media_type=work.media_type)


@asynccontextmanager
async def while_there(
    request: Request, body_read: asyncio.Event | None = None
) -> AsyncIterator[None]:
    """Ends the block with ClientDisconnect when the client goes away. That is seen only once the
    body is read: by now, or when it is told."""
    try:
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(raise_when_gone(request, body_read))
            yield
            watching.cancel()
    except BaseExceptionGroup as errors:
        raise first_error(errors) from None


async def raise_when_gone(request: Request, body_read: asyncio.Event | None) -> None:
    """Raise ClientDisconnect when the client is gone; see ``while_there``."""
    if body_read:
        await body_read.wait()
    while (await request.receive())["type"] != "http.disconnect":
        pass
    raise ClientDisconnect
