"""``sensorium doctor``: what is installed and what is not, and what to do about it."""

import asyncio
import os
import platform
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from rich import box
from rich.table import Table
from rich.text import Text

from sensorium_client import ports
from sensorium_client.channel import DEFAULT_ADDRESS, ServerState
from sensorium_client.connection import client_of
from sensorium_client.events import to_json
from sensorium_client.launcher import ServerSetup, model_states, running_server, server_setup
from sensorium_client.render.places import file_size
from sensorium_client.terminal import (
    JsonOption,
    ServerOption,
    output,
    print_json,
    progress_output,
    run_command,
)

_DISTRIBUTION = "sensorium"
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^;\s]+)(?:.*extra == ['\"](\w+)['\"])?")
_NEEDED_EXTRAS = {"", "offline"}
_FREE_BYTES_MIN = 2_000_000_000

OK, WARNING, BROKEN = "ok", "warning", "broken"
_STYLES = {OK: "green", WARNING: "yellow", BROKEN: "bold red"}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    state: str
    """"ok", "warning" or "broken"."""
    detail: str
    remedy: str = ""


def doctor(as_json: JsonOption = False, server: ServerOption = None) -> None:
    """Look at what is installed, the models, the port, the data folder and the disk.

    Says what to do about each problem. Exits with 1 if something is broken.
    """
    run_command(_run(server, as_json), as_json=as_json)


async def _run(server: str | None, as_json: bool) -> int:
    setup = server_setup()
    findings = [*_installation(), await _server(server, setup), *_storage(setup)]
    with progress_output().status("checking the models ..."):
        findings += await asyncio.to_thread(_models, setup)
    if as_json:
        for finding in findings:
            print_json({"type": "finding", **to_json(finding)})
    else:
        _print(findings)
    return 1 if any(finding.state == BROKEN for finding in findings) else 0


def _installation() -> Iterator[Finding]:
    yield Finding("python", OK, platform.python_version())
    try:
        pins = [
            match for line in metadata.requires(_DISTRIBUTION) or [] if (match := _PIN.match(line))
        ]
        yield Finding(_DISTRIBUTION, OK, metadata.version(_DISTRIBUTION))
    except metadata.PackageNotFoundError:
        yield Finding(
            _DISTRIBUTION, BROKEN, "not installed", "pip install -e '.[offline]' in the repository"
        )
        return
    as_pinned = 0
    for name, pinned, extra in (match.groups(default="") for match in pins):
        installed = _installed_version(name)
        if installed.partition("+")[0] == pinned:
            as_pinned += 1
            continue
        state = BROKEN if extra in _NEEDED_EXTRAS and not installed else WARNING
        detail = f"{installed or 'not installed'}; {pinned} is what was tested"
        if extra not in _NEEDED_EXTRAS:
            detail += f" (only for {extra})"
        yield Finding(name, state, detail, f"pip install --no-deps {name}=={pinned}")
    yield Finding("packages", OK, f"{as_pinned} of {len(pins)} as pinned")


def _installed_version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


async def _server(server: str | None, setup: ServerSetup) -> Finding:
    address = server or running_server() or DEFAULT_ADDRESS
    async with client_of(address) as client:
        state = await client.server_state()
    if state is ServerState.SERVING:
        return Finding("server", OK, f"ready on {address}")
    if state is ServerState.STARTING:
        return Finding("server", OK, f"starting on {address}")
    if server:
        return Finding("server", BROKEN, f"none on {address}", "sensorium serve")
    if ports.is_free(setup.host, setup.port):
        return Finding("server", OK, f"none runs; port {setup.port} is free for one")
    who = ports.listener(setup.port) or "something else"
    return Finding(
        "server",
        WARNING,
        f"port {setup.port} is in use by {who}",
        "sensorium serve --port with another, and SENSORIUM_SERVER for the commands",
    )


def _storage(setup: ServerSetup) -> Iterator[Finding]:
    folders = (
        ("data folder", setup.data_dir, "SENSORIUM_DATA_DIR"),
        ("cache folder", setup.cache_dir, "SENSORIUM_CACHE_DIR"),
    )
    for subject, folder, variable in folders:
        existing = _nearest_existing(folder)
        if os.access(existing, os.W_OK | os.X_OK):
            yield Finding(subject, OK, str(folder))
        else:
            remedy = f"Make {existing} writable, or set {variable} to another folder."
            yield Finding(subject, BROKEN, f"{folder} cannot be written", remedy)
        free_bytes = shutil.disk_usage(existing).free
        if free_bytes < _FREE_BYTES_MIN:
            yield Finding(
                f"disk of the {subject}",
                WARNING,
                f"{file_size(free_bytes)} free",
                f"Free some, or set {variable} to a folder on another disk.",
            )
        else:
            yield Finding(f"disk of the {subject}", OK, f"{file_size(free_bytes)} free")


def _nearest_existing(folder: Path) -> Path:
    while not folder.exists():
        folder = folder.parent
    return folder


def _models(setup: ServerSetup) -> list[Finding]:
    return [
        Finding(f"model {model.name}", BROKEN, model.problem, model.remedy)
        if model.problem
        else Finding(f"model {model.name}", OK, "its bytes are the right ones")
        for model in model_states(setup)
    ]


def _print(findings: list[Finding]) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    table.add_column("what", no_wrap=True)
    table.add_column("found", overflow="fold")
    for finding in findings:
        detail = Text(finding.detail)
        if finding.remedy and finding.state != OK:
            detail.append(f"\n→ {finding.remedy}", style="bold")
        table.add_row(Text(finding.state, style=_STYLES[finding.state]), finding.subject, detail)
    out = output()
    out.print(table)
    broken = sum(finding.state == BROKEN for finding in findings)
    warnings = sum(finding.state == WARNING for finding in findings)
    if broken:
        out.print(f"[bold red]{broken} broken[/], {warnings} to look at")
    elif warnings:
        out.print(f"[green]Nothing is broken[/], {warnings} to look at.")
    else:
        out.print("[green]All is well.[/]")
