"""Server-sent events: what goes wrong in mid-stream is told, and a client that leaves ends it."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import openai
import pytest
from fastapi import FastAPI
from openai import AsyncOpenAI
from pydantic import BaseModel
from starlette.requests import ClientDisconnect, Request

from services.gateway.http import errors, sse
from services.gateway.http.server import HttpServer
from services.runtime.errors import Unavailable
from tests.harness import make_settings


class Word(BaseModel):
    """What a stream is made of here."""

    text: str


class Stream:
    """A server whose one path sends a word and then does what the test says."""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.closed = asyncio.Event()
        self.url = ""

    async def rest(self, request: Request) -> AsyncGenerator[bytes, None]:
        try:
            if self.failure:
                raise self.failure
            body_read = asyncio.Event()
            body_read.set()
            with contextlib.suppress(ClientDisconnect):
                await sse.raise_when_gone(request, body_read)
            yield sse.DONE
        finally:
            self.closed.set()


@pytest.fixture
async def stream(tmp_path: Path) -> AsyncIterator[Stream]:
    serving = Stream()
    app = FastAPI()
    errors.install(app)

    @app.post("/v1/chat/completions")
    async def answer(request: Request) -> sse.EventStream:
        await request.body()
        return sse.EventStream(sse.event(Word(text="a")), serving.rest(request))

    server = HttpServer(make_settings(tmp_path))
    server.open(app)
    serving.url = f"http://127.0.0.1:{server.port}/v1"
    yield serving
    await server.close()


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (Unavailable("STAGE_UNAVAILABLE", "Encode cannot be reached.", subject="encode"), None),
        (RuntimeError("at 0x7f, in /srv/secret.py"), "INTERNAL"),
    ],
)
async def test_a_failure_in_mid_stream_is_raised_by_the_client(
    stream: Stream, failure: Exception, code: str | None
) -> None:
    stream.failure = failure
    async with AsyncOpenAI(base_url=stream.url, api_key="none", max_retries=0) as client:
        chunks = await client.chat.completions.create(model="m", messages=[], stream=True)
        seen = []
        with pytest.raises(openai.APIError) as told:
            async for chunk in chunks:
                seen.append(chunk)
    assert len(seen) == 1
    assert told.value.code == (code or "STAGE_UNAVAILABLE")
    assert "secret" not in str(told.value.body)
    assert stream.closed.is_set()


async def test_a_client_that_leaves_ends_the_work(stream: Stream) -> None:
    async with AsyncOpenAI(base_url=stream.url, api_key="none", max_retries=0) as client:
        chunks = await client.chat.completions.create(model="m", messages=[], stream=True)
        await anext(aiter(chunks))
        assert not stream.closed.is_set()
        await chunks.close()
        async with asyncio.timeout(30):
            await stream.closed.wait()
