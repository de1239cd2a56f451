"""What was used, added up."""

import time
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from sensorium.gateway.v1 import usage_pb2
from sqlalchemy import Row, Select, case, func, select

from services.gateway.database.engine import Database
from services.gateway.metering.records import UsageLog
from services.gateway.metering.tables import usage_records
from services.runtime.calls import CallScope
from services.runtime.durations import to_duration
from services.runtime.errors import InvalidInput, PermissionDenied

TOTALS_MAX = 1000
SINCE_DEFAULT_S = 30 * 86_400.0

_COLUMNS = usage_records.c
_DAY = usage_pb2.USAGE_GROUPING_DAY
_KEYS = {
    usage_pb2.USAGE_GROUPING_UNSPECIFIED: _COLUMNS.day,
    _DAY: _COLUMNS.day,
    usage_pb2.USAGE_GROUPING_TENANT: _COLUMNS.tenant_id,
    usage_pb2.USAGE_GROUPING_CREDENTIAL: _COLUMNS.credential_id,
}
_COUNTS = (
    "prompt_token_count",
    "cached_token_count",
    "completion_token_count",
    "media_bytes",
    "segment_count",
    "cache_hit_count",
    "cost_micros",
)
"""Columns that are added up as they are, named alike in the contract."""


class UsageReport:
    """Adds up the records of a database; those that this gateway has yet to write included."""

    def __init__(self, database: Database, usage_log: UsageLog, currency: str) -> None:
        self._database = database
        self._log = usage_log
        self._currency = currency

    async def get(
        self, scope: CallScope, request: usage_pb2.GetUsageRequest
    ) -> usage_pb2.GetUsageResponse:
        """What was used. Raises PermissionDenied SCOPE_MISSING, InvalidInput GROUPING_UNKNOWN,
        Unavailable DATABASE_UNAVAILABLE."""
        if request.all_tenants and not scope.operator:
            raise PermissionDenied(
                "SCOPE_MISSING",
                "The usage of all tenants needs a credential with the scope operate.",
                subject="operate",
            )
        if request.grouping not in _KEYS:
            raise InvalidInput(
                "GROUPING_UNKNOWN",
                "Usage is added up by day, tenant or credential.",
                subject="grouping",
            )
        await self._log.flush()
        async with self._database.transaction() as connection:
            rows = (await connection.execute(_query(scope, request))).all()
        totals = [_total(row) for row in rows]
        if _by_day(request):
            totals.reverse()
        return usage_pb2.GetUsageResponse(totals=totals, currency=self._currency)


def _by_day(request: usage_pb2.GetUsageRequest) -> bool:
    return _KEYS[request.grouping] is _COLUMNS.day


def _query(scope: CallScope, request: usage_pb2.GetUsageRequest) -> Select[Any]:
    since_s = time.time() - SINCE_DEFAULT_S
    if request.HasField("since"):
        since_s = _unix_s(request.since)
    key = _KEYS[request.grouping]
    sums = {name: func.sum(_COLUMNS[name]).label(name) for name in _COUNTS}
    tokens = func.sum(_COLUMNS.prompt_token_count + _COLUMNS.completion_token_count)
    query = (
        select(
            key.label("key"),
            func.count().label("request_count"),
            func.sum(case((_COLUMNS.outcome == "OK", 0), else_=1)).label("failed_count"),
            func.sum(_COLUMNS.media_s).label("media_s"),
            *sums.values(),
        )
        .where(_COLUMNS.start_time_s >= since_s)
        .group_by(key)
        .limit(TOTALS_MAX)
    )
    if not request.all_tenants:
        query = query.where(_COLUMNS.tenant_id == scope.tenant_id)
    if _by_day(request):
        return query.order_by(key.desc())
    return query.order_by(sums["cost_micros"].desc(), tokens.desc(), key)


def _total(row: Row[Any]) -> usage_pb2.UsageTotal:
    # PostgreSQL's sums of whole numbers are decimals.
    counts = {name: int(getattr(row, name)) for name in _COUNTS}
    return usage_pb2.UsageTotal(
        key=row.key,
        request_count=row.request_count,
        failed_count=int(row.failed_count),
        media_duration=to_duration(row.media_s),
        **counts,
    )


def _unix_s(time_of: Timestamp) -> float:
    return time_of.seconds + time_of.nanos / 1e9
