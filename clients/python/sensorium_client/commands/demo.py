"""``sensorium demo``: the whole walk on real files, checked."""

import re
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from sensorium_client.client import Client
from sensorium_client.connection import connected
from sensorium_client.events import Citation
from sensorium_client.launcher import server_setup
from sensorium_client.media import file_sha256, recorded_duration_s
from sensorium_client.options import AskOptions
from sensorium_client.render.answer import AnswerView
from sensorium_client.samples import Samples, SamplesMissing, lay_out
from sensorium_client.terminal import (
    CommandError,
    ServerOption,
    output,
    progress_output,
    run_command,
)

_ANSWER_TOKENS_MAX = 80
_SPAN_SLACK_S = 0.5


@dataclass(frozen=True)
class Expectation:
    """What must be among the evidence of a file: any of these words, in this kind of evidence."""

    kind: str
    modality: str
    words: frozenset[str]
    words_needed: int = 1


_PHOTO = Expectation("photo", "image", frozenset({"cat"}))
_RECORDING = Expectation(
    "recording",
    "audio",
    frozenset({"lighthouse", "captain", "museum", "strawberry", "river"}),
    words_needed=4,
)
# Any of these is true of the film: a big grey rabbit in a meadow.
_FILM = Expectation(
    "video",
    "video",
    frozenset({"rabbit", "hare", "animal", "mammal", "grass", "meadow", "outdoors"}),
)


@dataclass(frozen=True)
class Question:
    """A question of the demo, over some of its files."""

    text: str
    about: tuple[tuple[Expectation, Path], ...]


def demo(server: ServerOption = None) -> None:
    """Show the whole walk on real files - a photo, a recording, a film - and check it.

    Exits with 0 if the evidence is true of each file and every citation holds.

    The wording of the answers is not judged: the language model is small.
    """
    run_command(_run(server))


async def _run(server: str | None) -> int:
    out = output()
    try:
        samples = lay_out(server_setup().cache_dir / "samples")
    except SamplesMissing as missing:
        raise CommandError(
            f"The package {missing.package} is not installed.", "pip install 'sensorium[samples]'"
        ) from None
    failures: list[str] = []
    checked = 0
    async with connected(server, progress_output()) as client:
        for question in _questions(samples):
            view = await _ask(out, client, question)
            for expectation, path in question.about:
                problems = await _problems(view, expectation, path)
                failures += problems
                checked += 1
                _print_verdict(out, expectation, path, problems)
    if failures:
        out.print(f"\n[bold red]The demo failed[/]: {len(failures)} of its checks.")
        return 1
    out.print(
        f"\n[bold green]All {checked} checks passed[/]: "
        "the evidence is true of each file, and every citation holds."
    )
    return 0


def _questions(samples: Samples) -> tuple[Question, ...]:
    photo, recording = (_PHOTO, samples.photo), (_RECORDING, samples.recording)
    film = (_FILM, samples.film)
    return (
        Question("What animal is in the photo?", (photo,)),
        Question("What is said in the recording?", (recording,)),
        Question("What happens in the video?", (film,)),
        Question(
            "What is in the photo, what is said in the recording, and what happens in the video?",
            (photo, recording, film),
        ),
    )


async def _ask(out: Console, client: Client, question: Question) -> AnswerView:
    paths = [path for _, path in question.about]
    out.rule(style="dim")
    names = " ".join(path.name for path in paths)
    out.print(f"[bold cyan]?[/] [bold]{question.text}[/]  [dim]{names}[/]\n")
    # Sent even if the server has them from an earlier run: sending is what is shown.
    options = AskOptions(max_tokens=_ANSWER_TOKENS_MAX, reuse_stored=False)
    with AnswerView(out, progress_output()) as view:
        answer = client.ask(question.text, paths, options=options)
        async with aclosing(answer):
            async for event in answer:
                view.show(event)
    return view


async def _problems(view: AnswerView, expectation: Expectation, path: Path) -> list[str]:
    """What is wrong with an answer as far as one file goes; empty if nothing."""
    if not view.text.strip():
        return ["there is no answer"]
    evidence = [item for item in view.evidence if item.asset_name == path.name]
    if not evidence:
        return [f"there is no evidence from {path.name}"]
    found = set(re.findall(r"[a-z]+", " ".join(item.text for item in evidence).lower()))
    problems = []
    if any(item.modality != expectation.modality for item in evidence):
        problems.append(f"{path.name} was not taken for {expectation.modality}")
    if len(found & expectation.words) < expectation.words_needed:
        wanted = ", ".join(sorted(expectation.words - found))
        problems.append(f"the evidence from {path.name} does not say: {wanted}")
    citations = [item for item in view.citations if item.evidence.asset_name == path.name]
    if not citations:
        problems.append(f"{path.name} is not cited")
    evidence_ids = {item.evidence_id for item in evidence}
    sha256 = await file_sha256(path)
    duration_s = recorded_duration_s(path)
    for citation in citations:
        if citation.evidence.evidence_id not in evidence_ids:
            problems.append(f"a citation of {path.name} names no evidence of this answer")
        if citation.asset_sha256 != sha256:
            problems.append(f"a citation of {path.name} is of other bytes")
        if not _lies_within(citation, duration_s):
            problems.append(f"a citation of {path.name} lies outside it")
    return problems


def _lies_within(citation: Citation, duration_s: float | None) -> bool:
    locator = citation.evidence.locator
    if duration_s is None:
        return locator.region is not None
    return (
        locator.span is not None
        and 0 <= locator.span.start_s <= locator.span.end_s <= duration_s + _SPAN_SLACK_S
    )


def _print_verdict(out: Console, expectation: Expectation, path: Path, problems: list[str]) -> None:
    if not problems:
        out.print(f"[green]ok[/]    {expectation.kind}: seen, true and cited ({path.name})")
    for problem in problems:
        out.print(f"[bold red]wrong[/] {expectation.kind}: {problem}")
