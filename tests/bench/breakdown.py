"""Where the time went, in words: medians of the server's marks over several turns."""

from collections.abc import Sequence
from statistics import median

from tests.bench.asking import TimedTurn


def breakdown(turns: Sequence[TimedTurn]) -> list[str]:
    """When each stage ended after the last byte, and how much of the prompt was read before."""
    lines = [
        "the server's own time to first token: "
        f"{seconds(median(turn.timings.time_to_first_token_s for turn in turns))}"
    ]
    stages = [stage.stage for stage in turns[0].timings.stages]
    marks = []
    for name in stages:
        if name == "generate":
            continue
        ends = [
            stage.end_s - turn.timings.last_byte_s
            for turn in turns
            for stage in turn.timings.stages
            if stage.stage == name
        ]
        marks.append(f"{name} {seconds(median(ends), sign=True)}")
    if marks:
        lines.append(f"last event of each stage, from the last byte: {', '.join(marks)}")
        before = median(turn.timings.overlap for turn in turns)
        count = median(turn.completion.usage.segment_count for turn in turns)
        lines.append(f"{before:.0%} of {count:.0f} segments were encoded before the last byte")
    usage = [turn.completion.usage for turn in turns]
    lines.append(
        f"prompt of {median(use.prompt_token_count for use in usage):.0f} tokens, "
        f"{median(use.cached_token_count for use in usage):.0f} of them read before the question"
    )
    return lines


def seconds(value_s: float, *, sign: bool = False) -> str:
    """A time for people: ``0.31 s``, ``12.4 s``."""
    digits = 3 if abs(value_s) < 0.1 else 2 if abs(value_s) < 10 else 1
    return f"{value_s:+.{digits}f} s" if sign else f"{value_s:.{digits}f} s"


def shortfall(value: float, target: float, unit: str = "") -> str:
    """By how much a target is missed, where less is better."""
    return f"missed by {value - target:.2g}{unit} ({value / target:.2f} times the target)"
