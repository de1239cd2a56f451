"""``sensorium delete``: assets and all that was made of them."""

from typing import Annotated

import typer
from rich.markup import escape

from sensorium_client.connection import connected
from sensorium_client.errors import SensoriumClientError
from sensorium_client.terminal import (
    JsonOption,
    ServerOption,
    output,
    print_json,
    progress_output,
    run_command,
)


def delete(
    asset_ids: Annotated[
        list[str],
        typer.Argument(metavar="ASSET...", help="Ids, as `sensorium search --json` tells them."),
    ],
    as_json: JsonOption = False,
    server: ServerOption = None,
) -> None:
    """Delete stored assets: their bytes, unless another has the same, and all made of them.

    Examples:

      sensorium delete 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    """

    async def run() -> int:
        failed_count = 0
        async with connected(server, progress_output()) as client:
            for asset_id in dict.fromkeys(asset_ids):
                try:
                    await client.delete(asset_id)
                except SensoriumClientError as error:
                    if error.reason != "ASSET_NOT_FOUND":
                        raise
                    failed_count += 1
                    _tell(asset_id, error.reason, as_json)
                else:
                    _tell(asset_id, "", as_json)
        return 1 if failed_count else 0

    run_command(run(), as_json=as_json)


def _tell(asset_id: str, reason: str, as_json: bool) -> None:
    if as_json:
        kind = {"type": "item_failed", "reason": reason} if reason else {"type": "asset_deleted"}
        print_json({**kind, "asset_id": asset_id})
    elif reason:
        output().print(f"[red]{escape(asset_id)}[/]: there is no such asset")
    else:
        output().print(f"deleted {escape(asset_id)}")
