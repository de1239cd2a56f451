"""Work while bytes arrive beside "upload, then process": the same 30 s of sound both ways."""

from statistics import median

from sensorium_client import Client

from tests.bench.asking import TimedTurn
from tests.bench.benchmarks.ttft import AUDIO, ask_case
from tests.bench.breakdown import breakdown, seconds, shortfall
from tests.bench.estimates import estimate, paired_ratio
from tests.bench.results import Plan, Row
from tests.bench.servers import serving

TARGET = 0.5
CROSSOVER_S = (10.0, 3.0, 1.0)
CROSSOVER_REPEATS = 3


async def run(plan: Plan) -> list[Row]:
    """Streamed at real-time pace and sent whole, in turn; then faster uploads."""
    paces_s: dict[float, list[TimedTurn]] = {30.0: [], 0.0: []}
    async with serving(plan.folder) as server, Client(server.address) as client:

        async def ask(seed: int, pace_s: float) -> TimedTurn:
            turn = await ask_case(client, AUDIO, seed, plan.folder, pace_s or None)
            plan.say(f"upload over {pace_s:g} s: first token after {seconds(turn.wait_s)}")
            return turn

        await ask(0, 0.0)
        seed = 0
        for _ in range(plan.repeats):
            for pace_s, turns in paces_s.items():
                seed += 1
                turns.append(await ask(seed, pace_s))
        for pace_s in CROSSOVER_S:
            paces_s[pace_s] = []
            for _ in range(plan.at_most(CROSSOVER_REPEATS)):
                seed += 1
                paces_s[pace_s].append(await ask(seed, pace_s))
    return [_ratio_row(paces_s), _transcript_row(paces_s[30.0]), _crossover_row(paces_s)]


def _ratio_row(paces_s: dict[float, list[TimedTurn]]) -> Row:
    streamed = [turn.wait_s for turn in paces_s[30.0]]
    whole = [turn.wait_s for turn in paces_s[0.0]]
    ratio = paired_ratio(streamed, whole)
    notes = [f"streamed: {line}" for line in breakdown(paces_s[30.0])]
    notes += [f"sent whole: {line}" for line in breakdown(paces_s[0.0])]
    if ratio.median > TARGET:
        notes.insert(0, shortfall(ratio.median, TARGET))
    return Row(
        name="overlap: 30 s audio streamed while recorded",
        measured=seconds(median(streamed)),
        against=f"upload, then process: {seconds(median(whole))}",
        ratio=ratio,
        target=f"≤ {TARGET}",
        met=ratio.median <= TARGET,
        notes=notes,
        samples={"streamed_s": streamed, "sent_whole_s": whole},
    )


def _transcript_row(turns: list[TimedTurn]) -> Row:
    # A turn whose words never came counts as if they came with its end.
    firsts = [turn.first_transcript_s or turn.complete_s for turn in turns]
    ahead = [turn.last_byte_s - first_s for turn, first_s in zip(turns, firsts, strict=True)]
    first = estimate(firsts)
    return Row(
        name="overlap: first words of the transcript",
        measured=f"{seconds(first.median)} [{seconds(first.low)}, {seconds(first.high)}] "
        "after the first byte",
        against=f"end of the upload at {seconds(median(turn.last_byte_s for turn in turns))}",
        target="before the upload ends, every time",
        met=min(ahead) > 0,
        samples={"first_transcript_s": firsts, "ahead_of_upload_end_s": ahead},
    )


def _crossover_row(paces_s: dict[float, list[TimedTurn]]) -> Row:
    """The least slow upload at which the wait is clearly shorter than after sending whole."""
    whole = estimate([turn.wait_s for turn in paces_s[0.0]])
    notes: list[str] = []
    helps_s: float | None = None
    for pace_s in sorted(paces_s, reverse=True):
        waits = estimate([turn.wait_s for turn in paces_s[pace_s]])
        notes.append(
            f"30 s of sound sent within {pace_s:g} s: first token {seconds(waits.median)} after "
            f"the last byte [{seconds(waits.low)}, {seconds(waits.high)}], "
            f"{waits.median / whole.median:.2f} of sent whole (n = {waits.count})"
        )
        if pace_s and waits.median < 0.9 * whole.median:
            helps_s = pace_s
    measured = f"helps from {helps_s:g} s on" if helps_s else "never helps"
    return Row(
        name="overlap: crossover",
        measured=measured,
        against="wait at least 10 % shorter than sent whole",
        notes=notes,
        samples={
            f"upload_{pace_s:g}_s": [turn.wait_s for turn in turns]
            for pace_s, turns in paces_s.items()
        },
    )
