"""Real servers on loopback ports for tests."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import grpc

from services.runtime.channel import open_channel
from services.runtime.server import BuildStage, Stage, StageServer, hosting
from services.runtime.settings import Settings


def make_settings(folder: Path, **changes: object) -> Settings:
    """Settings of a server that keeps its data under ``folder`` and takes a free port."""
    values: dict[str, object] = {
        "port": 0,
        "http_port": 0,
        "data_dir": folder / "data",
        "drain_grace_s": 0.2,
        # An answer that is sent again would pass by what most tests are about.
        "response_cache_bytes": 0,
    }
    return Settings.model_validate({**values, **changes})


@contextlib.asynccontextmanager
async def serve_stage(
    stage: Stage, settings: Settings | None = None
) -> AsyncIterator[grpc.aio.Channel]:
    """Host one stage that is already built, started, and yield a channel to it."""
    server = StageServer("127.0.0.1:0", settings or Settings(port=0))
    await server.open([stage])
    await server.start_stages()
    try:
        async with open_channel(f"127.0.0.1:{server.port}") as channel:
            yield channel
    finally:
        await server.close()


@contextlib.asynccontextmanager
async def serve_all(
    builders: dict[str, BuildStage], settings: Settings
) -> AsyncIterator[tuple[grpc.aio.Channel, Settings]]:
    """Host several stages on one port, started, and yield a channel and the real settings."""
    async with hosting(builders, settings) as (effective, servers):
        await asyncio.gather(*(server.start_stages() for server in servers))
        async with open_channel(f"127.0.0.1:{effective.port}") as channel:
            yield channel, effective
