"""Usage on a terminal of the usual width."""

import pytest
from rich.console import Console
from sensorium_client.render.usage import usage_table
from sensorium_client.usage_calls import UsageReport, UsageTotal


@pytest.mark.parametrize("currency", ["", "EUR"])
def test_no_word_of_a_heading_is_cut(currency: str) -> None:
    total = UsageTotal("2026-11-24", 20, 4, 163, 108, 24, 25.0, 38_702, 3, 0, 0.0123)
    console = Console(width=80)
    with console.capture() as shown:
        console.print(usage_table("day", UsageReport((total,), currency)))
    words = shown.get().split()
    assert {"requests", "failed", "tokens", "cached", "media", "received"} <= set(words)
    assert "2026-11-24" in words
