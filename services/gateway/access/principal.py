"""Who calls, once it is known."""

from dataclasses import dataclass

from services.gateway.access.scopes import Scope
from services.runtime.calls import DEFAULT_TENANT
from services.runtime.priority import Priority


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls, as the credential says it; nothing of it comes from the request."""

    tenant_id: str
    user_id: str = ""
    """Empty for a credential that is bound to no user."""
    scopes: frozenset[Scope] = frozenset()
    priority: Priority = Priority.NORMAL
    credential_id: str = ""
    """Id of the key, or subject of the token; no secret. Empty without a credential."""


ANYONE = Principal(DEFAULT_TENANT, scopes=frozenset(Scope))
"""Who calls where no credentials are asked for: the tenant ``default``, free to do all."""
