"""``sensorium ask``: a question over files, answered while they are still being sent."""

import dataclasses
import enum
from contextlib import aclosing
from pathlib import Path
from typing import Annotated

import typer

from sensorium_client import events
from sensorium_client.channel import CallContext
from sensorium_client.client import Client
from sensorium_client.commands.conversations import NEW, conversation_id
from sensorium_client.connection import connected
from sensorium_client.media import MediaFile, recorded_duration_s
from sensorium_client.options import AskOptions, FrameSamplingMethod
from sensorium_client.render.answer import AnswerView
from sensorium_client.render.timeline import print_waterfall
from sensorium_client.terminal import (
    JsonOption,
    ServerOption,
    output,
    print_json,
    progress_output,
    run_command,
)


class Pace(enum.StrEnum):
    """How fast sound and film are sent."""

    FULL = "full"
    REALTIME = "realtime"


@dataclasses.dataclass(frozen=True)
class AskCommand:
    """What the command line asked for."""

    question: str
    paths: tuple[Path, ...]
    options: AskOptions
    pace: Pace
    as_json: bool
    trace: bool
    server: str | None
    conversation: str


def ask(
    question: Annotated[str, typer.Argument(help="What to ask.")],
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            exists=True,
            dir_okay=False,
            readable=True,
            metavar="FILE",
            help="Photos, recordings, films and texts it is about.",
        ),
    ] = None,
    recall: Annotated[
        bool, typer.Option("--recall", help="Consult stored assets that fit, too.")
    ] = False,
    max_tokens: Annotated[int, typer.Option(min=0, show_default=False, help="Longest answer.")] = 0,
    temperature: Annotated[
        float, typer.Option(min=0, max=2, help="0 takes the likeliest token each time.")
    ] = 0.0,
    seed: Annotated[int | None, typer.Option(min=0, help="Fixes the random numbers.")] = None,
    model: Annotated[str, typer.Option(help="Reference of the language model.")] = "",
    language: Annotated[
        str, typer.Option(help='Of the speech, such as "de"; "auto" detects it; default "en".')
    ] = "",
    frames: Annotated[
        FrameSamplingMethod,
        typer.Option(help="Frames of a film: evenly spaced, its own key frames, or one a shot."),
    ] = FrameSamplingMethod.UNIFORM,
    max_frames: Annotated[
        int, typer.Option(min=0, max=256, show_default=False, help="Most frames of a film.")
    ] = 0,
    frame_rate: Annotated[
        float,
        typer.Option(min=0, max=30, show_default=False, help="Most frames a second of a film."),
    ] = 0.0,
    word_times: Annotated[
        bool,
        typer.Option("--word-times", help="Transcripts in --json have the time of every word."),
    ] = False,
    partial: Annotated[
        bool, typer.Option("--partial", help="Show words while they are said; see --pace realtime.")
    ] = False,
    conversation: Annotated[
        str,
        typer.Option(
            metavar="ID|new|last",
            help='Keep the turn and go on from it later: "new" begins a conversation, "last" '
            "goes on with the one last used. Its files need not be named again.",
        ),
    ] = "",
    pace: Annotated[
        Pace, typer.Option(help='"realtime" sends sound and film as if just being recorded.')
    ] = Pace.FULL,
    resend: Annotated[
        bool, typer.Option("--resend", help="Send files that the server already has, too.")
    ] = False,
    trace: Annotated[
        bool, typer.Option("--trace", help="Show the spans of the call as a waterfall.")
    ] = False,
    as_json: JsonOption = False,
    server: ServerOption = None,
) -> None:
    """Ask a question about any mix of photos, recordings, films and texts.

    The answer streams in; then come its citations, and where the time went.

    Examples:

      sensorium ask "What is the capital of France?"

      sensorium ask "What is said, and what is in the photo?" talk.ogg photo.jpg

      sensorium ask "When does the dog appear?" film.mp4 --pace realtime --trace

      sensorium ask "What is said?" talk.ogg --pace realtime --partial

      sensorium ask "What happens?" film.mp4 --frames scene --max-frames 64

      sensorium ask "Where did I see a lighthouse?" --recall --json | jq .type

      sensorium ask "What is said?" talk.ogg --conversation new

      sensorium ask "And who says it?" --conversation last
    """
    # What is stored was sampled when it was stored.
    sampled = bool(frames is not FrameSamplingMethod.UNIFORM or max_frames or frame_rate)
    options = AskOptions(
        model=model,
        max_tokens=max_tokens,
        temperature=temperature,
        seed=seed,
        recall=recall,
        language=language,
        frame_sampling=frames,
        frame_count_max=max_frames,
        frame_rate_hz=frame_rate,
        word_times=word_times,
        partial_transcripts=partial,
        reuse_stored=not (resend or sampled) and pace is Pace.FULL,
    )
    paths = tuple(files or ())
    command = AskCommand(question, paths, options, pace, as_json, trace, server, conversation)
    run_command(_run(command), as_json=as_json)


async def _run(command: AskCommand) -> int:
    media = [_media(path, command.pace) for path in command.paths]
    async with connected(command.server, progress_output()) as client:
        command = dataclasses.replace(command, conversation=await _conversation(client, command))
        if command.as_json:
            await _print_json_events(client, command, media)
        else:
            await _show_answer(client, command, media)
    return 0


async def _conversation(client: Client, command: AskCommand) -> str:
    if command.conversation != NEW:
        return await conversation_id(client, command.conversation)
    made = (await client.create_conversation()).conversation_id
    if command.as_json:
        print_json({"type": "conversation", "conversation_id": made})
    else:
        progress_output().print(f"{made}: --conversation last goes on with it", style="dim")
    return made


def _media(path: Path, pace: Pace) -> MediaFile:
    duration_s = recorded_duration_s(path) if pace is Pace.REALTIME else None
    return MediaFile(path, duration_s=duration_s)


async def _print_json_events(client: Client, command: AskCommand, media: list[MediaFile]) -> None:
    trace_id = ""
    answer = client.ask(
        command.question,
        media,
        options=command.options,
        conversation_id=command.conversation,
    )
    async with aclosing(answer):
        async for event in answer:
            if isinstance(event, events.Ready):
                trace_id = event.trace_id
            print_json(events.to_json(event))
    if command.trace and trace_id:
        spans = await client.get_trace(trace_id)
        print_json({"type": "trace", "trace_id": trace_id, "spans": events.to_json(spans)})


async def _show_answer(client: Client, command: AskCommand, media: list[MediaFile]) -> None:
    out = output()
    context = CallContext()
    with AnswerView(out, progress_output()) as view:
        answer = client.ask(
            command.question,
            media,
            options=command.options,
            context=context,
            conversation_id=command.conversation,
        )
        async with aclosing(answer):
            async for event in answer:
                view.show(event)
    if command.trace and view.trace_id:
        spans = await client.get_trace(view.trace_id)
        out.print()
        # A server may put the stream into a trace of its own.
        ours = view.trace_id == context.trace_id
        print_waterfall(out, view.trace_id, spans, context if ours else None)
