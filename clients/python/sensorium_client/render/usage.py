"""Usage as a table."""

from rich import box
from rich.table import Table

from sensorium_client.render.places import file_size
from sensorium_client.usage_calls import UsageReport, UsageTotal


def usage_table(title: str, report: UsageReport) -> Table:
    """A row for each day, tenant or credential, and the sum."""
    priced = bool(report.currency)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_footer=len(report.totals) > 1)
    rows = [_counts(total) for total in report.totals]
    table.add_column(title, "all", no_wrap=True)
    for number, name in enumerate(("requests", "failed", "tokens in", "cached", "tokens out")):
        count = sum(row[number] for row in rows)
        # Where it is narrow, headings are broken between words, not within.
        widest = max(map(len, name.split()))
        table.add_column(name, f"{count:,}", justify="right", min_width=widest)
    seconds = sum(total.media_s for total in report.totals)
    size_bytes = sum(total.media_bytes for total in report.totals)
    table.add_column("media", _length(seconds), justify="right", no_wrap=True)
    table.add_column("received", file_size(size_bytes), justify="right", no_wrap=True)
    if priced:
        cost = sum(total.cost for total in report.totals)
        table.add_column(report.currency, f"{cost:,.4f}", justify="right")
    for total, counts in zip(report.totals, rows, strict=True):
        cells = [f"{count:,}" for count in counts]
        cells += [_length(total.media_s), file_size(total.media_bytes)]
        cells += [f"{total.cost:,.4f}"] if priced else []
        table.add_row(total.key or "(none)", *cells)
    return table


def _counts(total: UsageTotal) -> tuple[int, ...]:
    return (
        total.request_count,
        total.failed_count,
        total.prompt_token_count,
        total.cached_token_count,
        total.completion_token_count,
    )


def _length(seconds: float) -> str:
    """ "1:02:05" for 3,725 seconds."""
    minutes, rest_s = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest_s:02}"
