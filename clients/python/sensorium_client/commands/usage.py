"""``sensorium usage``: what was used."""

import dataclasses
import time
from enum import StrEnum
from typing import Annotated

import typer

from sensorium_client.connection import connected
from sensorium_client.render.usage import usage_table
from sensorium_client.terminal import (
    JsonOption,
    ServerOption,
    age_s,
    output,
    print_json,
    progress_output,
    run_command,
)


class By(StrEnum):
    """What usage is added up by."""

    DAY = "day"
    TENANT = "tenant"
    CREDENTIAL = "credential"


def usage(
    by: Annotated[By, typer.Option(help="What it is added up by.")] = By.DAY,
    since: Annotated[
        str, typer.Option(metavar="AGE", help="Only of the last 12h, 30d or 4w.")
    ] = "30d",
    all_tenants: Annotated[
        bool,
        typer.Option("--all-tenants", help="That of all, with a key that has the scope operate."),
    ] = False,
    as_json: JsonOption = False,
    server: ServerOption = None,
) -> None:
    """Show what was used: requests, tokens, media, and what they are estimated to cost.

    Examples:

      sensorium usage

      sensorium usage --by tenant --all-tenants --since 7d

      sensorium usage --by credential --json | jq .cost
    """
    since_s = time.time() - age_s(since)

    async def run() -> int:
        async with connected(server, progress_output()) as client:
            report = await client.usage(grouping=by.value, since_s=since_s, all_tenants=all_tenants)
        if as_json:
            for total in report.totals:
                row = dataclasses.asdict(total)
                print_json({"type": "usage", **row, "currency": report.currency})
        elif report.totals:
            output().print(usage_table(by, report))
        else:
            output().print("Nothing was used.")
        return 0

    run_command(run(), as_json=as_json)
