"""``sensorium transcribe`` and ``sensorium caption``: what is said, what is seen."""

import enum
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from sensorium_client import events
from sensorium_client.connection import connected
from sensorium_client.render import transcripts
from sensorium_client.render.answer import describe_flag
from sensorium_client.render.places import citation_table, clock
from sensorium_client.terminal import (
    JsonOption,
    ServerOption,
    output,
    print_json,
    progress_output,
    run_command,
)
from sensorium_formats import subtitles

FileArgument = Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True)]


class TranscriptFormat(enum.StrEnum):
    """How a transcript is written."""

    TEXT = "text"
    JSON = "json"
    SRT = "srt"
    VTT = "vtt"


def transcribe(
    file: FileArgument,
    words: Annotated[
        bool, typer.Option("--word-times", "--words", help="With the time of every word.")
    ] = False,
    language: Annotated[
        str, typer.Option(help='Of the speech, such as "de"; "auto" detects it; default "en".')
    ] = "",
    format_: Annotated[
        TranscriptFormat,
        typer.Option("--format", help="Text as it is heard; or a whole file at the end."),
    ] = TranscriptFormat.TEXT,
    as_json: JsonOption = False,
    server: ServerOption = None,
) -> None:
    """Write out what is said in a recording or a film.

    Examples:

      sensorium transcribe talk.ogg

      sensorium transcribe film.mp4 --format srt > film.srt

      sensorium transcribe interview.mp3 --language auto --format json --word-times

      sensorium transcribe talk.ogg --json | jq -r .text
    """
    if as_json and format_ is not TranscriptFormat.TEXT:
        raise typer.BadParameter("--json writes a line a sentence; choose it or --format.")
    # Subtitles are divided where their words are.
    word_times = words or format_ in (TranscriptFormat.SRT, TranscriptFormat.VTT)

    def flag(found: events.Moderation) -> None:
        if as_json:
            print_json(events.to_json(found))
        else:
            line = describe_flag(found, {found.asset_id: file.name})
            progress_output().print(escape(line), style="dim")

    async def run() -> int:
        async with connected(server, progress_output()) as client:
            sentences = client.transcribe(
                file, language=language, word_times=word_times, flagged=flag
            )
            with progress_output().status("listening ...") as status:
                if format_ is TranscriptFormat.TEXT:
                    async for sentence in sentences:
                        status.stop()
                        _print_sentence(sentence, words, as_json)
                    return 0
                heard = []
                async for sentence in sentences:
                    heard.append(sentence)
                    status.update(f"listening ... {clock(sentence.span.end_s)}")
        print(_written(heard, format_))
        return 0

    run_command(run(), as_json=as_json)


def _print_sentence(sentence: events.Transcript, words: bool, as_json: bool) -> None:
    if as_json:
        print_json(events.to_json(sentence))
        return
    out = output()
    out.print(sentence.text.strip(), markup=False, soft_wrap=True)
    for word in sentence.words if words else ():
        times = f"{clock(word.start_s)} – {clock(word.end_s)}"
        out.print(f"  {times}  {word.text.strip()}", markup=False)


def _written(heard: list[events.Transcript], format_: TranscriptFormat) -> str:
    match format_:
        case TranscriptFormat.SRT:
            return subtitles.srt(heard)
        case TranscriptFormat.VTT:
            return subtitles.vtt(heard)
        case _:
            return json.dumps(transcripts.document(heard), ensure_ascii=False, indent=2)


def caption(
    file: FileArgument,
    detailed: Annotated[
        bool, typer.Option("--detailed", help="What is seen, heard and written, in order.")
    ] = False,
    as_json: JsonOption = False,
    server: ServerOption = None,
) -> None:
    """Describe a photo, a film, a recording or a text in a sentence, or in detail.

    Examples:

      sensorium caption photo.jpg

      sensorium caption film.mp4 --detailed
    """

    async def run() -> int:
        out = output()
        async with connected(server, progress_output()) as client:
            with progress_output().status("looking ..."):
                described = await client.caption(file, detailed=detailed)
        if as_json:
            print_json({"type": "caption", **events.to_json(described)})
            return 0
        out.print(described.text, markup=False, soft_wrap=True)
        if described.citations:
            out.print()
            out.print(citation_table(described.citations))
        return 0

    run_command(run(), as_json=as_json)
