"""A client that leaves ends the work of its request, also where nothing is streamed to it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.gateway.http.door import HOST, JSON, open_door
from tests.harness import make_settings

FORM = b"Content-Type: multipart/form-data; boundary=x\r\n"
FILE = (
    b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n'
    b"words\r\n--x--\r\n"
)


class EndlessCalls:
    """Calls of the gateway that begin and never end by themselves."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.ended = asyncio.Event()

    async def embed(self, scope: object, request: object) -> None:
        """See ``GatewayCalls``, as for the others."""
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.set()

    moderate = search = embed

    async def upload(
        self,
        scope: object,
        config: object,
        messages: AsyncIterator[Any],
        *,
        words_awaited: bool = False,
    ) -> AsyncIterator[Any]:
        """Takes the file in and does not finish it."""
        async for _ in messages:
            pass
        await self.embed(scope, config)
        yield


@pytest.mark.parametrize(
    ("path", "headers", "body"),
    [
        (b"/v1/embeddings", JSON, b'{"input": "words"}'),
        (b"/v1/moderations", JSON, b'{"input": "words"}'),
        (b"/v1/search", JSON, b'{"query": {"type": "text", "content": "words"}}'),
        (b"/v1/files", FORM, FILE),
    ],
)
async def test_a_client_that_leaves_ends_the_work(
    tmp_path: Path, path: bytes, headers: bytes, body: bytes
) -> None:
    calls = EndlessCalls()
    async with open_door(make_settings(tmp_path), calls) as door, asyncio.timeout(60):
        _, writer = await asyncio.open_connection("127.0.0.1", door.server.port)
        length = b"Content-Length: %d\r\n\r\n" % len(body)
        writer.write(b"POST %s HTTP/1.1\r\n" % path + HOST + headers + length + body)
        await calls.begun.wait()
        assert not calls.ended.is_set()
        writer.close()
        await calls.ended.wait()
