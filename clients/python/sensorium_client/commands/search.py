"""``sensorium search``: find moments, regions and passages in what is stored."""

import asyncio
import enum
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from sensorium_client import events
from sensorium_client.client import Client
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
    thumbnails: Annotated[
        Path | None,
        typer.Option(
            "--thumbnails",
            file_okay=False,
            metavar="DIR",
            help="Write a small picture of each picture and video that is found.",
        ),
    ] = None,
    as_json: JsonOption = False,
    server: ServerOption = None,
) -> None:
    """Find moments, regions and passages, by words, by a picture, by sound or by an asset.

    Examples:

      sensorium search "a red lighthouse"

      sensorium search "lighthouse" --modality video --modality audio --top-k 5

      sensorium search --image photo.jpg --json

      sensorium search "a rabbit" --thumbnails found/
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
            if thumbnails is not None:
                await _write_thumbnails(client, hits, thumbnails)
        if as_json:
            for hit in hits:
                print_json({"type": "hit", **events.to_json(hit)})
        elif hits:
            output().print(hit_table(hits))
        else:
            output().print("Nothing found. `sensorium ingest` stores what can be searched.")
        return 0

    run_command(run(), as_json=as_json)


async def _write_thumbnails(client: Client, hits: Sequence[events.SearchHit], folder: Path) -> None:
    """``01.jpg`` is of the first hit and so on; sound and text have none."""
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    for number, hit in enumerate(hits, 1):
        if hit.modality in (ModalityName.IMAGE, ModalityName.VIDEO):
            span = hit.locator.span
            jpeg = await client.thumbnail(hit.asset_id, span.start_s if span else None)
            await asyncio.to_thread((folder / f"{number:02}.jpg").write_bytes, jpeg)
