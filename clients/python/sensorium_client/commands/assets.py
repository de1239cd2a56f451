"""``sensorium assets``: what is stored, whether it can be searched, and what was flagged in it."""

from typing import Annotated

import typer

from sensorium_client import events
from sensorium_client.connection import connected
from sensorium_client.render.places import asset_table
from sensorium_client.terminal import (
    JsonOption,
    ServerOption,
    output,
    print_json,
    progress_output,
    run_command,
)

PAGE_SIZE_MAX = 1000


def assets(
    count: Annotated[int, typer.Option(min=1, help="At most this many, the newest.")] = 100,
    as_json: JsonOption = False,
    server: ServerOption = None,
) -> None:
    """List what is stored, newest first: whether it can be searched, what is flagged or blocked.

    Examples:

      sensorium assets

      sensorium assets --json | jq 'select(.asset.moderation_findings[].blocked)'
    """

    async def run() -> int:
        async with connected(server, progress_output()) as client:
            stored = []
            async for asset in client.list_assets(page_size=min(count, PAGE_SIZE_MAX)):
                stored.append(asset)
                if len(stored) == count:
                    break
        if as_json:
            for asset in stored:
                print_json({"type": "asset", "asset": events.to_json(asset)})
        elif stored:
            output().print(asset_table(stored))
        else:
            output().print("Nothing is stored. `sensorium ingest` stores files.")
        return 0

    run_command(run(), as_json=as_json)
