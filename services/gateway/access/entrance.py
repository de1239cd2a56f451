"""The door: every call of every transport passes it before anything is done for it."""

import dataclasses
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from services.gateway.access.principal import ANYONE, Principal
from services.gateway.access.scopes import Scope, check_scope
from services.gateway.metering.requests import Metering
from services.runtime.calls import PRIORITY_KEY, CallScope, to_priority
from services.runtime.errors import PermissionDenied
from services.runtime.priority import Priority
from services.runtime.served import current_call


@dataclass(frozen=True, slots=True)
class Arrival:
    """A call at the door, before it is known who makes it."""

    method: str
    """Name of the gateway's RPC, or of the one that an HTTP route stands for."""
    authorization: str = ""
    """As in the HTTP header of that name: ``Bearer ...``."""
    user_id: str = ""
    """Who the caller says that it acts for; counts only where no credentials are asked for."""
    priority: str = ""
    """The class that the caller asks for; empty for that of its credential."""
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

    def __init__(self, metering: Metering, authenticator: Authenticator | None = None) -> None:
        """Without an ``authenticator`` no credentials are asked for."""
        self._metering = metering
        self._authenticator = authenticator

    @asynccontextmanager
    async def enter(self, arrival: Arrival) -> AsyncIterator[CallScope]:
        """The scope of a call, for as long as the call lasts.

        Raises Unauthenticated, PermissionDenied, Overloaded or Unavailable, before the block runs.
        """
        principal = await self._identify(arrival)
        current_call().of_tenant(principal.tenant_id)
        check_scope(principal.scopes, arrival.method)
        priority = _priority(principal, arrival)

        async def readmit() -> None:
            check_scope((await self._identify(arrival)).scopes, arrival.method)

        async with self._metering.request(principal, arrival.method, readmit) as account:
            yield CallScope(
                tenant_id=principal.tenant_id,
                user_id=principal.user_id,
                remaining_s=arrival.remaining_s,
                priority=priority,
                operator=Scope.OPERATE in principal.scopes,
                account=account,
            )

    async def _identify(self, arrival: Arrival) -> Principal:
        if self._authenticator is None:
            return dataclasses.replace(ANYONE, user_id=arrival.user_id)
        return await self._authenticator.authenticate(arrival.authorization)


def _priority(principal: Principal, arrival: Arrival) -> Priority:
    """The class asked for, if the credential's is not lower."""
    asked = to_priority(arrival.priority) or principal.priority
    if asked.rank < principal.priority.rank:
        raise PermissionDenied(
            "PRIORITY_TOO_HIGH",
            f"The credential is good for the priority {principal.priority} and lower ones.",
            subject=PRIORITY_KEY,
        )
    return asked
