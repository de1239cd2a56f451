"""MB/s of a store-only upload, hashed and synced, beside a bare gRPC sink and the disk alone."""

import asyncio
import hashlib
import io
import os
import time
import wave
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from uuid import uuid4

from sensorium.ingest.v1 import ingest_pb2, ingest_pb2_grpc
from sensorium.media.v1 import upload_pb2

from services.runtime.channel import open_channel
from tests.bench.estimates import paired_ratio
from tests.bench.results import Plan, Row
from tests.bench.servers import Server, serving
from tests.bench.workers import working

TARGET = 0.5
SIZE_BYTES = 256 << 20
CHUNK_BYTES = 64 << 10
_MEGABYTE = 1e6
Request = ingest_pb2.StreamingIngestRequest


async def run(plan: Plan) -> list[Row]:
    """The three in turn, other bytes each time."""
    rates: dict[str, list[float]] = {"ingest": [], "sink": [], "disk": []}
    cpu_s: list[float] = []
    async with (
        serving(plan.folder, "ingest") as server,
        working(plan.folder, "sink") as sink,
    ):
        sink_address = f"127.0.0.1:{sink.greeting['port']}"
        content = _content()
        for index in range(plan.repeats + 1):
            content[64:80] = os.urandom(16)
            content[-16:] = os.urandom(16)
            sha256 = hashlib.sha256(content).hexdigest()
            used_s = server.cpu_seconds()
            seconds = {
                "ingest": await _upload(server.address, content, sha256),
                "sink": await _upload(sink_address, content, sha256),
                "disk": await asyncio.to_thread(_write, server.data_dir / "alone", content),
            }
            _forget(server)
            if not index:
                continue  # warms up
            cpu_s.append(server.cpu_seconds() - used_s)
            for name, elapsed_s in seconds.items():
                rates[name].append(len(content) / _MEGABYTE / elapsed_s)
            plan.say(
                f"{index}/{plan.repeats}: "
                + ", ".join(f"{name} {values[-1]:.0f} MB/s" for name, values in rates.items())
            )
    return [_row(rates, cpu_s)]


def _content() -> bytearray:
    """Random bytes behind the header of a WAV file of 23 minutes."""
    header = io.BytesIO()
    with wave.open(header, "wb") as output:
        output.setnchannels(2)
        output.setsampwidth(2)
        output.setframerate(48_000)
        output.setnframes((SIZE_BYTES - 44) // 4)
        output.writeframesraw(b"")
    head = bytearray(header.getvalue()[:44])
    head[4:8] = (SIZE_BYTES - 8).to_bytes(4, "little")
    head[40:44] = (SIZE_BYTES - 44).to_bytes(4, "little")
    return head + bytearray(os.urandom(SIZE_BYTES - len(head)))


async def _upload(address: str, content: bytearray, sha256: str) -> float:
    """Seconds from the first chunk to the asset, which is when it is durable."""
    async with open_channel(address) as channel:
        await channel.channel_ready()
        call = ingest_pb2_grpc.IngestServiceStub(channel).StreamingIngest()
        asset_id = uuid4().hex
        await call.write(Request(config=ingest_pb2.IngestConfig(store_only=True)))
        start = upload_pb2.AssetStart(asset_id=asset_id, name="noise.wav", size_bytes=len(content))
        await call.write(Request(asset_start=start))
        started = time.perf_counter()

        async def send() -> None:
            for request in _chunks(asset_id, content):
                await call.write(request)
            finish = upload_pb2.AssetFinish(
                asset_id=asset_id, size_bytes=len(content), sha256=sha256
            )
            await call.write(Request(asset_finish=finish))

        sender = asyncio.create_task(send())
        async for response in call:
            kind = response.WhichOneof("event")
            if kind in ("item_error", "error"):
                raise RuntimeError(str(response))
            if kind == "asset":
                break
        elapsed_s = time.perf_counter() - started
        await sender
        await call.done_writing()
        async for _ in call:
            pass
        return elapsed_s


def _chunks(asset_id: str, content: bytearray) -> Iterator[Request]:
    view = memoryview(content)
    for offset in range(0, len(content), CHUNK_BYTES):
        data = bytes(view[offset : offset + CHUNK_BYTES])
        yield Request(chunk=upload_pb2.MediaChunk(asset_id=asset_id, offset=offset, data=data))


def _write(path: Path, content: bytearray) -> float:
    """Seconds to hash and write a file by the same chunks and to sync it once."""
    started = time.perf_counter()
    hasher = hashlib.sha256()
    view = memoryview(content)
    with path.open("wb") as file:
        for offset in range(0, len(content), CHUNK_BYTES):
            chunk = view[offset : offset + CHUNK_BYTES]
            hasher.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    hasher.hexdigest()
    return time.perf_counter() - started


def _forget(server: Server) -> None:
    """Make room: a run leaves two files of 256 MiB."""
    for path in server.data_dir.rglob("*"):
        if path.is_file() and path.stat().st_size >= SIZE_BYTES:
            path.unlink()


def _row(rates: dict[str, list[float]], cpu_s: list[float]) -> Row:
    slower = [min(pair) for pair in zip(rates["sink"], rates["disk"], strict=True)]
    ratio = paired_ratio(rates["ingest"], slower)
    notes = [
        f"256 MiB in chunks of 64 KiB; {median(cpu_s) * 1000 / (SIZE_BYTES / 2**20):.1f} ms of "
        "the server's CPU a MiB; the client sends from one process on the same cores"
    ]
    if ratio.median < TARGET:
        notes.insert(0, f"missed by {TARGET - ratio.median:.2g}")
    return Row(
        name="ingest, store only",
        measured=f"{median(rates['ingest']):.0f} MB/s",
        against=f"bare gRPC sink {median(rates['sink']):.0f}, disk {median(rates['disk']):.0f}; "
        "the slower",
        ratio=ratio,
        target=f"≥ {TARGET}",
        met=ratio.median >= TARGET,
        notes=notes,
        samples={f"{name}_megabytes_per_s": values for name, values in rates.items()},
    )
