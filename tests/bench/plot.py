"""Lines over a logarithmic axis, as an SVG file."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

_WIDTH, _HEIGHT = 560, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 170, 36, 44
_COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#8c564b", "#e377c2")

Line = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Chart:
    """Lines of (x, y) by their name; y begins at ``low``."""

    title: str
    lines: Mapping[str, Line]
    low: float = 0.0
    limit: float | None = None
    """A target, drawn as a dashed line."""


def svg(charts: Sequence[Chart]) -> str:
    """The charts one below the other."""
    height = _HEIGHT * len(charts)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        'font-family="sans-serif" font-size="11">',
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
    ]
    for index, chart in enumerate(charts):
        parts += [f'<g transform="translate(0 {index * _HEIGHT})">', *_chart(chart), "</g>"]
    return "\n".join([*parts, "</svg>", ""])


def _chart(chart: Chart) -> list[str]:
    points = [point for line in chart.lines.values() for point in line]
    xs = sorted({x for x, _ in points})
    high = max([y for _, y in points] + [chart.limit or chart.low]) * 1.02

    def place(x: float, y: float) -> tuple[float, float]:
        span = math.log(xs[-1] / xs[0]) or 1.0
        right = math.log(x / xs[0]) / span
        up = (y - chart.low) / ((high - chart.low) or 1.0)
        return (
            _LEFT + right * (_WIDTH - _LEFT - _RIGHT),
            _HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM),
        )

    parts = [f'<text x="{_LEFT}" y="20" font-size="13">{escape(chart.title)}</text>']
    for x in xs:
        left, bottom = place(x, chart.low)
        parts.append(
            f'<text x="{left:.0f}" y="{bottom + 18:.0f}" text-anchor="middle">{x:,.0f}</text>'
        )
    for step in range(5):
        y = chart.low + step * (high - chart.low) / 4
        left, bottom = place(xs[0], y)
        right, _ = place(xs[-1], y)
        parts += [
            _line((left, bottom), (right, bottom), 'stroke="#ddd"'),
            f'<text x="{left - 6:.0f}" y="{bottom + 4:.0f}" text-anchor="end">{y:.3g}</text>',
        ]
    if chart.limit is not None:
        ends = place(xs[0], chart.limit), place(xs[-1], chart.limit)
        parts.append(_line(*ends, 'stroke="#888" stroke-dasharray="4 3"'))
    for index, (name, line) in enumerate(chart.lines.items()):
        colour = _COLOURS[index % len(_COLOURS)]
        places = [place(x, y) for x, y in line]
        path = " ".join(f"{left:.1f},{top:.1f}" for left, top in places)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        legend = _TOP + 16 * index
        parts += [
            _line(
                (_WIDTH - _RIGHT + 10, legend),
                (_WIDTH - _RIGHT + 26, legend),
                f'stroke="{colour}" stroke-width="2"',
            ),
            f'<text x="{_WIDTH - _RIGHT + 30}" y="{legend + 4}">{escape(name)}</text>',
        ]
    return parts


def _line(start: tuple[float, float], end: tuple[float, float], style: str) -> str:
    return (
        f'<line x1="{start[0]:.1f}" y1="{start[1]:.1f}" x2="{end[0]:.1f}" y2="{end[1]:.1f}" '
        f"{style}/>"
    )
