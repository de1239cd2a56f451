"""The report: a table that a person reads, and a JSON file with every sample."""

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tests.bench.estimates import Estimate
from tests.bench.results import Row

HEADER = ("name", "measured", "against", "ratio [interval]", "target", "met")


def write(folder: Path, machine: Mapping[str, str], rows: Sequence[Row]) -> None:
    """Write report.md and report.json."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.md").write_text(markdown(machine, rows))
    content = {"machine": dict(machine), "rows": [dataclasses.asdict(row) for row in rows]}
    (folder / "report.json").write_text(json.dumps(content, indent=2) + "\n")


def markdown(machine: Mapping[str, str], rows: Sequence[Row]) -> str:
    """The report as text."""
    lines = ["# Benchmarks", ""]
    lines += [
        "Runs are paired and interleaved on a warm server. A ratio is the median of the ratios "
        "within the pairs; the interval is binomial, 95 % or more from 6 pairs on.",
        "",
    ]
    lines += _table(HEADER, map(_cells, rows))
    lines += ["", "## Where the time goes", ""]
    for row in rows:
        if row.notes:
            lines += [f"**{row.name}**", "", *(f"- {note}" for note in row.notes), ""]
    lines += ["## Machine", "", *_table(("what", "value"), machine.items()), ""]
    return "\n".join(lines)


def show_ratio(ratio: Estimate) -> str:
    """Such as ``0.42 [0.40, 0.47]``; says so where the interval is not a 95 % one."""
    text = f"{ratio.median:.3g} [{ratio.low:.3g}, {ratio.high:.3g}]"
    return text if ratio.count > 5 else f"{text} (n = {ratio.count})"


def _cells(row: Row) -> tuple[str, ...]:
    met = {True: "yes", False: "**no**", None: ""}[row.met]
    ratio = show_ratio(row.ratio) if row.ratio else ""
    return (row.name, row.measured, row.against, ratio, row.target, met)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    return [line(header), line(["---"] * len(header)), *map(line, rows)]
