"""Our own server in a process of its own, as a user would run it."""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.runtime.channel import open_channel
from services.runtime.settings import ENV_PREFIX
from tests.ports import free_ports

_START_S = 600.0
_STOP_S = 30.0
_POLL_S = 0.1


class ServerFailed(Exception):
    """The server did not start; the message ends with its last words."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    address: str
    http_url: str
    pid: int
    data_dir: Path

    def resident_bytes(self) -> int:
        """Memory that it holds now (VmRSS)."""
        return self._memory("VmRSS")

    def peak_resident_bytes(self) -> int:
        """The most it held since the peak was last forgotten (VmHWM)."""
        return self._memory("VmHWM")

    def forget_peak(self) -> None:
        """Let the peak start again from what it holds now."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def cpu_seconds(self) -> float:
        """CPU time that it used so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _memory(self, name: str) -> int:
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(rf"^{name}:\s+(\d+) kB", status, re.MULTILINE)
        assert found
        return int(found[1]) * 1024


@contextlib.asynccontextmanager
async def serving(folder: Path, *stages: str, **settings: str) -> AsyncIterator[Server]:
    """Run the named stages, or all, until the block ends; the data folder goes with them.

    ``settings`` are names of the settings, in lower case. Raises ServerFailed.
    """
    data_dir = Path(tempfile.mkdtemp(prefix="data-", dir=folder))
    port, http_port = free_ports(2)
    changes = {
        "host": "127.0.0.1",
        "port": str(port),
        "http_port": str(http_port),
        "data_dir": str(data_dir),
        # What is measured is the work, not that it was done before.
        "response_cache_bytes": "0",
    }
    environment = {ENV_PREFIX + name.upper(): value for name, value in (changes | settings).items()}
    with (folder / "server.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "services",
            *stages,
            env=os.environ | environment,
            stdout=log,
            stderr=log,
        )
        try:
            await _wait_ready(f"127.0.0.1:{port}", process, folder / "server.log")
            yield Server(
                f"127.0.0.1:{port}", f"http://127.0.0.1:{http_port}", process.pid, data_dir
            )
        finally:
            await stop(process)
            shutil.rmtree(data_dir, ignore_errors=True)


async def stop(process: asyncio.subprocess.Process) -> None:
    """End a process in good order, and at once if it takes too long."""
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(_STOP_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def last_words(log: Path) -> str:
    """The end of a log."""
    return log.read_text(errors="replace")[-2000:]


async def _wait_ready(address: str, process: asyncio.subprocess.Process, log: Path) -> None:
    async with open_channel(address) as channel, asyncio.timeout(_START_S):
        stub = health_pb2_grpc.HealthStub(channel)
        while True:
            if process.returncode is not None:
                raise ServerFailed(f"The server ended at once:\n{last_words(log)}")
            try:
                answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=1.0)
            except grpc.aio.AioRpcError:
                await asyncio.sleep(_POLL_S)
                continue
            if answer.status == health_pb2.HealthCheckResponse.SERVING:
                return
            await asyncio.sleep(_POLL_S)
