"""The same question on the same media again, beside the first time."""

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from sensorium_client import Client
from sensorium_client.events import Token, TurnComplete, Usage
from sensorium_client.options import AskOptions

from tests.bench.asking import NoAnswer
from tests.bench.benchmarks.ttft import AUDIO, PHOTO, VIDEO, Case
from tests.bench.breakdown import seconds, shortfall
from tests.bench.estimates import paired_ratio
from tests.bench.results import Plan, Row
from tests.bench.servers import serving

TARGET = 0.15
OPTIONS = AskOptions(max_tokens=32)


@dataclass(frozen=True, slots=True)
class Answered:
    """One question, from the call on: hashing and sending of the file included."""

    first_token_s: float
    usage: Usage


async def run(plan: Plan) -> list[Row]:
    """Each kind of media: first time, then again, then other bytes."""
    rows: list[Row] = []
    async with serving(plan.folder) as server, Client(server.address) as client:
        for case in (PHOTO, AUDIO, VIDEO):
            cold: list[Answered] = []
            again: list[Answered] = []
            for index in range(plan.repeats + 1):
                assert case.make
                path = plan.folder / f"media-{index}{case.suffix}"
                path.write_bytes(case.make(index))
                pair = [await _ask(client, case.question(index), path) for _ in range(2)]
                path.unlink()
                if index:  # the first warms up
                    cold.append(pair[0])
                    again.append(pair[1])
                    times = " s, again ".join(f"{one.first_token_s:.2f}" for one in pair)
                    plan.say(f"{case.name} {index}/{plan.repeats}: {times} s")
            rows.append(_row(case, cold, again))
    return rows


async def _ask(client: Client, question: str, path: Path) -> Answered:
    """Ask, and wait until the file is indexed."""
    started = time.perf_counter()
    first_s: float | None = None
    usage: Usage | None = None
    async with contextlib.aclosing(client.ask(question, [path], options=OPTIONS)) as events:
        async for event in events:
            if isinstance(event, Token) and first_s is None:
                first_s = time.perf_counter() - started
            elif isinstance(event, TurnComplete):
                usage = event.usage
    if first_s is None or usage is None:
        raise NoAnswer
    return Answered(first_s, usage)


def _row(case: Case, cold: Sequence[Answered], again: Sequence[Answered]) -> Row:
    cold_s = [answered.first_token_s for answered in cold]
    again_s = [answered.first_token_s for answered in again]
    ratio = paired_ratio(again_s, cold_s)
    prompt = median(answered.usage.prompt_token_count for answered in again)
    read = median(answered.usage.cached_token_count for answered in again)
    notes = [f"the second time {read:.0f} of the {prompt:.0f} tokens of the prompt were known"]
    if ratio.median > TARGET:
        notes.insert(0, shortfall(ratio.median, TARGET))
    return Row(
        name=f"repeated question: {case.name.split(' at ')[0]}",
        measured=f"again {seconds(median(again_s))}",
        against=f"first time, sent at once: {seconds(median(cold_s))}",
        ratio=ratio,
        target=f"≤ {TARGET}",
        met=ratio.median <= TARGET,
        notes=notes,
        samples={"cold_s": cold_s, "again_s": again_s},
    )
