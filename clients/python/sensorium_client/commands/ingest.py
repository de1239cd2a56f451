"""``sensorium ingest``: store and index files and folders."""

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import aclosing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from sensorium_client.bulk.attempt import SendOptions
from sensorium_client.bulk.folder import BulkOptions, FolderIngest
from sensorium_client.bulk.hashes import Hashes, opened_hashes
from sensorium_client.bulk.outcome import FileOutcome, FileStatus, Report
from sensorium_client.bulk.walk import FoundFile, Selection, find_files
from sensorium_client.connection import connected
from sensorium_client.media import Labels
from sensorium_client.render.bulk import BulkBar, outcome_json, print_report, report_json
from sensorium_client.terminal import (
    CommandError,
    JsonOption,
    MetadataOption,
    ServerOption,
    output,
    parse_metadata,
    print_json,
    progress_output,
    run_command,
)

PathsArgument = Annotated[
    list[Path],
    typer.Argument(
        exists=True, readable=True, metavar="PATH...", help="Files, and folders with all below."
    ),
]
IncludeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--include",
        metavar="GLOB",
        help='Only files whose path below the folder matches, such as "*.jpg"; can be repeated.',
    ),
]
ExcludeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--exclude",
        metavar="GLOB",
        help='No files that match, such as "drafts/*"; can be repeated.',
    ),
]
LanguageOption = Annotated[
    str, typer.Option(help='Of the speech, such as "de"; "auto" detects it; default "en".')
]
TagOption = Annotated[
    list[str] | None,
    typer.Option(help="A word of yours to find the files by; can be repeated."),
]


def ingest(
    paths: PathsArgument,
    include: IncludeOption = None,
    exclude: ExcludeOption = None,
    language: LanguageOption = "",
    tag: TagOption = None,
    meta: MetadataOption = None,
    streams: Annotated[
        int, typer.Option(min=1, max=16, help="Streams at once, 16 files on each.")
    ] = BulkOptions.stream_count,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report", dir_okay=False, metavar="FILE", help="Write what became of each file, JSON."
        ),
    ] = None,
    journal: Annotated[
        Path | None,
        typer.Option(
            "--journal",
            dir_okay=False,
            metavar="FILE",
            help="Note hashes here: a file of the same size and time is not read again.",
        ),
    ] = None,
    as_json: JsonOption = False,
    server: ServerOption = None,
) -> None:
    """Store and index files, so that they can be searched and asked about.

    What is stored is not sent again; an interrupted run, run again, goes on. Hidden files and
    links out of a folder are left out. Ends with 1 if a file failed.

    Examples:

      sensorium ingest holiday/ talk.ogg

      sensorium ingest holiday/ --tag holiday --meta project=harbour

      sensorium ingest archive/ --include "*.jpg" --include "*.txt" --report report.json

      sensorium ingest archive/ --json > archive.jsonl
    """
    selection = Selection(tuple(include or ()), tuple(exclude or ()))
    files = list(find_files(paths, selection))
    labels = Labels(tuple(tag or ()), parse_metadata(meta or ()))
    options = BulkOptions(SendOptions(language, labels), streams)
    command = _Command(files, options, _Outputs(report, journal, as_json))
    run_command(command.run(server), as_json=as_json)


@dataclass(frozen=True)
class _Outputs:
    report: Path | None
    journal: Path | None
    as_json: bool


@dataclass(frozen=True)
class _Command:
    files: list[FoundFile]
    options: BulkOptions
    outputs: _Outputs

    async def run(self, server: str | None) -> int:
        if not self.files:
            raise CommandError("There is no file to send.", "Hidden files are left out.")
        report = Report(len(self.files))
        async with connected(server, progress_output()) as client:
            started_s = time.monotonic()
            try:
                with _opened_hashes(self.outputs.journal) as hashes:
                    await self._send(FolderIngest(client, self.options, hashes), report)
            finally:
                # Also when it is interrupted, or the server refuses to go on.
                report.duration_s = time.monotonic() - started_s
                self._tell(report)
        return 1 if report.of(FileStatus.FAILED) else 0

    async def _send(self, ingest: FolderIngest, report: Report) -> None:
        total_bytes = sum(file.size_bytes for file in self.files)
        bar = BulkBar(progress_output(), len(self.files), total_bytes)
        async with aclosing(ingest.run(self.files)) as outcomes:
            with nullcontext() if self.outputs.as_json else bar.progress:
                async for told in outcomes:
                    if isinstance(told, FileOutcome):
                        report.outcomes.append(told)
                    if not self.outputs.as_json:
                        bar.show(told)
                    elif isinstance(told, FileOutcome):
                        print_json({"type": "file", **outcome_json(told)})

    def _tell(self, report: Report) -> None:
        if self.outputs.as_json:
            print_json({"type": "report", **report_json(report)})
        else:
            print_report(output(), report)
        if self.outputs.report is not None:
            content = {
                **report_json(report),
                "files": [outcome_json(outcome) for outcome in report.outcomes],
            }
            self.outputs.report.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n")


@contextlib.contextmanager
def _opened_hashes(journal: Path | None) -> Iterator[Hashes]:
    try:
        with opened_hashes(journal) as hashes:
            yield hashes
    except sqlite3.Error as error:
        raise CommandError(
            f"The journal {journal} cannot be used: {error}.", "Delete it: it saves time, no more."
        ) from None
