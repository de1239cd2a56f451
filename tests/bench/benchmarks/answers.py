"""Questions with known answers: is the right evidence weighed first and cited, the answer right."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sensorium_client import Client
from sensorium_client.events import Citation, Evidence, EvidenceWeights, Token

from tests.bench.questions import MEDIA, PAIRS, SPOKEN, Pair, matches
from tests.bench.results import Plan, Row
from tests.bench.servers import serving

EVIDENCE_TARGET = 0.9
ANSWER_TARGET = 0.7
_SLACK_S = 2.5
"""Frames are looked at every two seconds or so, and a sentence may begin before its window."""


@dataclass(frozen=True, slots=True)
class Scored:
    """One question and what came of it. ``evidence`` is None where none is wanted."""

    pair: Pair
    evidence: bool | None
    answer: bool
    said: str


async def run(plan: Plan) -> list[Row]:
    """Each question once, at temperature 0."""
    pairs: Sequence[Pair] = PAIRS
    if shutil.which("espeak-ng") is None:
        plan.say("questions about speech and films are left out: install Debian's espeak-ng")
        pairs = [pair for pair in pairs if not SPOKEN.intersection(pair.media)]
    scored: list[Scored] = []
    async with serving(plan.folder) as server, Client(server.address) as client:
        for pair in pairs:
            scored.append(await _ask(client, pair, plan.folder))
            if not (scored[-1].answer and scored[-1].evidence in (True, None)):
                marks = "".join("-+"[bool(it)] for it in (scored[-1].evidence, scored[-1].answer))
                plan.say(f"{marks} {pair.question} ({', '.join(pair.media)}): {scored[-1].said}")
    return _rows(scored)


async def _ask(client: Client, pair: Pair, folder: Path) -> Scored:
    evidence: Sequence[Evidence] = ()
    cited: list[Evidence] = []
    words: list[str] = []
    files = [_made(folder, name) for name in pair.media]
    async for event in client.ask(pair.question, files=files):
        match event:
            case EvidenceWeights():
                evidence = event.evidence
            case Citation():
                cited.append(event.evidence)
            case Token():
                words.append(event.text)
    said = "".join(words).strip()
    if pair.evidence is None:
        return Scored(pair, None, matches(pair.answer, said), said)
    first = max(evidence, key=lambda piece: piece.weight, default=None)
    found = first is not None and _right(pair, first) and any(_right(pair, it) for it in cited)
    weighed = f" <first: {first.text}>" if first and not found else ""
    return Scored(pair, found, matches(pair.answer, said), said + weighed)


def _made(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.exists():
        path.write_bytes(MEDIA[name]())
    return path


def _right(pair: Pair, piece: Evidence) -> bool:
    assert pair.evidence is not None
    asset, words = pair.evidence
    if piece.asset_name != asset or not matches(words, piece.text):
        return False
    if pair.span_s is None:
        return True
    span = piece.locator.span
    return (
        span is not None
        and span.start_s >= pair.span_s[0] - _SLACK_S
        and span.end_s <= pair.span_s[1] + _SLACK_S
    )


def _rows(scored: Sequence[Scored]) -> list[Row]:
    kinds = list(dict.fromkeys(each.pair.kind for each in scored))
    rows = [
        _row(f"answers: {kind}", [each for each in scored if each.pair.kind == kind])
        for kind in kinds
    ]
    return [*rows, _row("answers: all", scored)]


def _row(name: str, scored: Sequence[Scored]) -> Row:
    with_evidence = [each for each in scored if each.evidence is not None]
    evidence = sum(bool(each.evidence) for each in with_evidence)
    answers = sum(each.answer for each in scored)
    met = answers >= ANSWER_TARGET * len(scored)
    met &= evidence >= EVIDENCE_TARGET * len(with_evidence)
    return Row(
        name=name,
        measured=f"right evidence first and cited {evidence}/{len(with_evidence)}, "
        f"right answer {answers}/{len(scored)}",
        target=f"≥ {EVIDENCE_TARGET}, ≥ {ANSWER_TARGET}",
        met=met,
        notes=[f"{each.pair.question} → {each.said}" for each in scored if not each.answer],
    )
