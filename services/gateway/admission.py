"""Permit before work: one gate at the edge, so that overload is visible and typed."""

import contextlib
from collections import Counter
from collections.abc import Iterator

from services.runtime.calls import CallScope
from services.runtime.errors import Overloaded

RETRY_AFTER_S = 1.0


class Admission:
    """Counts the turns at work. Past the limit a turn is refused, never queued."""

    def __init__(self, turns_max: int) -> None:
        self._turns_max = turns_max
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
                retry_after_s=RETRY_AFTER_S,
            )
        if self._active >= self._turns_max:
            raise Overloaded(
                "TOO_MANY_TURNS",
                f"All {self._turns_max} places are taken; try again in a moment.",
                subject="turns",
                retry_after_s=RETRY_AFTER_S,
            )
        self._active += 1
        self._of_tenants[tenant_id] += 1
        try:
            yield
        finally:
            self._active -= 1
            self._of_tenants[tenant_id] -= 1
            if not self._of_tenants[tenant_id]:
                del self._of_tenants[tenant_id]
