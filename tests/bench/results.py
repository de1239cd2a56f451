"""What a benchmark is given and what it gives back."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench.estimates import Estimate


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to run, where to keep files meanwhile, and how to tell what goes on."""

    repeats: int
    folder: Path
    say: Callable[[str], None]

    def at_most(self, repeats: int) -> int:
        """Repeats of a side question, which needs fewer."""
        return min(self.repeats, repeats)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the report. ``met`` is None where there is no target."""

    name: str
    measured: str
    against: str = ""
    ratio: Estimate | None = None
    target: str = ""
    met: bool | None = None
    notes: Sequence[str] = ()
    samples: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """All that was measured, by what it is; units are in the names."""


Benchmark = Callable[[Plan], Coroutine[Any, Any, list[Row]]]
