"""``python -m tests.bench [NAME...] [--repeats N] [--quick] [--out DIR]``."""

import argparse
import asyncio
import sys
import time
import traceback
from importlib import import_module
from pathlib import Path

from tests.bench import machine, report
from tests.bench.results import Benchmark, Plan, Row

SPEED = (
    *("ttft", "overlap", "ingest", "embed", "tokens", "repeat", "memory", "cancel"),
    *("vectors", "writes", "bulk", "durable", "agreement", "overload", "http"),
    "followup",
)
QUALITY = ("reading", "retrieval", "pictures", "speech", "times", "answers", "relevance")
NAMES = (*SPEED, *QUALITY)
REPEATS = 7
QUICK_REPEATS = 2


def main() -> int:
    """Run the benchmarks that are named, or all; 1 if one of them broke."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--quick", action="store_true", help="two repeats, to try things out")
    parser.add_argument("--out", type=Path, default=Path("build/bench"))
    options = parser.parse_args()
    if unknown := set(options.names) - set(NAMES):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    about = machine.describe()
    repeats = QUICK_REPEATS if options.quick else options.repeats
    rows: list[Row] = []
    broken = False
    for name in options.names or NAMES:
        started = time.monotonic()
        folder = options.out.absolute() / "work" / name
        folder.mkdir(parents=True, exist_ok=True)
        plan = Plan(repeats, folder, lambda text, name=name: _say(f"{name}: {text}"))  # type: ignore[misc]
        run: Benchmark = import_module(f"tests.bench.benchmarks.{name}").run
        try:
            rows += asyncio.run(run(plan))
        # One broken benchmark must not cost the half hour of the others.
        except Exception:  # noqa: BLE001
            broken = True
            traceback.print_exc()
            rows.append(Row(name, "broken; see the log", met=False))
        _say(f"{name}: done in {time.monotonic() - started:.0f} s")
        report.write(options.out, about, rows)
    print(report.markdown(about, rows))
    return int(broken)


def _say(text: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
