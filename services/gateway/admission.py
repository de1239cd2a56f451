"""Permit before work: one gate at the edge, so that overload is visible and typed."""

import contextlib
from collections.abc import Iterator

from services.runtime.errors import Overloaded

RETRY_AFTER_S = 1.0


class Admission:
    """Counts the turns at work. Past the limit a turn is refused, never queued."""

    def __init__(self, turns_max: int) -> None:
        self._turns_max = turns_max
        self._active = 0

    @property
    def active(self) -> int:
        """Turns at work now."""
        return self._active

    @contextlib.contextmanager
    def permit(self) -> Iterator[None]:
        """Hold one permit. Raises Overloaded TOO_MANY_TURNS with a retry hint."""
        if self._active >= self._turns_max:
            raise Overloaded(
                "TOO_MANY_TURNS",
                f"All {self._turns_max} places are taken; try again in a moment.",
                subject="turns",
                retry_after_s=RETRY_AFTER_S,
            )
        self._active += 1
        try:
            yield
        finally:
            self._active -= 1
