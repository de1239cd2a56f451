"""The Go and the JavaScript client, as a user runs them: what they print, and how they end."""

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_status import rpc_status
from sensorium_client.samples import Samples

from services.runtime import errors
from services.runtime.status import rich_status
from tests.pipeline.platform import Platform
from tests.toolchains import build_go_client, node_client

BUSY_WITHIN_S = 60.0
ENDED_WITHIN_S = 20.0
# Far less than the story would take.
FREE_WITHIN_S = 10.0
STORY = "Tell a very long story about a cat, of at least a thousand words."


@dataclass(frozen=True)
class Ended:
    """What a program left behind."""

    status: int | None
    out: str
    told: str


@dataclass(frozen=True)
class Program:
    """A client that is run as ``ask [--server HOST:PORT] QUESTION [FILE ...]``."""

    command: tuple[str, ...]

    async def start(
        self, server: str, *arguments: str | Path, key: str = ""
    ) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *self.command,
            f"--server={server}",
            *map(str, arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "SENSORIUM_API_KEY": key},
        )

    async def run(self, server: str, *arguments: str | Path, key: str = "") -> Ended:
        return await ended(await self.start(server, *arguments, key=key))


async def ended(process: asyncio.subprocess.Process) -> Ended:
    """Read all that a program still prints, and wait for its end."""
    out, told = await process.communicate()
    return Ended(process.returncode, out.decode(), told.decode())


@pytest.fixture(scope="module", params=["go", "js"])
async def program(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Program:
    if request.param == "go":
        return Program((str(await build_go_client(tmp_path_factory.mktemp("go"))),))
    return Program(("node", str(await node_client() / "ask.mjs")))


async def test_an_answer_and_what_it_rests_on(
    program: Program, platform: Platform, samples: Samples
) -> None:
    answered = await program.run(
        platform.address, "What is said, and what animal is it?", samples.recording, samples.photo
    )
    assert (answered.status, answered.told) == (0, "")
    answer, *notes = answered.out.splitlines()
    assert answer.strip()
    heard = re.compile(r"  \[\w+\] recording\.ogg, 0:0\d\.\d to 0:\d\d\.\d: .+")
    seen = re.compile(r"  \[\w+\] photo\.jpg, \d+×\d+ px at \d+,\d+: .+")
    assert any(map(heard.fullmatch, notes))
    assert any(map(seen.fullmatch, notes))


@pytest.mark.usefixtures("long_answers")
async def test_control_c_cancels_the_turn(program: Program, platform: Platform) -> None:
    process = await program.start(platform.address, STORY)
    assert process.stdout
    begun = await asyncio.wait_for(process.stdout.read(1), BUSY_WITHIN_S)
    process.send_signal(signal.SIGINT)
    cancelled = await asyncio.wait_for(ended(process), ENDED_WITHIN_S)
    assert begun
    assert (cancelled.status, cancelled.told) == (0, "cancelled\n")
    await platform.at_rest(FREE_WITHIN_S)


async def test_control_c_while_a_file_is_being_sent(
    program: Program, platform: Platform, tmp_path: Path
) -> None:
    # The file does not end before the signal was sent.
    fifo = tmp_path / "notes.txt"
    os.mkfifo(fifo)
    process = await program.start(platform.address, "What is this?", fifo)

    def write() -> None:
        with fifo.open("w") as pipe:
            pipe.write("Notes on the harbour.\n" * 5000)
            pipe.flush()
            process.send_signal(signal.SIGINT)

    await asyncio.to_thread(write)
    cancelled = await asyncio.wait_for(ended(process), ENDED_WITHIN_S)
    assert (cancelled.status, cancelled.told) == (0, "cancelled\n")
    await platform.at_rest(FREE_WITHIN_S)


async def test_an_error_names_its_reason_and_the_file(
    program: Program, platform: Platform, tmp_path: Path
) -> None:
    noise = tmp_path / "noise.bin"
    noise.write_bytes(bytes(range(256)) * 4096)
    refused = await program.run(platform.address, "What is this?", noise)
    assert (refused.status, refused.out) == (1, "")
    assert refused.told.startswith("UNSUPPORTED_MEDIA: The bytes are none of the supported types")
    assert refused.told.endswith(f"({noise})\n")


async def test_a_file_that_is_not_there(
    program: Program, platform: Platform, tmp_path: Path
) -> None:
    refused = await program.run(platform.address, "What is this?", tmp_path / "none.jpg")
    assert refused.status == 1
    assert "no such file" in refused.told
    await platform.at_rest(FREE_WITHIN_S)


async def test_a_server_that_is_not_there(program: Program) -> None:
    refused = await program.run("127.0.0.1:1", "Is anybody there?")
    assert (refused.status, refused.out) == (1, "")
    assert refused.told == "Unavailable: The server cannot be reached.\n"


@pytest.mark.parametrize("arguments", [(), ("-unknown", "What is this?")])
async def test_what_is_not_understood_is_told_with_the_usage(
    program: Program, arguments: tuple[str, ...]
) -> None:
    refused = await program.run("127.0.0.1:1", *arguments)
    assert (refused.status, refused.out) == (2, "")
    assert "usage: " in refused.told
    assert "    at " not in refused.told


class Door:
    """Refuses everybody before a stream begins, and remembers who they said they were."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    async def converse(self, requests: Any, context: Any) -> None:
        self.shown.append(dict(context.invocation_metadata()).get("authorization", ""))
        error = errors.Overloaded(
            "TOO_MANY_TURNS", "As many turns as may be are open.", retry_after_s=1.5
        )
        await context.abort_with_status(rpc_status.to_status(rich_status(error)))


@asynccontextmanager
async def serve(door: Door) -> AsyncIterator[str]:
    """A server that knows one call, which asks nothing of what is sent; its address."""
    server = grpc.aio.server()
    methods: dict[str, Any] = {
        "StreamingConverse": grpc.stream_stream_rpc_method_handler(door.converse)
    }
    service = grpc.method_handlers_generic_handler("sensorium.gateway.v1.GatewayService", methods)
    server.add_generic_rpc_handlers((service,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(None)


async def test_a_refusal_at_the_door_tells_when_to_come_back(program: Program) -> None:
    door = Door()
    async with serve(door) as address:
        refused = await program.run(address, "May I?", key="sk-a-key")
    assert door.shown == ["Bearer sk-a-key"]
    assert refused.status == 1
    told = "TOO_MANY_TURNS: As many turns as may be are open. Try again in 1.5"
    assert refused.told.startswith(told)
