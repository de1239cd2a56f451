"""Permit before work: one gate at the edge, so that overload is visible and typed."""

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator

from services.runtime.calls import CallScope
from services.runtime.errors import Overloaded

RETRY_AFTER_MIN_S, RETRY_AFTER_MAX_S = 1.0, 30.0
TURN_S = 2.0
"""What a turn is taken to last until some have been seen."""
WEIGHT = 0.1
"""Of the latest turn in the mean."""


class Admission:
    """Counts the turns at work. Past the limit a turn is refused, never queued: it is told to come
    again about when a place will be free, after those that were refused before it. Were all told
    the same, refusing them again and again would take the processor from those at work."""

    def __init__(self, turns_max: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._turns_max = turns_max
        self._clock = clock
        self._turn_s = TURN_S
        self._next_free_s = 0.0
        self._active = 0
        self._of_tenants: Counter[str] = Counter()

    @property
    def active(self) -> int:
        """Turns at work now."""
        return self._active

    @contextlib.contextmanager
    def permit(self, scope: CallScope) -> Iterator[None]:
        """Hold one permit. Raises Overloaded with a retry hint: TOO_MANY_TURNS, or RATE_LIMITED
        where it is the tenant that has too many."""
        tenant_id, turns_max = scope.tenant_id, scope.account.turns_max
        if turns_max is not None and self._of_tenants[tenant_id] >= turns_max:
            raise Overloaded(
                "RATE_LIMITED",
                f"The limit of {turns_max} questions at once is reached; try again in a moment.",
                subject="turns",
                retry_after_s=RETRY_AFTER_MIN_S,
            )
        if self._active >= self._turns_max:
            raise Overloaded(
                "TOO_MANY_TURNS",
                f"All {self._turns_max} places are taken; try again in a moment.",
                subject="turns",
                retry_after_s=self._retry_after_s(),
            )
        began_s = self._clock()
        self._active += 1
        self._of_tenants[tenant_id] += 1
        try:
            yield
        finally:
            self._active -= 1
            self._of_tenants[tenant_id] -= 1
            if not self._of_tenants[tenant_id]:
                del self._of_tenants[tenant_id]
            self._turn_s += WEIGHT * (self._clock() - began_s - self._turn_s)

    def _retry_after_s(self) -> float:
        """The next moment that is nobody's yet: places become free one after the other."""
        now_s = self._clock()
        expected_s = max(self._next_free_s, now_s) + self._turn_s / self._turns_max
        self._next_free_s = min(expected_s, now_s + RETRY_AFTER_MAX_S)
        return max(RETRY_AFTER_MIN_S, self._next_free_s - now_s)
