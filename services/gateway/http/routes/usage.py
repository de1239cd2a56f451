"""``/v1/usage``: what was used."""

from datetime import UTC, date, datetime
from typing import Annotated, Literal

from fastapi import Query, Request
from pydantic import BaseModel
from sensorium.gateway.v1 import usage_pb2

from services.gateway.http.front import FrontDep
from services.gateway.http.moments import When, instant
from services.gateway.http.router import Router
from services.runtime.durations import to_seconds

router = Router(prefix="/v1/usage", tags=["usage"])

_GROUPINGS = {
    "day": usage_pb2.USAGE_GROUPING_DAY,
    "tenant": usage_pb2.USAGE_GROUPING_TENANT,
    "credential": usage_pb2.USAGE_GROUPING_CREDENTIAL,
}
_MILLION = 1e6
_LAST_S = datetime.max.replace(tzinfo=UTC).timestamp() - 1


class UsageTotal(BaseModel):
    """What the requests of one day, tenant or credential took."""

    key: str
    """The day in UTC, the tenant, or the id of the credential; empty without a credential."""
    requests: int
    failed: int
    """Of these, requests that ended with an error or were cancelled."""
    prompt_tokens: int
    cached_tokens: int
    """Of the prompts, tokens that were already in the model's cache."""
    completion_tokens: int
    media_seconds: float
    media_bytes: int
    segments: int
    cache_hits: int
    """Encoding tasks answered from the cache."""
    cost: float
    """Estimated, in the currency."""


class UsageList(BaseModel):
    """What was used."""

    object: Literal["list"] = "list"
    currency: str
    """Of the server's price file; empty where nothing has a price."""
    data: list[UsageTotal]


@router.get("")
async def get_usage(
    request: Request,
    front: FrontDep,
    since: Annotated[
        When | None, Query(description="Requests since then; without it: the last 30 days.")
    ] = None,
    group_by: Literal["day", "tenant", "credential"] = "day",
    all_tenants: Annotated[
        bool, Query(description="That of all tenants, which needs the scope operate.")
    ] = False,
) -> UsageList:
    """What was used, added up; it lags by about a second."""
    asked = usage_pb2.GetUsageRequest(grouping=_GROUPINGS[group_by], all_tenants=all_tenants)
    if since:
        asked.since.FromSeconds(_unix_s(since))
    async with front.enter(request, "GetUsage") as scope:
        found = await front.calls.usage.get(scope, asked)
    return UsageList(currency=found.currency, data=[_total(total) for total in found.totals])


def _unix_s(moment: date | datetime) -> int:
    """Seconds since 1970, within what a Timestamp can hold."""
    return int(min(max(instant(moment).timestamp(), 0), _LAST_S))


def _total(total: usage_pb2.UsageTotal) -> UsageTotal:
    return UsageTotal(
        key=total.key,
        requests=total.request_count,
        failed=total.failed_count,
        prompt_tokens=total.prompt_token_count,
        cached_tokens=total.cached_token_count,
        completion_tokens=total.completion_token_count,
        media_seconds=to_seconds(total.media_duration),
        media_bytes=total.media_bytes,
        segments=total.segment_count,
        cache_hits=total.cache_hit_count,
        cost=total.cost_micros / _MILLION,
    )
