"""``sensorium search``: find moments, regions and passages in what is stored."""

import enum
from pathlib import Path
from typing import Annotated

import typer

from sensorium_client import events
from sensorium_client.connection import connected
from sensorium_client.render.places import hit_table
from sensorium_client.terminal import (
    JsonOption,
    ServerOption,
    output,
    print_json,
    progress_output,
    run_command,
)


class ModalityName(enum.StrEnum):
    """What a search can be narrowed to."""

    TEXT = "text"
    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"


def search(
    text: Annotated[str, typer.Argument(help="Words to look for.")] = "",
    image: Annotated[
        Path | None,
        typer.Option(
            "--image", exists=True, dir_okay=False, metavar="FILE", help="What looks like this."
        ),
    ] = None,
    audio: Annotated[
        Path | None,
        typer.Option(
            "--audio", exists=True, dir_okay=False, metavar="FILE", help="What is said in this."
        ),
    ] = None,
    like: Annotated[
        str, typer.Option("--like", metavar="ASSET_ID", help="What is like a stored asset.")
    ] = "",
    modality: Annotated[
        list[ModalityName] | None, typer.Option(help="Only this kind; can be repeated.")
    ] = None,
    top_k: Annotated[int, typer.Option(min=1, max=100, help="At most this many hits.")] = 10,
    as_json: JsonOption = False,
    server: ServerOption = None,
) -> None:
    """Find moments, regions and passages, by words, by a picture, by sound or by an asset.

    Examples:

      sensorium search "a red lighthouse"

      sensorium search "lighthouse" --modality video --modality audio --top-k 5

      sensorium search --image photo.jpg --json
    """
    if sum(map(bool, (text, image, audio, like))) != 1:
        raise typer.BadParameter("give exactly one of TEXT, --image, --audio and --like")

    async def run() -> int:
        async with connected(server, progress_output()) as client:
            hits = await client.search(
                text=text,
                image=image,
                audio=audio,
                asset_id=like,
                modalities=[kind.value for kind in modality or ()],
                top_k=top_k,
            )
        if as_json:
            for hit in hits:
                print_json({"type": "hit", **events.to_json(hit)})
        elif hits:
            output().print(hit_table(hits))
        else:
            output().print("Nothing found. `sensorium ingest` stores what can be searched.")
        return 0

    run_command(run(), as_json=as_json)
