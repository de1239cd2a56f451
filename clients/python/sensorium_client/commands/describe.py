"""``sensorium transcribe`` and ``sensorium caption``: what is said, what is seen."""

from pathlib import Path
from typing import Annotated

import typer

from sensorium_client import events
from sensorium_client.connection import connected
from sensorium_client.render.places import citation_table, clock
from sensorium_client.terminal import (
    JsonOption,
    ServerOption,
    output,
    print_json,
    progress_output,
    run_command,
)

FileArgument = Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True)]


def transcribe(
    file: FileArgument,
    words: Annotated[bool, typer.Option("--words", help="With the time of every word.")] = False,
    language: Annotated[
        str, typer.Option(help='Of the speech, such as "de"; "auto" detects it; default "en".')
    ] = "",
    as_json: JsonOption = False,
    server: ServerOption = None,
) -> None:
    """Write out what is said in a recording or a film.

    Examples:

      sensorium transcribe talk.ogg

      sensorium transcribe film.mp4 --words

      sensorium transcribe talk.ogg --json | jq -r .text
    """

    async def run() -> int:
        out = output()
        async with connected(server, progress_output()) as client:
            sentences = client.transcribe(file, language=language, word_times=words)
            with progress_output().status("listening ...") as status:
                async for sentence in sentences:
                    status.stop()
                    if as_json:
                        print_json(events.to_json(sentence))
                        continue
                    out.print(sentence.text.strip(), markup=False, soft_wrap=True)
                    for word in sentence.words if words else ():
                        out.print(
                            f"  {clock(word.start_s)} – {clock(word.end_s)}  {word.text.strip()}",
                            markup=False,
                        )
        return 0

    run_command(run(), as_json=as_json)


def caption(file: FileArgument, as_json: JsonOption = False, server: ServerOption = None) -> None:
    """Describe a photo, a film, a recording or a text in a sentence.

    Example:

      sensorium caption photo.jpg
    """

    async def run() -> int:
        out = output()
        async with connected(server, progress_output()) as client:
            with progress_output().status("looking ..."):
                described = await client.caption(file)
        if as_json:
            print_json({"type": "caption", **events.to_json(described)})
            return 0
        out.print(described.text, markup=False, soft_wrap=True)
        if described.citations:
            out.print()
            out.print(citation_table(described.citations))
        return 0

    run_command(run(), as_json=as_json)
