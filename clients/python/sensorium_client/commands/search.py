"""``sensorium search`` and ``sensorium duplicates``: find what is stored."""

import asyncio
import enum
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from sensorium_client import events
from sensorium_client.connection import connected
from sensorium_client.findings import SearchResult
from sensorium_client.render.places import duplicate_table, flat_table, result_table
from sensorium_client.searching import QueryPart, SearchOptions, SearchQuery
from sensorium_client.terminal import (
    JsonOption,
    MetadataOption,
    ServerOption,
    age_s,
    output,
    parse_metadata,
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


_DATES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]


def search(
    text: Annotated[str, typer.Argument(help="Words to look for.")] = "",
    image: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, metavar="FILE", help="What looks like this, film or photo."
        ),
    ] = None,
    audio: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, metavar="FILE", help="What is said in this."),
    ] = None,
    like: Annotated[
        str, typer.Option(metavar="ASSET_ID", help="What is like a stored asset.")
    ] = "",
    weight: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WHICH=WEIGHT",
            help="How much text, image, audio or like counts in a mix, such as text=0.6.",
        ),
    ] = None,
    modality: Annotated[
        list[ModalityName] | None, typer.Option(help="Only this kind; can be repeated.")
    ] = None,
    tag: Annotated[
        list[str] | None, typer.Option(help="Only what has this tag; repeated, all of them.")
    ] = None,
    meta: MetadataOption = None,
    user: Annotated[str, typer.Option(help="Only what this user sent.")] = "",
    since: Annotated[
        str, typer.Option(metavar="AGE", help="Only what was stored in the last 12h, 30d or 4w.")
    ] = "",
    after: Annotated[
        datetime | None,
        typer.Option(
            formats=_DATES,
            metavar="DATE",
            help="Only what was stored on this date (local time) or later.",
        ),
    ] = None,
    before: Annotated[
        datetime | None,
        typer.Option(
            formats=_DATES,
            metavar="DATE",
            help="Only what was stored before this date.",
        ),
    ] = None,
    min_relevance: Annotated[
        float, typer.Option(min=0, max=0.999, help="Only matches of at least this relevance, 0-1.")
    ] = 0.0,
    top_k: Annotated[int, typer.Option(min=1, max=100, help="At most this many files.")] = 10,
    offset: Annotated[
        int, typer.Option(min=0, max=900, help="Leave out so many of the best: the next page.")
    ] = 0,
    matches: Annotated[
        int, typer.Option(min=1, max=50, help="At most this many places of each file.")
    ] = 5,
    flat: Annotated[
        bool, typer.Option("--flat", help="One list of places, not grouped by file.")
    ] = False,
    thumbnails: Annotated[
        Path | None,
        typer.Option(
            file_okay=False,
            metavar="DIR",
            help="Write a small picture of each place in a picture or video; --top-k 20 at most.",
        ),
    ] = None,
    as_json: JsonOption = False,
    server: ServerOption = None,
) -> None:
    """Find moments, regions and passages by words, a picture, sound, an asset, or a mix.

    "relevance" tells how probable it is that a match is right; it means the same for pictures,
    speech and text.

    Examples:

      sensorium search "a red lighthouse"

      sensorium search "lighthouse" --modality video --modality audio --top-k 5

      sensorium search --image photo.jpg --json

      sensorium search "at night" --image beach.jpg --weight text=0.6 --weight image=0.4

      sensorium search "a rabbit" --tag holiday --since 30d --meta project=harbour

      sensorium search "invoice" --after 2026-01-01 --before 2026-02-01 --min-relevance 0.5

      sensorium search "a cat" --top-k 20 --offset 20

      sensorium search "a rabbit" --thumbnails found/
    """
    weights = _weights(weight or ())
    parts = _parts(weights, text=text, image=image, audio=audio, like=like)
    options = SearchOptions(
        modalities=tuple(kind.value for kind in modality or ()),
        user_id=user,
        tags=tuple(tag or ()),
        metadata=parse_metadata(meta or ()),
        stored_from_s=after.timestamp() if after else None,
        stored_before_s=before.timestamp() if before else None,
        age_max_s=age_s(since) if since else 0.0,
        relevance_min=min_relevance,
        top_k=top_k,
        offset=offset,
        match_count_max=matches,
        thumbnails=thumbnails is not None,
    )

    async def run() -> int:
        async with connected(server, progress_output()) as client:
            results = await client.find(SearchQuery(parts, options))
        if thumbnails is not None:
            await asyncio.to_thread(_write_thumbnails, results, thumbnails)
        if as_json:
            for result in results:
                print_json({"type": "result", **events.to_json(result)})
        elif results:
            output().print(flat_table(results) if flat else result_table(results))
        else:
            output().print("Nothing found. `sensorium ingest` stores what can be searched.")
        return 0

    run_command(run(), as_json=as_json)


def duplicates(
    file: Annotated[
        Path | None,
        typer.Argument(exists=True, dir_okay=False, metavar="FILE", help="A picture or video."),
    ] = None,
    like: Annotated[
        str, typer.Option(metavar="ASSET_ID", help="A stored picture or video instead.")
    ] = "",
    distance: Annotated[
        int,
        typer.Option(
            min=0,
            max=16,
            help="How many of 64 bits may differ: 0 to 2 only re-encoded, up to 8 the same "
            "picture, more may be another one.",
        ),
    ] = 8,
    top_k: Annotated[int, typer.Option(min=1, max=100, help="At most this many files.")] = 10,
    as_json: JsonOption = False,
    server: ServerOption = None,
) -> None:
    """Find stored pictures and videos that look the same, in any size, format or light.

    Pictures are compared by a perceptual hash (pHash), each frame of a video by itself. A crop,
    a turn or a mirror image is not found.

    Examples:

      sensorium duplicates photo.jpg

      sensorium duplicates film.mp4 --distance 4 --json

      sensorium duplicates --like ASSET_ID
    """
    if bool(file) == bool(like):
        raise typer.BadParameter("give either FILE or --like")

    async def run() -> int:
        async with connected(server, progress_output()) as client:
            found = await client.near_duplicates(
                file, asset_id=like, hamming_distance_max=distance, top_k=top_k
            )
        if as_json:
            for duplicate in found:
                print_json({"type": "near_duplicate", **events.to_json(duplicate)})
        elif found:
            output().print(duplicate_table(found))
        else:
            output().print("Nothing that is stored looks like it.")
        return 0

    run_command(run(), as_json=as_json)


def _weights(entries: Sequence[str]) -> dict[str, float]:
    weights: dict[str, float] = {}
    for entry in entries:
        name, _, value = entry.partition("=")
        try:
            weights[name] = float(value)
        except ValueError:
            raise typer.BadParameter(f"--weight {entry}: give it as text=0.6") from None
    return weights


def _parts(
    weights: dict[str, float], *, text: str, image: Path | None, audio: Path | None, like: str
) -> tuple[QueryPart, ...]:
    given = {
        name: value
        for name, value in (("text", text), ("image", image), ("audio", audio), ("like", like))
        if value
    }
    if not given:
        raise typer.BadParameter("give at least one of TEXT, --image, --audio and --like")
    if unknown := weights.keys() - given.keys():
        raise typer.BadParameter(f"--weight {unknown.pop()}: there is no such part of this search")
    fields = {"text": "text", "image": "file", "audio": "file", "like": "asset_id"}
    return tuple(
        QueryPart(**{fields[name]: value}, weight=weights.get(name, 1.0))  # type: ignore[arg-type]
        for name, value in given.items()
    )


def _write_thumbnails(results: Sequence[SearchResult], folder: Path) -> None:
    """``01-1.jpg`` is of the first place in the first file and so on; sound and text have none."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, result in enumerate(results, 1):
        for place, match in enumerate(result.matches, 1):
            if match.thumbnail:
                (folder / f"{number:02}-{place}.jpg").write_bytes(match.thumbnail)
