"""Cutting of sound at its pauses."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

SAMPLE_RATE_HZ = 16_000
_PAUSE_SAMPLES = SAMPLE_RATE_HZ // 5
_HOP_SAMPLES = SAMPLE_RATE_HZ // 100

Samples = npt.NDArray[np.int16]


class PauseCutter:
    """Cuts a signal into windows between ``min_s`` and ``max_s`` long, at the quietest 200 ms.

    Windows tile the signal: end to end, nothing dropped, nothing repeated. They
    depend on the signal alone, not on the pieces it comes in. The last window
    is as long as what is left.
    """

    def __init__(self, min_s: float, max_s: float) -> None:
        self._min = round(min_s * SAMPLE_RATE_HZ)
        self._max = max(round(max_s * SAMPLE_RATE_HZ), self._min + 2 * _PAUSE_SAMPLES)
        self._held: list[Samples] = []
        self._held_count = 0
        self.sample_count = 0
        """Samples taken in so far."""

    def push(self, samples: Samples) -> Iterator[Samples]:
        """Take in the next samples, shape (n,), int16; yield the windows they complete."""
        self._held.append(samples)
        self._held_count += len(samples)
        self.sample_count += len(samples)
        if self._held_count < self._max:
            return
        signal = np.concatenate(self._held)
        while len(signal) >= self._max:
            cut = self._quietest(signal[: self._max])
            yield signal[:cut]
            signal = signal[cut:]
        self._held, self._held_count = [signal], len(signal)

    def flush(self) -> Iterator[Samples]:
        """The last window, if anything is left."""
        if self._held_count:
            yield np.concatenate(self._held)
        self._held, self._held_count = [], 0

    def _quietest(self, signal: Samples) -> int:
        """Middle of the 200 ms with the least energy; of equally quiet ones, the last."""
        energy = np.concatenate(([0], np.cumsum(signal.astype(np.int64) ** 2)))
        starts = np.arange(
            self._min - _PAUSE_SAMPLES // 2, len(signal) - _PAUSE_SAMPLES + 1, _HOP_SAMPLES
        )
        energies = energy[starts + _PAUSE_SAMPLES] - energy[starts]
        last = len(energies) - 1 - int(np.argmin(energies[::-1]))
        return int(starts[last]) + _PAUSE_SAMPLES // 2
