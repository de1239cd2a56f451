"""Several requests on one connection."""

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
