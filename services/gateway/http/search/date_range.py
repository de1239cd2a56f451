"""When something was stored, as people say it: ``last_30_days``, ``today``, or two dates."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated

from pydantic import Field

from services.gateway.http.moments import When, instant
from services.gateway.http.schema import Strict
from services.runtime.errors import InvalidInput

_LAST = re.compile(r"last_([1-9][0-9]{0,4})_(hour|day|week|month|year)s?")
_UNITS = {
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
    "month": timedelta(days=30),
    "year": timedelta(days=365),
}
_FIRST = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_OF_ALL = datetime(9999, 1, 1, tzinfo=UTC)


PeriodWords = Annotated[
    str, Field(json_schema_extra={"pattern": f"^(today|yesterday|{_LAST.pattern})$"})
]


class Between(Strict):
    """From a time on, and before another; a date stands for its whole day, in UTC."""

    from_: When | None = Field(None, alias="from", examples=["2024-05-01"])
    to: When | None = Field(None, examples=["2024-05-31", "2024-05-31T12:00:00+02:00"])


@dataclass(frozen=True, slots=True)
class Period:
    """From a time on, and before another; None leaves that side open."""

    start: datetime | None
    end: datetime | None


def read_date_range(wanted: str | Between, now: datetime) -> Period:
    """The period that is meant at a time. Raises InvalidInput DATE_RANGE_INVALID."""
    if isinstance(wanted, Between):
        return Period(_instant(wanted.from_, 0), _instant(wanted.to, 1))
    today = datetime.combine(now.astimezone(UTC).date(), time(), UTC)
    if wanted == "today":
        return Period(today, None)
    if wanted == "yesterday":
        return Period(today - timedelta(days=1), today)
    match = _LAST.fullmatch(wanted)
    if match is None:
        raise InvalidInput(
            "DATE_RANGE_INVALID",
            'A date range is such as "last_30_days", "last_12_hours", "today", "yesterday", or '
            '{"from": "2024-05-01", "to": "2024-05-31"}.',
            subject="filters.date_range",
        )
    age = int(match[1]) * _UNITS[match[2]]
    return Period(now - min(age, now - _FIRST), None)


def _instant(when: date | datetime | None, days_later: int) -> datetime | None:
    return None if when is None else min(max(instant(when, days_later), _FIRST), _LAST_OF_ALL)
