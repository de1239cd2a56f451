"""Many files on their way, and what became of them: for a terminal and for programs."""

import time
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from sensorium_client.bulk.outcome import FileOutcome, FileProgress, FileStatus, Report

_FAILURES_SHOWN = 50


class BulkBar:
    """One bar for all files: how many, how much, how fast, how long yet. Failures go above it."""

    def __init__(self, console: Console, file_count: int, total_bytes: int) -> None:
        self.progress = Progress(
            TextColumn("[bold]{task.fields[done_count]} of {task.fields[file_count]} files[/]"),
            BarColumn(bar_width=None),
            DownloadColumn(),
            TextColumn("{task.fields[rate]:.0f} files/s"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[failed]}", style="red"),
            console=console,
            transient=True,
            expand=True,
        )
        self._done_count = self._failed_count = 0
        self._received: dict[str, int] = {}
        self._started_s = time.monotonic()
        self._task = self.progress.add_task(
            "", total=total_bytes, done_count=0, file_count=file_count, rate=0.0, failed=""
        )

    def show(self, told: FileOutcome | FileProgress) -> None:
        """Move the bar."""
        if isinstance(told, FileProgress):
            self._move(told.file.relative_path, told.received_bytes)
            return
        self._move(told.file.relative_path, told.file.size_bytes)
        self._received.pop(told.file.relative_path, None)
        self._done_count += 1
        if told.status is FileStatus.FAILED:
            self._failed_count += 1
            self.progress.console.print(_line(told))
        self.progress.update(
            self._task,
            done_count=self._done_count,
            rate=self._done_count / max(time.monotonic() - self._started_s, 1e-3),
            failed=f"{self._failed_count} failed" if self._failed_count else "",
        )

    def _move(self, relative_path: str, received_bytes: int) -> None:
        gained_bytes = received_bytes - self._received.get(relative_path, 0)
        if gained_bytes > 0:
            self._received[relative_path] = received_bytes
            self.progress.advance(self._task, gained_bytes)


def print_report(out: Console, report: Report) -> None:
    """The counts, then each file that failed or is stored with a warning."""
    stored, skipped = report.of(FileStatus.STORED), report.of(FileStatus.SKIPPED)
    failed = report.of(FileStatus.FAILED)
    counts = [f"[bold green]{len(stored)}[/] stored", f"{len(skipped)} already there"]
    if failed:
        counts.append(f"[bold red]{len(failed)} failed[/]")
    if report.left_count:
        counts.append(f"[yellow]{report.left_count} not come to[/]")
    rate = len(report.outcomes) / max(report.duration_s, 1e-3)
    out.print(", ".join(counts), end="")
    out.print(f" [dim]({report.duration_s:.1f} s, {rate:.0f} files/s)[/]")
    if failed:
        out.print(_failure_table(failed))
    for outcome in stored:
        for warning in outcome.warnings:
            out.print(f"  [yellow]{escape(outcome.file.relative_path)}[/]: {escape(warning)}")


def _failure_table(failed: list[FileOutcome]) -> Table:
    table = Table("file", "reason", "what happened", box=None, header_style="dim")
    for outcome in failed[:_FAILURES_SHOWN]:
        if outcome.failure is not None:
            table.add_row(
                escape(outcome.file.relative_path),
                outcome.failure.reason,
                escape(outcome.failure.message),
            )
    if len(failed) > _FAILURES_SHOWN:
        table.add_row(f"... {len(failed) - _FAILURES_SHOWN} more", "", "--report FILE lists all")
    return table


def _line(outcome: FileOutcome) -> str:
    message = outcome.failure.message if outcome.failure else ""
    return f"[red]{escape(outcome.file.relative_path)}[/]: {escape(message)}"


def outcome_json(outcome: FileOutcome) -> dict[str, Any]:
    """A file as a JSON object."""
    fields: dict[str, Any] = {
        "path": outcome.file.relative_path,
        "status": outcome.status.value,
        "asset_id": outcome.asset_id,
        "size_bytes": outcome.file.size_bytes,
    }
    if outcome.failure is not None:
        fields |= {
            "code": outcome.failure.code,
            "reason": outcome.failure.reason,
            "message": outcome.failure.message,
        }
    if outcome.warnings:
        fields["warnings"] = list(outcome.warnings)
    return fields


def report_json(report: Report) -> dict[str, Any]:
    """The counts as a JSON object."""
    counts = {status.value: len(report.of(status)) for status in FileStatus}
    return {
        "file_count": report.file_count,
        **counts,
        "left": report.left_count,
        "duration_s": round(report.duration_s, 3),
    }
