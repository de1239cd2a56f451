"""The door: every call of every transport passes it before anything is done for it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from services.runtime.calls import CallScope


@dataclass(frozen=True, slots=True)
class Arrival:
    """A call at the door, before it is known who makes it."""

    method: str
    """Name of the gateway's RPC, or of the one that an HTTP route stands for."""
    authorization: str = ""
    """As in the HTTP header of that name: ``Bearer ...``."""
    user_id: str = ""
    """Who the caller says that it acts for."""
    remaining_s: Callable[[], float | None] = lambda: None
    """Seconds left of the caller's deadline; None without one."""


class Entrance:
    """Turns an arrival into the scope on whose behalf its work is done."""

    @asynccontextmanager
    async def enter(self, arrival: Arrival) -> AsyncIterator[CallScope]:
        """The scope of a call, for as long as the call lasts.

        Raises Unauthenticated, PermissionDenied or Overloaded, before the block runs.
        """
        yield CallScope(user_id=arrival.user_id, remaining_s=arrival.remaining_s)
