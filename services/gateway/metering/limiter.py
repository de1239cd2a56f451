"""Holds requests to the limits of their tenant: at the door, and while their work goes on."""

import copy
import math
from collections.abc import Collection

from services.gateway.metering.counters import Counters
from services.gateway.metering.limits import Limit, Limits, Resource, Window
from services.runtime.account import Charger, Usage
from services.runtime.errors import Overloaded
from services.runtime.telemetry import metrics

RETRY_MIN_S = 0.001

TAKEN: dict[str, tuple[Resource, ...]] = {
    "StreamingConverse": (Resource.TOKENS,),
    "Ask": (Resource.TOKENS,),
    "Caption": (Resource.TOKENS,),
    "Transcribe": (Resource.MEDIA_SECONDS,),
    "StreamingUpload": (Resource.MEDIA_SECONDS, Resource.BYTES),
}
"""RPC of the gateway -> what it is sure to take besides a request: refused where none is left."""


class Limiter:
    """The limits of all tenants and what is counted against them."""

    def __init__(self, limits: Limits, counters: Counters) -> None:
        self._limits = limits
        self._counters = counters

    def turns_max(self, tenant_id: str) -> int | None:
        """Questions of a tenant answered at once; None for as many as there are places."""
        return self._limits.of(tenant_id).turns

    async def admit(self, tenant_id: str, method: str) -> None:
        """Count a request. Raises Overloaded RATE_LIMITED or QUOTA_EXCEEDED where nothing is left
        of what it takes; such a request is not counted."""
        limits = self._limits.of(tenant_id)
        resources = (Resource.REQUESTS, *TAKEN.get(method, ()))
        needed = [limit for resource in resources for limit in limits.of(resource)]
        if spent := await self._counters.spent(tenant_id, needed):
            raise await self._refusal(tenant_id, spent)
        # Others may have come between; who is past the limit by its own count is refused.
        if past := await self._counters.take(tenant_id, limits.of(Resource.REQUESTS)):
            raise await self._refusal(tenant_id, past)

    async def charge_tokens(self, tenant_id: str, count: float) -> None:
        """Count tokens. The answer that runs past the limit is the last one."""
        await self._counters.take(tenant_id, self._limits.of(tenant_id).of(Resource.TOKENS), count)

    async def charge_media(self, tenant_id: str, seconds: float) -> None:
        """Count seconds of media. Raises Overloaded where none were left before; what runs past
        the limit is the last."""
        limits = list(self._limits.of(tenant_id).of(Resource.MEDIA_SECONDS))
        if spent := await self._counters.spent(tenant_id, limits):
            raise await self._refusal(tenant_id, spent)
        await self._counters.take(tenant_id, limits, seconds)

    async def charge_bytes(self, tenant_id: str, count: float) -> None:
        """Count bytes that came in. Raises Overloaded where they run past the limit."""
        limits = self._limits.of(tenant_id).of(Resource.BYTES)
        if past := await self._counters.take(tenant_id, limits, count):
            raise await self._refusal(tenant_id, past)

    async def close(self) -> None:
        """Free the connections of the counters."""
        await self._counters.close()

    async def _refusal(self, tenant_id: str, reached: Collection[Limit]) -> Overloaded:
        """The error that names the longest of the limits and says when all are free again."""
        wait_s = max(await self._counters.frees_in_s(tenant_id, reached), RETRY_MIN_S)
        limit = max(reached, key=lambda each: list(Window).index(each.window))
        reason = "QUOTA_EXCEEDED" if limit.window.is_quota else "RATE_LIMITED"
        metrics.limited.add(1, {"reason": reason, "resource": str(limit.resource)})
        return Overloaded(
            reason,
            f"The limit of {limit} is reached; it frees in {math.ceil(wait_s)} s.",
            subject=f"{limit.resource}/{limit.window}",
            retry_after_s=wait_s,
        )


class TenantCharger(Charger):
    """Charges one request's tenant for what it takes."""

    def __init__(self, limiter: Limiter, tenant_id: str, method: str) -> None:
        self._limiter = limiter
        self._tenant_id = tenant_id
        self._method = method
        self._charged = Usage()

    @property
    def turns_max(self) -> int | None:
        """See ``Charger``."""
        return self._limiter.turns_max(self._tenant_id)

    async def begin(self) -> None:
        """See ``Charger``."""
        await self._limiter.admit(self._tenant_id, self._method)

    async def charge(self, used: Usage) -> None:
        """See ``Charger``."""
        before, self._charged = self._charged, copy.copy(used)
        charges = (
            (self._limiter.charge_tokens, _tokens(used) - _tokens(before)),
            (self._limiter.charge_bytes, used.media_bytes - before.media_bytes),
            (self._limiter.charge_media, used.media_s - before.media_s),
        )
        refusals: list[Overloaded] = []
        for charge, amount in charges:
            if amount:
                try:
                    await charge(self._tenant_id, amount)
                except Overloaded as refusal:
                    # What else was used counts all the same.
                    refusals.append(refusal)
        if refusals:
            raise refusals[0]


def _tokens(used: Usage) -> int:
    return used.prompt_token_count + used.completion_token_count
