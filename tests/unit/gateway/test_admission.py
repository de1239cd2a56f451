"""When those who are refused are told to come again."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.admission import (
    RETRY_AFTER_MAX_S,
    RETRY_AFTER_MIN_S,
    TURN_S,
    Admission,
)
from services.runtime.calls import CallScope
from services.runtime.errors import Overloaded

PLACES = 4


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def refused(admission: Admission) -> float:
    with pytest.raises(Overloaded) as caught, admission.permit(CallScope()):
        pass
    assert caught.value.reason == "TOO_MANY_TURNS"
    assert caught.value.retry_after_s is not None
    return caught.value.retry_after_s


def full(clock: Clock) -> tuple[Admission, contextlib.ExitStack]:
    admission, held = Admission(PLACES, clock), contextlib.ExitStack()
    for _ in range(PLACES):
        held.enter_context(admission.permit(CallScope()))
    return admission, held


def test_each_is_told_a_moment_of_its_own_as_places_become_free() -> None:
    admission, _held = full(Clock())
    each_s = TURN_S / PLACES
    assert [refused(admission) for _ in range(8)] == [
        pytest.approx(max(RETRY_AFTER_MIN_S, each_s * count)) for count in range(1, 9)
    ]


def test_moments_that_nobody_used_pass() -> None:
    clock = Clock()
    admission, _held = full(clock)
    for _ in range(30):
        refused(admission)
    clock.now_s += 60
    assert refused(admission) == RETRY_AFTER_MIN_S


def test_long_turns_make_for_long_waits() -> None:
    clock = Clock()
    admission, held = full(clock)
    clock.now_s += 40
    held.close()
    assert admission.active == 0
    for _ in range(PLACES):
        held.enter_context(admission.permit(CallScope()))
    assert refused(admission) > TURN_S


@given(st.lists(st.floats(0, 100), max_size=50))
def test_nobody_is_told_to_come_at_once_or_never(pauses_s: list[float]) -> None:
    clock = Clock()
    admission, _held = full(clock)
    for pause_s in pauses_s:
        clock.now_s += pause_s
        assert RETRY_AFTER_MIN_S <= refused(admission) <= RETRY_AFTER_MAX_S + 1e-6
