"""The door: every call of every transport passes it before anything is done for it."""

import dataclasses
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from services.gateway.access.principal import ANYONE, Principal
from services.gateway.access.scopes import check_scope
from services.runtime.calls import CallScope


@dataclass(frozen=True, slots=True)
class Arrival:
    """A call at the door, before it is known who makes it."""

    method: str
    """Name of the gateway's RPC, or of the one that an HTTP route stands for."""
    authorization: str = ""
    """As in the HTTP header of that name: ``Bearer ...``."""
    user_id: str = ""
    """Who the caller says that it acts for; counts only where no credentials are asked for."""
    remaining_s: Callable[[], float | None] = lambda: None
    """Seconds left of the caller's deadline; None without one."""


class Authenticator(Protocol):
    """Finds out who shows a credential."""

    async def authenticate(self, authorization: str) -> Principal:
        """Whose credential it is. Raises Unauthenticated, or Unavailable where that cannot be
        found out now."""
        ...


class Entrance:
    """Turns an arrival into the scope on whose behalf its work is done."""

    def __init__(self, authenticator: Authenticator | None = None) -> None:
        """Without an ``authenticator`` no credentials are asked for."""
        self._authenticator = authenticator

    @asynccontextmanager
    async def enter(self, arrival: Arrival) -> AsyncIterator[CallScope]:
        """The scope of a call, for as long as the call lasts.

        Raises Unauthenticated, PermissionDenied, Overloaded or Unavailable, before the block runs.
        """
        principal = await self._identify(arrival)
        check_scope(principal.scopes, arrival.method)
        yield CallScope(
            tenant_id=principal.tenant_id,
            user_id=principal.user_id,
            remaining_s=arrival.remaining_s,
        )

    async def _identify(self, arrival: Arrival) -> Principal:
        if self._authenticator is None:
            return dataclasses.replace(ANYONE, user_id=arrival.user_id)
        return await self._authenticator.authenticate(arrival.authorization)
