"""When something was stored, as people say it: ``last_30_days``, ``today``, or two dates."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field

from services.gateway.http.schema import Schema
from services.runtime.errors import InvalidInput

_LAST = re.compile(r"last_([1-9]\d{0,4})_(hour|day|week|month|year)s?")
_UNITS = {
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
    "month": timedelta(days=30),
    "year": timedelta(days=365),
}
_FIRST = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_OF_ALL = datetime(9999, 1, 1, tzinfo=UTC)


def _read_when(sent: Any) -> Any:
    """A date stays a date, where Pydantic would make it the midnight before."""
    if not isinstance(sent, str):
        return sent
    return date.fromisoformat(sent) if len(sent) == 10 else datetime.fromisoformat(sent)


When = Annotated[date | datetime | None, BeforeValidator(_read_when, json_schema_input_type=str)]


class Between(Schema):
    """From a time on, and before another; a date stands for its whole day, in UTC."""

    model_config = ConfigDict(extra="forbid")

    from_: When = Field(None, alias="from", examples=["2024-05-01"])
    to: When = Field(None, examples=["2024-05-31", "2024-05-31T12:00:00+02:00"])


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
    """A time as it is, in UTC unless it says where; of a date a midnight."""
    if when is None:
        return None
    if not isinstance(when, datetime):
        ordinal = min(when.toordinal() + days_later, date.max.toordinal())
        when = datetime.combine(date.fromordinal(ordinal), time())
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return min(max(when, _FIRST), _LAST_OF_ALL)
