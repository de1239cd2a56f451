"""64 clients in one process, each with one sentence under way at a time."""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from sensorium.encode.v1 import encode_pb2, encode_pb2_grpc
from sensorium.media.v1 import media_pb2

from services.runtime.channel import open_channel
from tests.bench.sentences import sentences
from tests.bench.workers import Answer, answer_lines

# Of the model alone, and of the joint space that the platform makes of it.
_VECTOR_BYTES = (384 * 4, 768 * 4)
_CONFIG = encode_pb2.EncodeConfig(tasks=[encode_pb2.ENCODE_TASK_EMBED])
_CHANNELS = 4

Embed = Callable[[str], Awaitable[int]]
"""One sentence to the length of its vector, in bytes."""


class WrongAnswer(Exception):
    """The server gave something else than a vector."""


def _segment(text: str) -> media_pb2.MediaSegment:
    return media_pb2.MediaSegment(
        segment_id="bench/text/0",
        asset_id="bench",
        kind=media_pb2.SEGMENT_KIND_TEXT_PASSAGE,
        text=text,
    )


async def _unary_client(channel: grpc.aio.Channel) -> Embed:
    stub = encode_pb2_grpc.EncodeServiceStub(channel)

    async def embed(text: str) -> int:
        request = encode_pb2.EncodeRequest(config=_CONFIG, segments=[_segment(text)])
        response = await stub.Encode(request)
        return len(response.embeddings[0].embedding.data)

    return embed


async def _stream_client(channel: grpc.aio.Channel) -> Embed:
    call = encode_pb2_grpc.EncodeServiceStub(channel).StreamingEncode()
    await call.write(encode_pb2.StreamingEncodeRequest(config=_CONFIG))

    async def embed(text: str) -> int:
        await call.write(encode_pb2.StreamingEncodeRequest(segment=_segment(text)))
        length = 0
        async for event in _events(call):
            if event.WhichOneof("event") == "embedding":
                length = len(event.embedding.embedding.data)
            elif event.WhichOneof("event") == "segment_complete":
                break
        return length

    return embed


async def _events(call: Any) -> AsyncIterator[encode_pb2.StreamingEncodeResponse]:
    while (event := await call.read()) is not grpc.aio.EOF:
        yield event


async def _http_client(address: str) -> Embed:
    """A bare HTTP/1.1 client on one kept connection: as cheap as Python can have it."""
    host, _, port = address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))

    async def embed(text: str) -> int:
        body = json.dumps({"text": text}).encode()
        head = (
            f"POST /predict HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        answer_head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(answer_head.partition(b"content-length:")[2].split(b"\r\n")[0])
        vector = json.loads(await reader.readexactly(length))["embedding"]
        return len(vector) * 4

    return embed


async def _run(request: dict[str, Any]) -> dict[str, Any]:
    address, client_count = request["address"], request["clients"]
    per_client = request["count"] // client_count
    texts = sentences(request["seed"])
    shares = [list(itertools.islice(texts, per_client)) for _ in range(client_count)]
    channels = [open_channel(address) for _ in range(_CHANNELS)]
    try:
        clients = [
            await _open(request["protocol"], address, channels[index % _CHANNELS])
            for index in range(client_count)
        ]
        await asyncio.gather(*(client("A first sentence to connect with.") for client in clients))
        started = time.perf_counter()
        await asyncio.gather(*map(_work, clients, shares))
        return {"seconds": time.perf_counter() - started, "count": per_client * client_count}
    finally:
        for channel in channels:
            await channel.close()


async def _open(protocol: str, address: str, channel: grpc.aio.Channel) -> Embed:
    match protocol:
        case "unary":
            return await _unary_client(channel)
        case "stream":
            return await _stream_client(channel)
        case _:
            return await _http_client(address)


async def _work(embed: Embed, texts: list[str]) -> None:
    for text in texts:
        if await embed(text) not in _VECTOR_BYTES:
            raise WrongAnswer


def main() -> Answer:
    """Ready at once: connections are made for each request."""
    return lambda request: asyncio.run(_run(request))


if __name__ == "__main__":
    answer_lines(main)
