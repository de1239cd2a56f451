"""Stored bytes on their way back, over a real channel."""

import asyncio
import hashlib
import os
from typing import Any

import pytest
from sensorium.ingest.v1 import ingest_pb2

from services.ingest.reading import BLOCK_BYTES, PIECE_BYTES
from tests import media
from tests.contract.ingest.conftest import Ingest, whole
from tests.contract.ingest.test_thumbnail import refused

CONTENT = media.wav(media.noise(80, 0.2 * 32768))
"""Two and a half blocks."""
_LONG_ENOUGH_S = 0.3
"""To read all of it several times over."""


def read(ingest: Ingest, asset_id: str = "a", tenant: str = "default", **wanted: Any) -> Any:
    request = ingest_pb2.ReadAssetRequest(asset_id=asset_id, **wanted)
    return ingest.stub.ReadAsset(request, metadata=(("sensorium-tenant", tenant),))


async def test_whole_it_is_what_was_sent(ingest: Ingest) -> None:
    await ingest.send(whole("a", CONTENT, "noise.wav"))
    assert len(CONTENT) > 2 * BLOCK_BYTES
    first, *rest = [response async for response in read(ingest)]
    content = first.content
    assert (content.asset_id, content.name, content.rendition) == ("a", "noise.wav", "")
    assert (content.mime_type, content.size_bytes) == ("audio/wav", len(CONTENT))
    assert content.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert b"".join(response.chunk.data for response in rest) == CONTENT
    position = 0
    for response in rest:
        assert response.chunk.offset == position
        assert 0 < len(response.chunk.data) <= PIECE_BYTES
        position += len(response.chunk.data)


async def test_a_range_is_those_bytes_and_no_others(ingest: Ingest) -> None:
    size = len(CONTENT)
    await ingest.send(whole("a", CONTENT))
    edges = (0, 1, PIECE_BYTES, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, size - 1, size)
    for offset in edges:
        for length in (1, PIECE_BYTES, BLOCK_BYTES, BLOCK_BYTES + 1, size, 2 * size):
            first, *rest = [r async for r in read(ingest, offset=offset, length=length)]
            assert first.content.size_bytes == size
            got = b"".join(response.chunk.data for response in rest)
            assert got == CONTENT[offset : offset + length], (offset, length)


async def test_what_cannot_be_read_says_why(ingest: Ingest) -> None:
    sent = await ingest.send(whole("a", CONTENT))
    past = ("OUT_OF_RANGE", "RANGE_PAST_END", "offset")
    assert await refused(read(ingest, offset=len(CONTENT) + 1).read()) == past
    nobody = ("NOT_FOUND", "ASSET_NOT_FOUND", "nobody")
    assert await refused(read(ingest, "nobody").read()) == nobody
    other = ("NOT_FOUND", "ASSET_NOT_FOUND", "a")
    assert await refused(read(ingest, tenant="other").read()) == other
    unmade = ("NOT_FOUND", "RENDITION_NOT_FOUND", "rendition")
    assert await refused(read(ingest, rendition="thumbnail").read()) == unmade
    blob = ingest.blob(sent.asset.sha256)
    os.truncate(blob, BLOCK_BYTES + 10)
    call = read(ingest)
    for _ in range(1 + BLOCK_BYTES // PIECE_BYTES):
        await call.read()
    assert await refused(call.read()) == ("INTERNAL", "CONTENT_DAMAGED", "a")
    blob.unlink()
    call = read(ingest)
    await call.read()
    assert await refused(call.read()) == ("NOT_FOUND", "ASSET_NOT_FOUND", "a")


async def until_steady(reads: list[int]) -> None:
    """Wait until no more is read."""
    count = 0
    while len(reads) > count:
        count = len(reads)
        await asyncio.sleep(_LONG_ENOUGH_S)


async def test_a_reader_that_does_not_read_stops_the_store(
    ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No more is read than fits the windows; after a cancel nothing at all."""
    await ingest.send(whole("a", CONTENT * 8))
    ends: list[int] = []
    from_store = ingest.engine.store.read

    def counted(tenant: str, sha256: str, start: int, end: int) -> bytes:
        ends.append(end)
        return from_store(tenant, sha256, start, end)

    monkeypatch.setattr(ingest.engine.store, "read", counted)
    call = read(ingest)
    await call.read()
    await call.read()
    await until_steady(ends)
    assert 0 < max(ends) < len(CONTENT) * 4
    call.cancel()
    stopped = len(ends)
    await asyncio.sleep(_LONG_ENOUGH_S)
    assert len(ends) <= stopped + 1
