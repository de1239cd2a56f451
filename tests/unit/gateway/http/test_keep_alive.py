"""Several requests on one connection, and several writes in one response."""

import socket
from pathlib import Path

import httpx2
from fastapi import FastAPI, Request

from services.gateway.http.server import HttpServer
from tests.harness import make_settings


async def test_a_small_body_may_follow_a_large_one(tmp_path: Path) -> None:
    app = FastAPI()

    @app.post("/")
    async def size(request: Request) -> int:
        return len(await request.body())

    server = HttpServer(make_settings(tmp_path))
    server.open(app)
    try:
        async with httpx2.AsyncClient(base_url=server.url) as client:
            sizes = [(await client.post("/", content=b"x" * n)).json() for n in (300_000, 10, 0)]
    finally:
        await server.close()
    assert sizes == [300_000, 10, 0]


async def test_what_is_written_does_not_wait_for_an_acknowledgement(tmp_path: Path) -> None:
    server = HttpServer(make_settings(tmp_path))
    app = FastAPI()

    @app.get("/")
    async def at_once() -> list[bool]:
        assert server._open
        sockets = [
            connection.transport.get_extra_info("socket")
            for connection in server._open.server.server_state.connections
        ]
        return [bool(each.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)) for each in sockets]

    server.open(app)
    try:
        async with httpx2.AsyncClient(base_url=server.url) as client:
            at_once_each = (await client.get("/")).json()
    finally:
        await server.close()
    assert at_once_each == [True]
