"""``sensorium ingest``: store and index files and folders."""

import os
from collections.abc import Iterable
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TransferSpeedColumn,
)

from sensorium_client import events
from sensorium_client.client import Client
from sensorium_client.connection import connected
from sensorium_client.media import MediaFile
from sensorium_client.render.answer import describe_flag
from sensorium_client.terminal import (
    CommandError,
    JsonOption,
    ServerOption,
    output,
    print_json,
    progress_output,
    run_command,
)


def ingest(
    paths: Annotated[
        list[Path],
        typer.Argument(
            exists=True, readable=True, metavar="PATH...", help="Files, and folders with all below."
        ),
    ],
    language: Annotated[
        str, typer.Option(help='Of the speech, such as "de"; "auto" detects it; default "en".')
    ] = "",
    as_json: JsonOption = False,
    server: ServerOption = None,
) -> None:
    """Store and index files, so that they can be searched and asked about.

    What is stored is not sent again; an interrupted run, run again, goes on.

    Examples:

      sensorium ingest holiday/ talk.ogg

      sensorium ingest archive/ --json > archive.jsonl
    """
    run_command(_run(paths, language, as_json, server), as_json=as_json)


async def _run(paths: list[Path], language: str, as_json: bool, server: str | None) -> int:
    files = [MediaFile(path) for path in _all_files(paths)]
    if not files:
        raise CommandError("There is no file in these folders.")
    tally = _Tally()
    async with connected(server, progress_output()) as client:
        if as_json:
            stream = client.upload(files, language)
            async with aclosing(stream):
                async for event in stream:
                    tally.note(event)
                    print_json(events.to_json(event))
        else:
            await _show_progress(client, files, language, tally)
            _print_outcome(output(), tally)
    return 1 if tally.failed else 0


def _all_files(paths: Iterable[Path]) -> list[Path]:
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            for folder, _, names in os.walk(path):
                # Hidden files are a system's own, not media.
                shown = sorted(name for name in names if not name.startswith("."))
                found.update(dict.fromkeys(Path(folder) / name for name in shown))
        else:
            found[path] = None
    return list(found)


@dataclass
class _Tally:
    """What has become of the files; assets by id."""

    names: dict[str, str] = field(default_factory=dict)
    stored: int = 0
    known: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    partial: dict[str, str] = field(default_factory=dict)
    flagged: list[events.Moderation] = field(default_factory=list)

    def note(self, event: events.Event) -> None:
        """Count one event."""
        match event:
            case events.AssetInfo():
                self.names[event.description.asset_id] = event.description.name
            case events.AssetStored():
                self.stored += 1
            case events.AlreadyStored():
                self.known += 1
            case events.ItemFailed():
                asset_id = event.item_id.partition("/")[0]
                kind = self.failed if asset_id == event.item_id else self.partial
                kind[asset_id] = event.message
            case events.Moderation(action="flag"):
                self.flagged.append(event)


async def _show_progress(
    client: Client, files: list[MediaFile], language: str, tally: _Tally
) -> None:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    total_bytes = sum(file.size_bytes for file in files)
    with Progress(*columns, console=progress_output(), transient=True, expand=True) as progress:
        bars = _Bars(progress, total_bytes, len(files))
        stream = client.upload(files, language, announce=bars.announce)
        async with aclosing(stream):
            async for event in stream:
                tally.note(event)
                bars.show(event)
        tally.names |= bars.names


class _Bars:
    """A bar for each file on its way, above one for all."""

    def __init__(self, progress: Progress, total_bytes: int, file_count: int) -> None:
        self.names: dict[str, str] = {}
        self._progress = progress
        self._file_count = file_count
        self._done_count = 0
        self._sizes: dict[str, int] = {}
        self._tasks: dict[str, TaskID] = {}
        self._received: dict[str, int] = {}
        self._total = progress.add_task(self._total_label(), total=total_bytes)

    def announce(self, file: MediaFile) -> None:
        """A file is about to be sent."""
        self.names[file.asset_id] = file.display_name
        self._sizes[file.asset_id] = file.size_bytes

    def show(self, event: events.Event) -> None:
        """Move the bars."""
        match event:
            case events.UploadOpened():
                name = escape(self.names.get(event.asset_id, event.asset_id))
                total = self._sizes.get(event.asset_id)
                self._tasks[event.asset_id] = self._progress.add_task(name, total=total)
                self._move(event.asset_id, event.resume_offset)
            case events.ChunkAck() | events.Progress():
                self._move(event.asset_id, event.received_bytes)
            case events.AlreadyStored():
                self._progress.advance(self._total, event.size_bytes)
                self._count_done()
            case events.AssetStored():
                self._move(event.asset.asset_id, event.asset.size_bytes)
                self._remove(event.asset.asset_id)
            case events.ItemFailed() if event.item_id in self._sizes:
                self._move(event.item_id, self._sizes[event.item_id])
                self._remove(event.item_id)
            case _:
                pass

    def _move(self, asset_id: str, received_bytes: int) -> None:
        gained = received_bytes - self._received.get(asset_id, 0)
        if gained <= 0:
            return
        self._received[asset_id] = received_bytes
        self._progress.advance(self._total, gained)
        if asset_id in self._tasks:
            self._progress.update(self._tasks[asset_id], completed=received_bytes)

    def _remove(self, asset_id: str) -> None:
        if asset_id in self._tasks:
            self._progress.remove_task(self._tasks.pop(asset_id))
        self._count_done()

    def _count_done(self) -> None:
        self._done_count += 1
        self._progress.update(self._total, description=self._total_label())

    def _total_label(self) -> str:
        return f"[bold]{self._done_count} of {self._file_count} files[/]"


def _print_outcome(out: Console, tally: _Tally) -> None:
    out.print(f"[bold green]{tally.stored}[/] stored, {tally.known} already there", end="")
    out.print(f", [bold red]{len(tally.failed)} failed[/]" if tally.failed else "")
    for asset_id, message in tally.failed.items():
        out.print(f"  [red]{escape(tally.names.get(asset_id, asset_id))}[/]: {escape(message)}")
    for asset_id, message in tally.partial.items():
        name = escape(tally.names.get(asset_id, asset_id))
        out.print(f"  [yellow]{name}[/]: stored, but a part could not be read: {escape(message)}")
    for found in tally.flagged:
        out.print(f"  {escape(describe_flag(found, tally.names))}", style="yellow")
