"""A real ingest server on a loopback port, and a small client for it."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from sensorium.ingest.v1 import ingest_pb2, ingest_pb2_grpc
from sensorium.media.v1 import media_pb2, stream_pb2, upload_pb2

from services.ingest.engine import IngestEngine
from services.ingest.records import Keys
from services.ingest.stage import build_engine, stage_of
from services.runtime.settings import Settings
from tests.harness import make_settings, serve_stage

Request = ingest_pb2.StreamingIngestRequest
Response = ingest_pb2.StreamingIngestResponse


@dataclass
class Events:
    """What a stream answered."""

    responses: list[Response] = field(default_factory=list)

    def of(self, kind: str) -> list[Any]:
        """The events of one kind, in order."""
        return [getattr(r, kind) for r in self.responses if r.WhichOneof("event") == kind]

    @property
    def segments(self) -> list[media_pb2.MediaSegment]:
        """The segments, in order."""
        return self.of("segment")

    @property
    def asset(self) -> media_pb2.Asset:
        """The only asset that was committed."""
        (asset,) = self.of("asset")
        assert isinstance(asset, media_pb2.Asset)
        return asset

    @property
    def error(self) -> stream_pb2.StreamError:
        """The error of the only asset that failed."""
        (failed,) = self.of("item_error")
        assert isinstance(failed, stream_pb2.ItemError)
        return failed.error


def config(**options: Any) -> Request:
    """The first message."""
    return Request(config=ingest_pb2.IngestConfig(**options))


def start(asset_id: str, name: str = "", size_bytes: int = 0, **more: Any) -> Request:
    """Announce an asset; ``more`` are further fields."""
    announcement = upload_pb2.AssetStart(
        asset_id=asset_id, name=name, size_bytes=size_bytes, **more
    )
    return Request(asset_start=announcement)


def chunks(asset_id: str, content: bytes, offset: int = 0, size: int = 65536) -> list[Request]:
    """The bytes from ``offset`` on."""
    return [
        Request(
            chunk=upload_pb2.MediaChunk(asset_id=asset_id, offset=at, data=content[at : at + size])
        )
        for at in range(offset, len(content), size)
    ]


def finish(asset_id: str, content: bytes, sha256: str | None = None) -> Request:
    """End an asset; with the right hash unless another is given."""
    sha256 = hashlib.sha256(content).hexdigest() if sha256 is None else sha256
    ending = upload_pb2.AssetFinish(asset_id=asset_id, size_bytes=len(content), sha256=sha256)
    return Request(asset_finish=ending)


def whole(asset_id: str, content: bytes, name: str = "") -> list[Request]:
    """All messages of one asset."""
    return [start(asset_id, name), *chunks(asset_id, content), finish(asset_id, content)]


@dataclass
class Ingest:
    """The server's engine and a client."""

    engine: IngestEngine
    stub: Any
    data_dir: Path

    def open(self, tenant: str = "default") -> Any:
        """A stream to write to and read from by hand."""
        return self.stub.StreamingIngest(metadata=(("sensorium-tenant", tenant),))

    async def send(
        self, messages: Iterable[Request], tenant: str = "default", **options: Any
    ) -> Events:
        """Send a whole stream; everything that came back."""
        call = self.open(tenant)

        async def write() -> None:
            await call.write(config(**options))
            for message in messages:
                await call.write(message)
            await call.done_writing()

        writing = asyncio.create_task(write())
        events = Events([response async for response in call])
        await writing
        return events

    async def failing(self, messages: Iterable[Request], **options: Any) -> stream_pb2.StreamError:
        """Send a stream that must fail as a whole; the error event."""
        call = self.open()
        await call.write(config(**options))
        for message in messages:
            await call.write(message)
        await call.done_writing()
        events = Events()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for response in call:
                events.responses.append(response)
        (error,) = events.of("error")
        assert isinstance(error, stream_pb2.StreamError)
        assert caught.value.code().value[0] == error.code
        return error

    async def until(self, call: Any, kind: str) -> Events:
        """Read up to and with the first event of a kind."""
        events = Events()
        while not events.of(kind):
            events.responses.append(await call.read())
        return events

    def parts(self) -> list[str]:
        """Names of the files in the spool."""
        return sorted(path.name for path in self.data_dir.glob("uploads/*/*"))

    def blob(self, sha256: str) -> Path:
        """The file that holds the bytes of an asset of the default tenant."""
        return self.data_dir / "media" / Keys("default").blob(sha256)

    def visible(self) -> list[str]:
        """Names of the files in the media store."""
        return sorted(path.name for path in self.data_dir.glob("media/**/*") if path.is_file())


@contextlib.asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[Ingest]:
    """Run the server with settings of a test's own."""
    engine = build_engine(settings)
    async with serve_stage(stage_of(engine), settings) as channel:
        yield Ingest(engine, ingest_pb2_grpc.IngestServiceStub(channel), settings.data_dir)


@pytest.fixture
async def ingest(tmp_path: Path) -> AsyncIterator[Ingest]:
    async with serving(make_settings(tmp_path, cpu_threads=1, renditions="none")) as running:
        yield running
