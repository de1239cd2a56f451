"""A server that a command starts for itself, in a process of its own, and stops again."""

import asyncio
import contextlib
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from typing import IO

from sensorium_client.channel import Credentials
from sensorium_client.client import Client
from sensorium_client.terminal import CommandError

_START_S = 900.0
_STOP_S = 15.0
_POLL_S = 0.1


@contextlib.asynccontextmanager
async def child_server(credentials: Credentials) -> AsyncIterator[Client]:
    """Start all services on a free loopback port; a client of them once they are ready.

    Where the settings ask for credentials, they ask for these too.

    Raises:
        CommandError: they do not start; the message is the server's own last line.
    """
    port = _free_port()
    with tempfile.TemporaryFile() as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "sensorium_client.launcher",
            str(port),
            stdin=asyncio.subprocess.PIPE,
            stdout=log,
            stderr=log,
            # Ctrl-C is for the command, which then stops the server in good order.
            start_new_session=True,
        )
        try:
            async with Client(f"127.0.0.1:{port}", credentials) as client:
                await _wait_ready(client, process, log)
                yield client
        finally:
            await _stop(process)


async def _wait_ready(client: Client, process: asyncio.subprocess.Process, log: IO[bytes]) -> None:
    try:
        async with asyncio.timeout(_START_S):
            while not await client.is_serving():
                if process.returncode is not None:
                    raise CommandError(
                        f"The services did not start. {_last_line(log)}",
                        "`sensorium doctor` says what is missing; "
                        "`sensorium serve` shows the whole log.",
                    )
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        raise CommandError(
            f"The services were not ready within {_START_S:.0f} s. {_last_line(log)}",
            "`sensorium serve` shows the whole log.",
        ) from None


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(_STOP_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _last_line(log: IO[bytes]) -> str:
    log.seek(0)
    lines = [line.strip() for line in log.read().decode(errors="replace").splitlines()]
    ours = [line.removeprefix("sensorium: ") for line in lines if line.startswith("sensorium: ")]
    return (ours or [line for line in lines if line] or [""])[-1]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
