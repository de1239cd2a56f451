"""The HTTP door on a real socket, in front of a few routes that need no model."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, cast

from fastapi import Request, WebSocket
from starlette.responses import StreamingResponse

from services.gateway.access.entrance import Entrance
from services.gateway.calls import GatewayCalls
from services.gateway.database.engine import Database
from services.gateway.http.app import build_app
from services.gateway.http.front import Front
from services.gateway.http.remote import RemoteFiles
from services.gateway.http.server import HttpServer
from services.gateway.metering.requests import metering_of
from services.runtime import telemetry
from services.runtime.settings import Settings
from services.runtime.telemetry import RecentSpans

HOST = b"Host: localhost\r\n"
CLOSE = b"Connection: close\r\n"
JSON = b"Content-Type: application/json\r\n"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back until the server closed; ``status`` 0 if nothing did."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, Any]:
        """The error that the body tells of."""
        told: dict[str, Any] = json.loads(self.body)["error"]
        return told

    @property
    def refusal(self) -> tuple[int, str]:
        """Status and reason."""
        return self.status, str(self.error["code"])


class Door:
    """A running server, its settings, and what its routes saw."""

    def __init__(self, server: HttpServer, recent: RecentSpans) -> None:
        self.server = server
        self.recent = recent
        self.streaming = 0
        """Open responses of /v1/endless and /v1/events."""
        self.seen: list[dict[str, str]] = []
        """Headers of the requests that came through to /v1/body, at the end of each."""

    async def send(self, *pieces: bytes, pause_s: float = 0.0) -> Answer:
        """Send bytes as they are and read until the server closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        reading = asyncio.create_task(read_all(reader))
        try:
            with contextlib.suppress(ConnectionError):
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(pause_s)
            return parse(await reading)
        finally:
            writer.close()

    async def get(self, path: str, headers: bytes = HOST) -> Answer:
        """Ask once."""
        return await self.send(b"GET %s HTTP/1.1\r\n" % path.encode() + headers + CLOSE + b"\r\n")

    async def post(self, path: str, body: bytes = b"{}", headers: bytes = HOST) -> Answer:
        """Post JSON once."""
        length = b"Content-Length: %d\r\n" % len(body)
        head = b"POST %s HTTP/1.1\r\n" % path.encode() + headers + CLOSE + JSON + length
        return await self.send(head + b"\r\n" + body)


async def read_all(reader: asyncio.StreamReader) -> bytes:
    """What a connection brings until it ends, in whatever way."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(1 << 16):
            received += data
    return received


def parse(received: bytes) -> Answer:
    """The answer in what was received."""
    head, _, body = received.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    if not received:
        return Answer(0, {}, b"")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:])
    return Answer(int(lines[0].split()[1]), headers, body)


@contextlib.asynccontextmanager
async def open_door(settings: Settings, calls: object = None) -> AsyncIterator[Door]:
    """Serve the gateway's application, with some routes that only read or write. ``calls`` stand
    for those of ``GatewayCalls`` that are made."""
    entrance = Entrance(metering_of(settings, Database(settings)))
    made = cast(GatewayCalls, calls)
    front = Front(made, entrance, settings, lambda: True, RemoteFiles(settings))
    app = build_app(front)
    server = HttpServer(settings)
    door = Door(server, telemetry.remember_spans(settings))

    @app.post("/v1/json")
    async def take_json(body: dict[str, Any]) -> dict[str, int]:
        return {"size": len(body)}

    @app.post("/v1/body")
    async def take_body(request: Request) -> dict[str, int]:
        size = 0
        async for piece in request.stream():
            size += len(piece)
        door.seen.append(dict(request.headers))
        return {"size": size}

    @app.post("/v1/late")
    async def answer_late(request: Request, after_s: float) -> dict[str, int]:
        size = len(await request.body())
        await asyncio.sleep(after_s)
        return {"size": size}

    @app.get("/v1/lengthy")
    async def end_late(after_s: float) -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"whole"
            await asyncio.sleep(after_s)

        return StreamingResponse(pieces(), headers={"Content-Length": "5"})

    @app.get("/v1/endless")
    async def endless() -> StreamingResponse:
        return StreamingResponse(repeat(b"x" * 65536, 0.0))

    @app.get("/v1/events")
    async def events() -> StreamingResponse:
        return StreamingResponse(repeat(b"data: 1\n\n", 0.02), media_type="text/event-stream")

    @app.get("/v1/broken")
    async def broken() -> None:
        raise ZeroDivisionError("a secret")

    @app.websocket("/v1/socket")
    async def socket(socket: WebSocket) -> None:
        await socket.accept()
        async for text in socket.iter_text():
            await socket.send_text(text)

    async def repeat(piece: bytes, pause_s: float) -> AsyncIterator[bytes]:
        door.streaming += 1
        try:
            while True:
                yield piece
                await asyncio.sleep(pause_s)
        finally:
            door.streaming -= 1

    server.open(app)
    try:
        yield door
    finally:
        await server.close()
