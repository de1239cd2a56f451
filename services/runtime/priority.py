"""Classes of work, and whose turn it is: the higher class first, but none is starved."""

import enum
from collections.abc import Sequence

PASSED_OVER_MAX = 8
"""A class that waits is passed over at most this often in a row, and once more where two are due
at the same moment: it gets a ninth of what there is, whatever else comes."""


class Priority(enum.StrEnum):
    """Which of two waiting pieces of work goes first, the first named."""

    HIGH = "high"
    NORMAL = "normal"
    BULK = "bulk"

    @property
    def rank(self) -> int:
        """0 for the highest."""
        return _RANKS[self]


_RANKS = {priority: rank for rank, priority in enumerate(Priority)}


class ClassTurns:
    """Decides which of the classes that wait is served next."""

    def __init__(self) -> None:
        self._passed_over = dict.fromkeys(Priority, 0)

    def due(self, waiting: Sequence[Priority]) -> Priority:
        """Whose turn it is among the classes that wait, of which there is at least one."""
        longest = max(waiting, key=self._passed_over.__getitem__)
        if self._passed_over[longest] >= PASSED_OVER_MAX:
            return longest
        return min(waiting, key=lambda priority: priority.rank)

    def take(self, waiting: Sequence[Priority]) -> Priority:
        """The same, and it is served now."""
        served = self.due(waiting)
        for priority in Priority:
            passed = priority in waiting and priority is not served
            self._passed_over[priority] = self._passed_over[priority] + 1 if passed else 0
        return served
