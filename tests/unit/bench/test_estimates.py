"""The statistics of the benchmarks."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.estimates import estimate, paired_ratio, percentile

times = st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=40)


def test_seven_samples_give_their_whole_range() -> None:
    # Both tails: 2 * 0.5 ** 7.
    result = estimate([3.0, 1.0, 7.0, 5.0, 2.0, 6.0, 4.0])
    assert (result.median, result.low, result.high) == (4.0, 1.0, 7.0)
    assert result.coverage == pytest.approx(1 - 2 / 128)


def test_twenty_samples_give_the_textbook_interval() -> None:
    # Order statistics 6 and 15, coverage 0.9586 (Conover, Practical Nonparametric Statistics).
    result = estimate([float(value) for value in range(1, 21)])
    assert (result.low, result.high) == (6.0, 15.0)
    assert result.coverage == pytest.approx(0.9586, abs=1e-4)


def test_few_samples_say_that_they_cover_less() -> None:
    assert estimate([1.0, 2.0, 3.0]).coverage == pytest.approx(0.75)
    assert estimate([1.0]).coverage == 0.0


@given(times)
def test_the_median_lies_in_its_interval(samples: list[float]) -> None:
    result = estimate(samples)
    assert min(samples) <= result.low <= result.median <= result.high <= max(samples)
    assert len(samples) < 6 or result.coverage >= 0.95


@given(st.lists(st.floats(0.1, 10.0), min_size=1, max_size=20), st.floats(0.1, 10.0))
def test_drift_that_both_sides_share_cancels_out(drift: list[float], factor: float) -> None:
    ratio = paired_ratio([factor * slow for slow in drift], drift)
    assert ratio.low == pytest.approx(factor)
    assert ratio.high == pytest.approx(factor)


def test_pairs_must_be_complete() -> None:
    with pytest.raises(ValueError, match="argument"):
        paired_ratio([1.0, 2.0], [1.0])


def test_percentiles_lie_between_samples() -> None:
    assert percentile([10.0, 20.0, 30.0], 50) == 20.0
    assert percentile([10.0, 20.0], 95) == pytest.approx(19.5)
    assert percentile([5.0], 95) == 5.0


@pytest.mark.parametrize("function", [estimate, lambda samples: percentile(samples, 50)])
def test_nothing_is_not_measured(function: object) -> None:
    assert callable(function)
    with pytest.raises(ValueError, match="no samples"):
        function([])


@given(times)
def test_percentiles_grow(samples: list[float]) -> None:
    values = [percentile(samples, percent) for percent in (0, 25, 50, 95, 100)]
    assert all(low <= high or math.isclose(low, high) for low, high in itertools.pairwise(values))
    assert math.isclose(values[0], min(samples)) and math.isclose(values[-1], max(samples))
