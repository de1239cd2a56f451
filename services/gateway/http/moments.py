"""Dates and times as requests spell them."""

import re
from datetime import UTC, date, datetime, time
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

_DATE = r"\d{4}-\d\d-\d\d"
_TIME = r"\d\d:\d\d(:\d\d(\.\d+)?)?"
# Python writes offsets of long ago with seconds.
_SPELLED = re.compile(rf"{_DATE}(T{_TIME}(Z|[+-]{_TIME})?)?", re.ASCII)


def _read(sent: Any) -> date | datetime:
    """A date stays a date, where Pydantic would make it the midnight before."""
    spelled = str(sent).upper()
    if not _SPELLED.fullmatch(spelled):
        raise ValueError("should be such as 2024-05-31 or 2024-05-31T12:00:00+02:00")
    return datetime.fromisoformat(spelled) if "T" in spelled else date.fromisoformat(spelled)


When = Annotated[
    date | datetime,
    BeforeValidator(_read),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "format": each} for each in ("date", "date-time")]}
    ),
]
"""As RFC 3339 has it; without an offset it is in UTC."""


def instant(when: date | datetime, days_later: int = 0) -> datetime:
    """A time as it is, in UTC unless it says where; of a date the midnight before it, or so many
    days later."""
    if not isinstance(when, datetime):
        ordinal = min(when.toordinal() + days_later, date.max.toordinal())
        when = datetime.combine(date.fromordinal(ordinal), time())
    return when if when.tzinfo else when.replace(tzinfo=UTC)
