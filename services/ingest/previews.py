"""When sound is shown that no window holds yet."""

import time
from collections.abc import Callable

from services.ingest.windows import SAMPLE_RATE_HZ

INTERVAL_S = 1.0


class PreviewPace:
    """Tells when a preview is due: for a second of new sound, and not twice in a second.

    The clock counts too: of a recording that is sent all at once, what is heard in the middle
    of a window is old before it can be shown.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due_at_s = clock()
        self._shown_count = 0

    def is_due(self, sample_count: int, open_count: int) -> bool:
        """Whether to show the last ``open_count`` of ``sample_count`` samples now, and if so,
        until when not again."""
        new_count = min(sample_count - self._shown_count, open_count)
        if new_count < INTERVAL_S * SAMPLE_RATE_HZ or self._clock() < self._due_at_s:
            return False
        self._shown_count = sample_count
        self._due_at_s = self._clock() + INTERVAL_S
        return True
