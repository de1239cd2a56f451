"""``sensorium fsck``: whether everything stored agrees."""

from contextlib import aclosing
from typing import Annotated

import typer
from rich.markup import escape

from sensorium_client import checks, events
from sensorium_client.connection import connected
from sensorium_client.terminal import (
    JsonOption,
    ServerOption,
    output,
    print_json,
    progress_output,
    run_command,
)

_LOST = ("record_damaged", "bytes_missing", "bytes_damaged")
"""Faults that are mended by deleting the asset."""


def fsck(
    deep: Annotated[
        bool, typer.Option("--deep", help="Read all bytes and compare their hashes.")
    ] = False,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="Mend what can be mended. An asset whose bytes or record are lost is deleted, "
            "so that it can be sent again.",
        ),
    ] = False,
    as_json: JsonOption = False,
    server: ServerOption = None,
) -> None:
    """Check that records, bytes and index agree, while the server is in use.

    Ends with 1 if something is wrong, and still is after --repair.

    Examples:

      sensorium fsck

      sensorium fsck --deep --repair
    """

    async def run() -> int:
        async with (
            connected(server, progress_output()) as client,
            aclosing(client.check(deep=deep, repair=repair)) as found,
        ):
            async for event in found:
                if as_json:
                    kind = "finding" if isinstance(event, checks.Finding) else "summary"
                    print_json({"type": kind, **events.to_json(event)})
                elif isinstance(event, checks.Finding):
                    _show(event)
                else:
                    _conclude(event)
                if isinstance(event, checks.CheckSummary):
                    return 0 if event.finding_count == event.repaired_count else 1
        return 1

    run_command(run(), as_json=as_json)


def _show(finding: checks.Finding) -> None:
    colour = "yellow" if finding.repaired else "red"
    about = f"{escape(finding.asset_id)}: " if finding.asset_id else ""
    mended = "asset deleted: send it again" if finding.fault in _LOST else "mended"
    state = f" ({mended})" if finding.repaired else ""
    output().print(
        f"[{colour}]{finding.fault}[/] {about}{escape(finding.message)}{state}", soft_wrap=True
    )


def _conclude(summary: checks.CheckSummary) -> None:
    out = output()
    out.print(f"{summary.asset_count} assets, {summary.document_count} documents", end="")
    if summary.unindexed_count:
        out.print(f", {summary.unindexed_count} not indexed", end="")
    if summary.finding_count:
        left = summary.finding_count - summary.repaired_count
        out.print(f": {summary.finding_count} faults, {summary.repaired_count} mended, {left} left")
    else:
        out.print(": all agree")
