"""Periods as people say them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.gateway.http.search.date_range import Between, Period, read_date_range
from services.runtime.errors import InvalidInput

NOW = datetime(2024, 5, 17, 15, 30, tzinfo=UTC)
TODAY = datetime(2024, 5, 17, tzinfo=UTC)


@pytest.mark.parametrize(
    "wanted, start, end",
    [
        ("last_30_days", NOW - timedelta(days=30), None),
        ("last_1_day", NOW - timedelta(days=1), None),
        ("last_12_hours", NOW - timedelta(hours=12), None),
        ("last_2_weeks", NOW - timedelta(days=14), None),
        ("last_99999_years", datetime(1970, 1, 1, tzinfo=UTC), None),
        ("today", TODAY, None),
        ("yesterday", TODAY - timedelta(days=1), TODAY),
        ({"from": "2024-05-01"}, datetime(2024, 5, 1, tzinfo=UTC), None),
        # The day that is named last belongs to it.
        ({"to": "2024-05-31"}, None, datetime(2024, 6, 1, tzinfo=UTC)),
        (
            {"from": "2024-05-01T10:00:00", "to": "2024-05-01T12:00:00+02:00"},
            datetime(2024, 5, 1, 10, tzinfo=UTC),
            datetime(2024, 5, 1, 10, tzinfo=UTC),
        ),
    ],
)
def test_a_period_is_what_a_person_means(wanted: Any, start: Any, end: Any) -> None:
    asked = wanted if isinstance(wanted, str) else Between.model_validate(wanted)
    assert read_date_range(asked, NOW) == Period(start, end)


@pytest.mark.parametrize("wanted", ["", "last_days", "last_0_days", "last_3_moons", "tomorrow"])
def test_what_is_no_period_is_refused(wanted: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_date_range(wanted, NOW)
    assert caught.value.reason == "DATE_RANGE_INVALID"


@pytest.mark.parametrize("wanted", [{"from": "soon"}, {"to": [1]}, {"until": "2024-05-01"}])
def test_what_is_no_date_is_refused(wanted: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Between.model_validate(wanted)


@given(st.dates() | st.datetimes(timezones=st.none() | st.timezones()))
def test_any_date_can_be_asked_for(when: datetime) -> None:
    asked = Between.model_validate({"from": when.isoformat(), "to": when.isoformat()})
    period = read_date_range(asked, NOW)
    assert period.start and period.end
    assert period.start <= period.end
