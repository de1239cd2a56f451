"""Which moments of a video are looked at.

The time line is divided into bins; one frame is taken from each.

* Length known: n equal bins, n = half the seconds, but at least
  :data:`FILLED_COUNT` and at most the frame budget. So short clips are filled
  and long ones thinned.
* Length unknown: bins of 1 s for the first few (what a short clip would have),
  of 2 s until half of the budget is spent, then longer and longer ones,
  doubling after each eighth of the budget. What was sent cannot be taken back,
  so the budget has to last; 32 frames reach over four minutes.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

FRAME_INTERVAL_S = 2.0
FILLED_COUNT = 6


@dataclass(frozen=True, slots=True)
class Bin:
    """A stretch of the time line that gives one frame."""

    start_s: float
    end_s: float

    @property
    def middle_s(self) -> float:
        """The moment that stands for the bin where no key frame does."""
        return (self.start_s + self.end_s) / 2


def sampling_bins(duration_s: float | None, frame_count_max: int) -> Iterator[Bin]:
    """The bins of a video in order of time, ``frame_count_max`` at most."""
    if duration_s is not None and duration_s > 0:
        return _known(duration_s, frame_count_max)
    return _unknown(frame_count_max)


def _known(duration_s: float, frame_count_max: int) -> Iterator[Bin]:
    wanted = max(FILLED_COUNT, math.ceil(duration_s / FRAME_INTERVAL_S))
    count = min(frame_count_max, wanted)
    for index in range(count):
        yield Bin(duration_s * index / count, duration_s * (index + 1) / count)


def _unknown(frame_count_max: int) -> Iterator[Bin]:
    start_s = 0.0
    filled = min(FILLED_COUNT, frame_count_max // 4)
    steady = max(1, frame_count_max // 2)
    octave = max(1, frame_count_max // 8)
    for index in range(frame_count_max):
        width_s = FRAME_INTERVAL_S
        if index < filled:
            width_s = FRAME_INTERVAL_S / 2
        elif index >= steady:
            width_s *= 2 ** (1 + (index - steady) // octave)
        yield Bin(start_s, start_s + width_s)
        start_s += width_s
