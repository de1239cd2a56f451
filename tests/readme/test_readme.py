"""The README's shell commands, run as a newcomer would run them, against one server."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sensorium_client.samples import lay_out

from tests.ports import free_port

ROOT = Path(__file__).resolve().parent.parent.parent
README = (ROOT / "README.md").read_text()
READY_TIMEOUT_S = 300
COMMAND_TIMEOUT_S = 120


def commands() -> list[str]:
    """The lines of the blocks marked ``sh``; the server's own address is filled in later."""
    blocks = re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith((". ", "#"))]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, str]]]:
    folder = tmp_path_factory.mktemp("readme")
    lay_out(folder)
    port, http_port = free_port(), free_port()
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {
        **os.environ,
        "PATH": path,
        "SENSORIUM_PORT": str(port),
        "SENSORIUM_HTTP_PORT": str(http_port),
        "SENSORIUM_SERVER": f"127.0.0.1:{port}",
        "SENSORIUM_DATA_DIR": str(folder / "data"),
    }
    log = (folder / "server.log").open("w")
    server = subprocess.Popen(
        [sys.executable, "-m", "services"], env=environment, stdout=log, stderr=log, cwd=ROOT
    )
    try:
        wait_until_ready(port, server, folder / "server.log")
        yield folder, environment
    finally:
        server.terminate()
        server.wait(30)
        log.close()


def wait_until_ready(port: int, server: "subprocess.Popen[bytes]", log: Path) -> None:
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        # Watch tells each change, so there is nothing to poll.
        for state in stub.Watch(
            health_pb2.HealthCheckRequest(), timeout=READY_TIMEOUT_S, wait_for_ready=True
        ):
            if state.status == health_pb2.HealthCheckResponse.SERVING:
                return
            assert server.poll() is None, log.read_text()


def test_there_are_commands() -> None:
    assert len(commands()) >= 14


def test_the_example_runs(workplace: tuple[Path, dict[str, str]]) -> None:
    folder, environment = workplace
    program = (ROOT / "clients/python/example.py").read_text()
    here = program.replace("127.0.0.1:50051", environment["SENSORIUM_SERVER"])
    done = subprocess.run(
        [sys.executable, "-c", here, "What animal is this?", "photo.jpg"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT_S,
        check=True,
    )
    assert "see photo.jpg" in done.stdout


def test_the_openai_client_runs(workplace: tuple[Path, dict[str, str]]) -> None:
    folder, environment = workplace
    (program,) = re.findall(r"^```python\n(import base64\n.*?)^```", README, re.M | re.S)
    here = program.replace("127.0.0.1:8080", f"127.0.0.1:{environment['SENSORIUM_HTTP_PORT']}")
    done = subprocess.run(
        [sys.executable, "-c", here],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT_S,
        check=True,
    )
    assert done.stdout.strip()


@pytest.mark.parametrize("command", commands())
def test_command(command: str, workplace: tuple[Path, dict[str, str]]) -> None:
    folder, environment = workplace
    here = command.replace("127.0.0.1:50051", environment["SENSORIUM_SERVER"])
    here = here.replace("127.0.0.1:8080", f"127.0.0.1:{environment['SENSORIUM_HTTP_PORT']}")
    done = subprocess.run(
        here,
        shell=True,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip()
    assert "Traceback" not in done.stderr
    # curl takes a refusal for a success.
    assert '"error"' not in done.stdout
