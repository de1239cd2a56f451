"""What the clients of other languages are built and run with, where this machine has it."""

import asyncio
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
GO_CLIENT = ROOT / "clients" / "go"
JS_CLIENT = ROOT / "clients" / "js"

NODE_MAJOR_MIN = 20
# The status by which clients/go/debian.sh says that the libraries are not installed.
GO_MISSING = 3


async def build_go_client(folder: Path) -> Path:
    """The program of clients/go. Skips the test where Debian's Go packages are absent."""
    program = folder / "ask"
    built = await _run([str(GO_CLIENT / "debian.sh"), "build", "-o", str(program)])
    if built.returncode == GO_MISSING:
        pytest.skip(built.stderr.strip())
    assert built.returncode == 0, built.stderr
    return program


async def node_client() -> Path:
    """The folder clients/js with its packages. Skips the test where Node or they are absent."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip(f"not installed: Node {NODE_MAJOR_MIN} and npm")
    version = (await _run(["node", "--version"])).stdout.strip()
    major = re.match(r"v(\d+)\.", version)
    if not major or int(major[1]) < NODE_MAJOR_MIN:
        pytest.skip(f"Node {NODE_MAJOR_MIN} is needed, this is {version}")
    packages = JS_CLIENT / "node_modules" / ".package-lock.json"
    made = await _run(["make", "-s", str(packages.relative_to(ROOT))])
    if not packages.exists():
        pytest.skip(f"the packages of clients/js could not be installed: {made.stdout.strip()}")
    return JS_CLIENT


async def _run(command: list[str]) -> "subprocess.CompletedProcess[str]":
    return await asyncio.to_thread(
        subprocess.run, command, cwd=ROOT, capture_output=True, text=True, check=False
    )
