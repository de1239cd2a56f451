"""Which moments of a video are looked at.

The time line is divided into bins; at most one frame is taken from each.

Uniform sampling takes one from every bin:

* Length known: n equal bins, n = half the seconds, but at least
  :data:`FILLED_COUNT` and at most the frame budget. So short clips are filled
  and long ones thinned.
* Length unknown: bins of 1 s for the first few (what a short clip would have),
  of 2 s until half of the budget is spent, then longer and longer ones,
  doubling after each eighth of the budget. What was sent cannot be taken back,
  so the budget has to last; 32 frames reach over four minutes.

With a rate it decides in the place of the half second and of the filling.
Methods that find their frames themselves (key frames, shots) use the bins to
keep to the budget: as many as it has, or as the rate allows.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from services.ingest.options import FrameSampling, SamplingMethod

FRAME_INTERVAL_S = 2.0
FILLED_COUNT = 6


@dataclass(frozen=True, slots=True)
class Bin:
    """A stretch of the time line that gives at most one frame."""

    start_s: float
    end_s: float

    @property
    def middle_s(self) -> float:
        """The moment that stands for the bin where no key frame does."""
        return (self.start_s + self.end_s) / 2


class Budget:
    """Lets at most one frame of each bin through, in order of time."""

    def __init__(self, bins: Iterator[Bin]) -> None:
        self._bins = bins
        self.bin: Bin | None = next(bins, None)
        """The bin that waits for its frame; None when all is spent."""

    def admits(self, time_s: float) -> bool:
        """Whether a frame of this time may be taken. Bins that ended before it are passed."""
        self.skip_to(time_s)
        return self.bin is not None and self.bin.start_s <= time_s

    def skip_to(self, time_s: float) -> None:
        """Pass the bins that ended at or before a time."""
        while self.bin is not None and self.bin.end_s <= time_s:
            self.spend()

    def spend(self) -> None:
        """The bin has its frame."""
        self.bin = next(self._bins, None)


def sampling_bins(duration_s: float | None, sampling: FrameSampling) -> Iterator[Bin]:
    """The bins of a video in order of time, ``sampling.count_max`` at most."""
    if duration_s is not None and duration_s > 0:
        return _known(duration_s, sampling)
    return _unknown(sampling)


def _known(duration_s: float, sampling: FrameSampling) -> Iterator[Bin]:
    if sampling.rate_hz is not None:
        wanted = max(1, math.ceil(duration_s * sampling.rate_hz))
    elif sampling.method is SamplingMethod.UNIFORM:
        wanted = max(FILLED_COUNT, math.ceil(duration_s / FRAME_INTERVAL_S))
    else:
        wanted = sampling.count_max
    count = min(sampling.count_max, wanted)
    for index in range(count):
        yield Bin(duration_s * index / count, duration_s * (index + 1) / count)


def _unknown(sampling: FrameSampling) -> Iterator[Bin]:
    budget = sampling.count_max
    interval_s = FRAME_INTERVAL_S if sampling.rate_hz is None else 1 / sampling.rate_hz
    filled = min(FILLED_COUNT, budget // 4) if sampling.rate_hz is None else 0
    steady = max(1, budget // 2)
    octave = max(1, budget // 8)
    start_s = 0.0
    for index in range(budget):
        width_s = interval_s
        if index < filled:
            width_s = interval_s / 2
        elif index >= steady:
            width_s *= 2 ** (1 + (index - steady) // octave)
        yield Bin(start_s, start_s + width_s)
        start_s += width_s
