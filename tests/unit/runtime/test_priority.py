"""Classes of work: the higher goes first, and none is starved, whatever comes."""

from hypothesis import given
from hypothesis import strategies as st

from services.runtime.priority import PASSED_OVER_MAX, ClassTurns, Priority

waiting_classes = st.sets(st.sampled_from(Priority), min_size=1).map(sorted)


@given(st.lists(waiting_classes, min_size=1, max_size=200))
def test_no_class_that_waits_is_passed_over_for_long(rounds: list[list[Priority]]) -> None:
    turns = ClassTurns()
    passed_over = dict.fromkeys(Priority, 0)
    for waiting in rounds:
        due = turns.due(waiting)
        served = turns.take(waiting)
        assert served is due
        assert served in waiting
        for priority in Priority:
            passed = priority in waiting and priority is not served
            passed_over[priority] = passed_over[priority] + 1 if passed else 0
            assert passed_over[priority] <= PASSED_OVER_MAX + 1


@given(st.lists(waiting_classes, min_size=1, max_size=PASSED_OVER_MAX))
def test_the_higher_class_goes_first(rounds: list[list[Priority]]) -> None:
    turns = ClassTurns()
    for waiting in rounds:
        assert turns.take(waiting) is min(waiting, key=list(Priority).index)


def test_each_lower_class_gets_a_share_while_the_higher_never_rest() -> None:
    turns = ClassTurns()
    served = [turns.take(list(Priority)) for _ in range(1000)]
    counts = {priority: served.count(priority) for priority in Priority}
    assert counts[Priority.HIGH] > 700
    assert counts[Priority.NORMAL] >= 100
    assert counts[Priority.BULK] >= 100
