"""What was used: a part of the client."""

from dataclasses import dataclass
from typing import Literal

from sensorium.gateway.v1 import usage_pb2

from sensorium_client import decode
from sensorium_client.calls import GatewayCalls

Grouping = Literal["day", "tenant", "credential"]

_GROUPINGS: dict[Grouping, usage_pb2.UsageGrouping.ValueType] = {
    "day": usage_pb2.USAGE_GROUPING_DAY,
    "tenant": usage_pb2.USAGE_GROUPING_TENANT,
    "credential": usage_pb2.USAGE_GROUPING_CREDENTIAL,
}
_MILLION = 1e6


@dataclass(frozen=True)
class UsageTotal:
    """What the requests of one day, tenant or credential took."""

    key: str
    """The day in UTC, the tenant, or the id of the credential; empty without a credential."""
    request_count: int
    failed_count: int
    """Of these, requests that ended with an error or were cancelled."""
    prompt_token_count: int
    cached_token_count: int
    """Of the prompts, tokens that were already in the model's cache."""
    completion_token_count: int
    media_s: float
    media_bytes: int
    segment_count: int
    cache_hit_count: int
    cost: float
    """Estimated, in the currency."""


@dataclass(frozen=True)
class UsageReport:
    """What was used."""

    totals: tuple[UsageTotal, ...]
    currency: str
    """Of the server's price file; empty where nothing has a price."""


class UsageCalls(GatewayCalls):
    """What can be known of what was used."""

    async def usage(
        self,
        *,
        grouping: Grouping = "day",
        since_s: float | None = None,
        all_tenants: bool = False,
    ) -> UsageReport:
        """What was used since a time in seconds since 1970, without it in the last 30 days.

        ``all_tenants`` needs a credential with the scope operate.
        """
        request = usage_pb2.GetUsageRequest(grouping=_GROUPINGS[grouping], all_tenants=all_tenants)
        if since_s is not None:
            request.since.FromMicroseconds(round(since_s * 1e6))
        response = await self._unary(self._stub.GetUsage, request)
        return UsageReport(tuple(map(_total, response.totals)), response.currency)


def _total(message: usage_pb2.UsageTotal) -> UsageTotal:
    return UsageTotal(
        key=message.key,
        request_count=message.request_count,
        failed_count=message.failed_count,
        prompt_token_count=message.prompt_token_count,
        cached_token_count=message.cached_token_count,
        completion_token_count=message.completion_token_count,
        media_s=decode.seconds(message.media_duration),
        media_bytes=message.media_bytes,
        segment_count=message.segment_count,
        cache_hit_count=message.cache_hit_count,
        cost=message.cost_micros / _MILLION,
    )
