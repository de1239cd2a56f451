"""Tokens a second through the whole platform, beside xllamacpp called directly."""

import asyncio
import time
from collections.abc import Sequence
from statistics import median

from sensorium_client import Client
from sensorium_client.options import AskOptions

from tests.bench.asking import ask_timed
from tests.bench.estimates import paired_ratio
from tests.bench.results import Plan, Row
from tests.bench.servers import serving
from tests.bench.workers import Worker, working

TARGET = 0.95
MAX_TOKENS = 128
OPTIONS = AskOptions(max_tokens=MAX_TOKENS)
STREAM_COUNTS = (1, 4)
LIBRARY_DEFAULTS = {"GOMP_SPINCOUNT": "300000"}
"""How long xllamacpp's threads spin where nobody says otherwise, as we do."""
# Answers that go on for longer than the limit.
SUBJECTS = ("a bank account", "a parking lot", "a library", "a chess board", "a text editor")


async def run(plan: Plan) -> list[Row]:
    """Both ways in turn; the one that is not asked is idle."""
    rows: list[Row] = []
    async with (
        serving(plan.folder) as server,
        Client(server.address) as client,
        working(plan.folder, "language_model", environment=LIBRARY_DEFAULTS) as direct,
    ):
        for stream_count in STREAM_COUNTS:
            ours: list[float] = []
            theirs: list[float] = []
            for index in range(plan.repeats + 1):
                questions = _questions(stream_count, index)
                rates = (
                    await _through_the_platform(client, questions),
                    await _directly(direct, questions),
                )
                if index:  # the first warms up
                    ours.append(rates[0])
                    theirs.append(rates[1])
                    plan.say(
                        f"{stream_count} streams {index}/{plan.repeats}: {rates[0]:.1f} tokens/s, "
                        f"directly {rates[1]:.1f}"
                    )
            rows.append(_row(stream_count, ours, theirs))
    return rows


def _questions(stream_count: int, index: int) -> list[str]:
    return [
        f"Write a long Python program with {2 + index} classes that models "
        f"{SUBJECTS[stream % len(SUBJECTS)]}, version {stream}."
        for stream in range(stream_count)
    ]


async def _through_the_platform(client: Client, questions: Sequence[str]) -> float:
    started = time.perf_counter()
    turns = await asyncio.gather(
        *(ask_timed(client, question, options=OPTIONS) for question in questions)
    )
    elapsed_s = time.perf_counter() - started
    return sum(turn.completion.usage.completion_token_count for turn in turns) / elapsed_s


async def _directly(worker: Worker, questions: Sequence[str]) -> float:
    answer = await worker.ask(questions=questions, max_tokens=MAX_TOKENS)
    return float(answer["token_count"]) / float(answer["seconds"])


def _row(stream_count: int, ours: list[float], theirs: list[float]) -> Row:
    ratio = paired_ratio(ours, theirs)
    notes = [
        "the prompt and sampling are the same; both times are from the request to the end of the "
        "answer, reading of the prompt included; xllamacpp runs with its own batch sizes "
        "and threads that spin"
    ]
    if ratio.median < TARGET:
        notes.insert(0, f"missed by {TARGET - ratio.median:.2g}")
    return Row(
        name=f"tokens/s, {stream_count} stream{'s' if stream_count > 1 else ''}",
        measured=f"{median(ours):.1f}",
        against=f"xllamacpp directly: {median(theirs):.1f}",
        ratio=ratio,
        target=f"≥ {TARGET}",
        met=ratio.median >= TARGET,
        notes=notes,
        samples={"platform_tokens_per_s": ours, "direct_tokens_per_s": theirs},
    )
