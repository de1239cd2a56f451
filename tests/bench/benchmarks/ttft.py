"""Time to first token, from the last byte that the client sent. Short questions, sent first."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sensorium_client import Client
from sensorium_client.media import MediaFile
from sensorium_client.options import AskOptions

from tests.bench import materials
from tests.bench.asking import TimedTurn, ask_timed
from tests.bench.breakdown import breakdown, seconds, shortfall
from tests.bench.estimates import estimate, percentile
from tests.bench.results import Plan, Row
from tests.bench.servers import serving

OPTIONS = AskOptions(max_tokens=32, reuse_stored=False)
REAL_TIME_S = 30.0
TEXT_QUESTIONS = (
    "What is the capital of France?",
    "Name three colours of the rainbow.",
    "How many legs does a spider have?",
    "Who wrote Hamlet?",
    "What do bees make?",
    "Which planet is the largest?",
    "What is ice made of?",
    "In which country is Kyoto?",
    "What does a thermometer measure?",
    "How many minutes has an hour?",
    "What is the opposite of cold?",
    "Which animal says moo?",
    "What is the square root of 81?",
    "Which ocean is the deepest?",
    "What is bread baked from?",
)


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of question and what it is about."""

    name: str
    target_s: float
    questions: Sequence[str]
    make: Callable[[int], bytes] | None = None
    suffix: str = ""
    duration_s: float | None = None
    """Over this time the bytes are sent, as if they were being recorded."""

    def question(self, index: int) -> str:
        """Another one each time, as far as they go, so that no prompt is known whole."""
        return self.questions[index % len(self.questions)]


TEXT = Case("text", 0.5, TEXT_QUESTIONS)
PHOTO = Case(
    "12-megapixel photo",
    2.0,
    ("What is in this picture?", "What does the photo show?", "Describe this picture."),
    materials.photo,
    ".jpg",
)
AUDIO = Case(
    "30 s audio at real-time pace",
    1.0,
    ("What is this about?", "Who built the lighthouse?", "What do children do every summer?"),
    materials.recording,
    ".ogg",
    REAL_TIME_S,
)
VIDEO = Case(
    "30 s video at real-time pace",
    5.0,
    ("What happens in this film?", "What do you see and hear?", "What is said about children?"),
    materials.film,
    ".mp4",
    REAL_TIME_S,
)
# Text and photo take turns; the others run for half a minute each.
GROUPS = ((TEXT, PHOTO), (AUDIO,), (VIDEO,))


async def run(plan: Plan) -> list[Row]:
    """All cases on one warm server."""
    rows: list[Row] = []
    async with serving(plan.folder) as server, Client(server.address) as client:
        for cases in GROUPS:
            turns: dict[str, list[TimedTurn]] = {case.name: [] for case in cases}
            for index in range(plan.repeats + 1):
                for case in cases:
                    # The first of each warms up, faster than real time.
                    pace_s = case.duration_s if index else None
                    turn = await ask_case(client, case, index, plan.folder, pace_s)
                    if index:
                        turns[case.name].append(turn)
                        plan.say(f"{case.name} {index}/{plan.repeats}: {seconds(turn.wait_s)}")
            rows += [_row(case, turns[case.name]) for case in cases]
    return rows


async def ask_case(
    client: Client, case: Case, seed: int, folder: Path, pace_s: float | None
) -> TimedTurn:
    """Ask one question of a case about media that nobody has seen before."""
    media = []
    if case.make:
        path = folder / f"{case.name.split()[1]}-{seed}{case.suffix}"
        path.write_bytes(case.make(seed))
        media.append(MediaFile(path, duration_s=pace_s))
    try:
        return await ask_timed(client, case.question(seed), media, options=OPTIONS)
    finally:
        for item in media:
            item.path.unlink()


def _row(case: Case, turns: Sequence[TimedTurn]) -> Row:
    waits_s = [turn.wait_s for turn in turns]
    p50 = estimate(waits_s)
    p95_s = percentile(waits_s, 95)
    notes = breakdown(turns)
    for name, value_s in (("p50", p50.median), ("p95", p95_s)):
        if value_s >= case.target_s:
            notes.insert(0, f"{name} {shortfall(value_s, case.target_s, ' s')}")
    return Row(
        name=f"time to first token: {case.name}",
        measured=f"p50 {seconds(p50.median)} [{seconds(p50.low)}, {seconds(p50.high)}], "
        f"p95 {seconds(p95_s)}",
        against="the last byte sent",
        target=f"< {case.target_s:g} s",
        met=p95_s < case.target_s,
        notes=notes,
        samples={
            "client_s": waits_s,
            "server_s": [turn.timings.time_to_first_token_s for turn in turns],
        },
    )
