"""``sensorium serve``: run the services until Ctrl-C."""

import enum
from typing import Annotated

import typer

from sensorium_client.launcher import run_server


class StageName(enum.StrEnum):
    """What can be served alone."""

    INGEST = "ingest"
    ENCODE = "encode"
    FUSE = "fuse"
    GENERATE = "generate"
    SEARCH = "search"
    GATEWAY = "gateway"


def serve(
    stage: Annotated[
        StageName | None, typer.Argument(help="Only this stage; all of them without it.")
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; default 127.0.0.1.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port to listen on; default 50051.")
    ] = None,
) -> None:
    """Run the services until Ctrl-C: all in one process, or one stage.

    Settings come from the environment (SENSORIUM_*); the README lists them.

    Examples:

      sensorium serve

      sensorium serve encode --port 50062
    """
    run_server(stage.value if stage else None, host=host, port=port)
