"""Time as bars: where the time of an answer went, and the spans of a trace."""

import re
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sensorium_client.channel import CallContext
from sensorium_client.events import Span, StageTiming, TurnComplete

_RPC_NAME = re.compile(r"^/?sensorium\.(\w+)\.v1\.\w+/(\w+)$")
_STAGE_STYLES = {
    "ingest": "cyan",
    "encode": "magenta",
    "fuse": "yellow",
    "generate": "green",
    "search": "blue",
    "gateway": "white",
}


def print_timings(console: Console, complete: TurnComplete) -> None:
    """Time to the first token, overlap, tokens, and a bar for each stage."""
    timings, usage = complete.timings, complete.usage
    decode_s = timings.last_token_s - timings.first_token_s
    facts = [f"first token [bold]{timings.time_to_first_token_s:.2f} s[/] after the last byte"]
    if usage.segment_count:
        facts.append(f"{timings.overlap:.0%} of {usage.segment_count} segments read before it")
    if decode_s > 0 and not complete.response_cached:
        facts.append(f"{usage.completion_token_count / decode_s:.0f} tokens/s")
    if usage.cache_hit_count:
        facts.append(f"{usage.cache_hit_count} from the cache")
    console.print("[bold]time[/]  " + ", ".join(facts))
    rows = [("you send", 0.0, timings.last_byte_s, "white")]
    rows += [
        (stage.stage, stage.start_s, stage.end_s, _STAGE_STYLES.get(stage.stage, "white"))
        for stage in sorted(timings.stages, key=_walk_order)
    ]
    rows.append(("tokens", timings.first_token_s, timings.last_token_s, "bold green"))
    end_s = max(row[2] for row in rows)
    table = _bars(console)
    for name, start_s, stop_s, style in rows:
        table.add_row(
            name, _bar(console, start_s, stop_s, end_s, style), f"{start_s:.2f} – {stop_s:.2f} s"
        )
    console.print(table)


def print_waterfall(
    console: Console, trace_id: str, spans: Sequence[Span], context: CallContext | None
) -> None:
    """The spans of a trace as a tree of bars, the client's own call on top."""
    if not spans:
        return
    start_s = min(span.start_time_s for span in spans)
    end_s = max(span.end_time_s for span in spans)
    if context is not None:
        start_s = min(start_s, context.start_time_s)
    total_s = max(end_s - start_s, 1e-6)
    console.print(f"[bold]trace[/] {trace_id}  [dim]{len(spans)} spans, {total_s:.2f} s[/]")
    table = _bars(console)
    if context is not None:
        bar = _bar(console, 0.0, total_s, total_s, "white")
        table.add_row("client", bar, f"{total_s * 1000:.0f} ms")
    names = {span.span_id: span.name for span in spans}
    for span, depth in _tree(spans):
        style = "red" if span.error else _style(span.name)
        bar = _bar(console, span.start_time_s - start_s, span.end_time_s - start_s, total_s, style)
        # Both sides of a call have its name: once is enough.
        repeated = names.get(span.parent_span_id) == span.name
        label = "served" if repeated else _short(span.name)
        name = Text(" " * (depth + (context is not None)) + label, style=style)
        table.add_row(name, bar, f"{(span.end_time_s - span.start_time_s) * 1000:.0f} ms")
    console.print(table)


def _tree(spans: Sequence[Span]) -> list[tuple[Span, int]]:
    known = {span.span_id for span in spans}
    children: dict[str, list[Span]] = {}
    for span in sorted(spans, key=lambda span: span.start_time_s):
        parent = span.parent_span_id if span.parent_span_id in known else ""
        children.setdefault(parent, []).append(span)
    rows: list[tuple[Span, int]] = []
    waiting = [(span, 0) for span in reversed(children.get("", []))]
    while waiting:
        span, depth = waiting.pop()
        rows.append((span, depth))
        waiting += [(child, depth + 1) for child in reversed(children.get(span.span_id, []))]
    return rows


def _walk_order(timing: StageTiming) -> int:
    order = list(_STAGE_STYLES)
    return order.index(timing.stage) if timing.stage in order else len(order)


def _short(name: str) -> str:
    # "encode StreamingEncode" for "sensorium.encode.v1.EncodeService/StreamingEncode".
    return _RPC_NAME.sub(r"\1 \2", name)


def _style(name: str) -> str:
    lowered = name.lower()
    return next((style for stage, style in _STAGE_STYLES.items() if stage in lowered), "white")


def _bars(console: Console) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, overflow="ellipsis", max_width=max(16, console.width * 2 // 5))
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True, style="dim")
    return table


def _bar(console: Console, start: float, end: float, total: float, style: str) -> Text:
    width = max(10, min(60, console.width * 3 // 5 - 18))
    full, empty = ("#", ".") if console.options.ascii_only else ("━", "·")
    scale = width / max(total, 1e-9)
    first = min(width - 1, int(start * scale))
    last = min(width, max(first + 1, round(end * scale)))
    bar = Text(empty * first, style="dim")
    bar.append(full * (last - first), style=style)
    bar.append(empty * (width - last), style="dim")
    return bar
