import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pipeline.charts.statistics import Point, SeedMean, estimate, pareto_front, student_quantile


@pytest.mark.parametrize("n", [2, 3, 7])
def test_the_interval_is_that_of_students_t_test(n: int) -> None:
    values = np.random.default_rng(n).normal(30.0, 4.0, n)
    found = estimate(values.tolist())
    assert found is not None
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_the_quantile_is_the_one_in_printed_tables() -> None:
    assert [round(student_quantile(freedom), 3) for freedom in (1, 2, 9)] == [12.706, 4.303, 2.262]


def test_the_interval_holds_the_true_mean_in_95_of_100_samples_of_three() -> None:
    samples = np.random.default_rng(0).normal(5.0, 2.0, (2000, 3))
    estimates = [estimate(sample.tolist()) for sample in samples]
    held = [found.low <= 5.0 <= found.high for found in estimates if found]
    assert np.mean(held) == pytest.approx(0.95, abs=0.02)


def test_one_seed_has_a_mean_and_no_interval() -> None:
    assert estimate([3.0]) == SeedMean(3.0, None, 1)


def test_what_was_not_measured_does_not_count() -> None:
    found = estimate([1.0, None, 3.0, math.nan])
    assert found is not None and (found.mean, found.n) == (2.0, 2)
    assert estimate([None, math.nan]) is None


points = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=25)


def beats(a: Point, b: Point) -> bool:
    return a[0] <= b[0] and a[1] <= b[1] and a != b


@settings(max_examples=60, deadline=None)
@given(points)
def test_the_front_is_what_brute_force_finds(points: list[Point]) -> None:
    expected = {i for i, point in enumerate(points) if not any(beats(other, point) for other in points)}
    assert set(pareto_front(points)) == expected


@settings(max_examples=60, deadline=None)
@given(points)
def test_along_the_front_one_coordinate_rises_and_the_other_falls(points: list[Point]) -> None:
    front = [points[i] for i in pareto_front(points)]
    assert [x for x, _ in front] == sorted(x for x, _ in front)
    assert [y for _, y in front] == sorted((y for _, y in front), reverse=True)
