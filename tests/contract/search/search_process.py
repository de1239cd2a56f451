"""A search service in a process of its own, to be killed or frozen."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from grpc_health.v1 import health_pb2, health_pb2_grpc
from sensorium.search.v1 import search_pb2_grpc

from services.runtime.channel import open_channel
from tests.ports import free_port

START_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class SearchProcess:
    """A running ``python -m services.search``."""

    process: asyncio.subprocess.Process
    stub: search_pb2_grpc.SearchServiceStub

    async def kill(self) -> None:
        """SIGKILL, and wait for its end."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()


@contextlib.asynccontextmanager
async def search_process(variables: Mapping[str, str]) -> AsyncIterator[Any]:
    """Starts one with these ``SENSORIUM_*`` and other variables; killed on leaving."""
    port = free_port()
    environment = {**os.environ, "SENSORIUM_LOG_LEVEL": "ERROR", **variables}
    environment["SENSORIUM_PORT"] = str(port)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.search"), env=environment
    )
    async with open_channel(f"127.0.0.1:{port}") as channel:
        running = SearchProcess(process, search_pb2_grpc.SearchServiceStub(channel))
        try:
            async with asyncio.timeout(START_WITHIN_S):
                watch = health_pb2_grpc.HealthStub(channel).Watch(
                    health_pb2.HealthCheckRequest(), wait_for_ready=True
                )
                async for state in watch:
                    if state.status == health_pb2.HealthCheckResponse.SERVING:
                        break
                watch.cancel()
            yield running
        finally:
            await running.kill()
