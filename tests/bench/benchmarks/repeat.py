"""The same question on the same media again, beside the first time."""

import contextlib
import time
from pathlib import Path
from statistics import median

from sensorium_client import Client
from sensorium_client.events import Token
from sensorium_client.options import AskOptions

from tests.bench.benchmarks.ttft import AUDIO, PHOTO, VIDEO, Case
from tests.bench.breakdown import seconds, shortfall
from tests.bench.estimates import paired_ratio
from tests.bench.results import Plan, Row
from tests.bench.servers import serving

TARGET = 0.15
OPTIONS = AskOptions(max_tokens=32)


async def run(plan: Plan) -> list[Row]:
    """Each kind of media: first time, then again, then other bytes."""
    rows: list[Row] = []
    async with serving(plan.folder) as server, Client(server.address) as client:
        for case in (PHOTO, AUDIO, VIDEO):
            cold: list[float] = []
            again: list[float] = []
            for index in range(plan.repeats + 1):
                assert case.make
                path = plan.folder / f"media-{index}{case.suffix}"
                path.write_bytes(case.make(index))
                first_s = await _time_to_first_token(client, case.question(index), path)
                second_s = await _time_to_first_token(client, case.question(index), path)
                path.unlink()
                if not index:
                    continue  # warms up
                cold.append(first_s)
                again.append(second_s)
                plan.say(f"{case.suffix} cold {seconds(first_s)}, again {seconds(second_s)}")
            rows.append(_row(case, cold, again))
    return rows


async def _time_to_first_token(client: Client, question: str, path: Path) -> float:
    """From the call to the first token, hashing and sending included; waits for the index."""
    started = time.perf_counter()
    first_s: float | None = None
    async with contextlib.aclosing(client.ask(question, [path], options=OPTIONS)) as events:
        async for event in events:
            if isinstance(event, Token) and first_s is None:
                first_s = time.perf_counter() - started
    assert first_s is not None
    return first_s


def _row(case: Case, cold: list[float], again: list[float]) -> Row:
    ratio = paired_ratio(again, cold)
    return Row(
        name=f"repeated question: {case.name.split(' at ')[0]}",
        measured=f"again {seconds(median(again))}",
        against=f"first time, sent at once: {seconds(median(cold))}",
        ratio=ratio,
        target=f"≤ {TARGET}",
        met=ratio.median <= TARGET,
        notes=[shortfall(ratio.median, TARGET)] if ratio.median > TARGET else [],
        samples={"cold_s": cold, "again_s": again},
    )
