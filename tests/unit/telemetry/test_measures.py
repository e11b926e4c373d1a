"""Statistics of a window, against numbers worked out by hand."""

import math

import pytest

from suanli.telemetry import measures

FAR_S = 1.8e9  # instants are epoch seconds: nothing may be lost to their size


def points(*values: float, every_s: float = 1.0) -> list[tuple[float, float]]:
    return [(FAR_S + index * every_s, value) for index, value in enumerate(values)]


@pytest.mark.parametrize(
    ("values", "mean", "variance"),
    [((), None, None), ((3.0,), 3.0, None), ((1.0, 3.0), 2.0, 1.0), ((2, 4, 4, 4, 5, 5, 7, 9), 5.0, 4.0)],
)
def test_mean_and_variance(values: tuple[float, ...], mean: float | None, variance: float | None):
    assert measures.mean(points(*values)) == mean
    assert measures.variance(points(*values)) == variance


@pytest.mark.parametrize(
    ("series", "slope"),
    [
        ([], None),
        (points(1.0), None),
        ([(FAR_S, 1.0), (FAR_S, 2.0)], None),  # no time passed
        (points(1.0, 1.0, 1.0), 0.0),
        (points(0.0, 2.0, 4.0, every_s=10.0), 0.2),
        (points(0.0, 0.0, 3.0), 1.5),  # Σ(t-1)(v-1) / Σ(t-1)² = 3 / 2
    ],
)
def test_rate_is_the_least_squares_slope_per_second(series: list[tuple[float, float]], slope: float | None):
    assert measures.slope(series) == (None if slope is None else pytest.approx(slope))


def test_zscore_with_a_half_life_of_one_spacing():
    # weight 1/2: mean 0 → 1, variance (0 + 1/2 · 2²)/2 = 1; then the newest: (4 - 1) / 1
    assert measures.zscore(points(0.0, 2.0, 4.0), 1.0) == pytest.approx(3.0)
    # one more step before: 3 against 1 gives mean 2, variance (1 + 1/2 · 2²)/2 = 1.5; then (2 - 2) and (5 - 2)
    assert measures.zscore(points(0.0, 2.0, 3.0, 2.0), 1.0) == pytest.approx(0.0)
    assert measures.zscore(points(0.0, 2.0, 3.0, 5.0), 1.0) == pytest.approx(3 / math.sqrt(1.5))


def test_zscore_weighs_by_time_rather_than_by_number():
    # 2 s apart at a half life of 1 s: weight 3/4, mean 1.5, variance (0 + 3/4 · 4)/4 = 0.75
    assert measures.zscore(points(0.0, 2.0, 3.0, every_s=2.0), 1.0) == pytest.approx(1.5 / math.sqrt(0.75))


def test_zscore_needs_two_points_before_the_newest():
    assert measures.zscore(points(1.0, 2.0), 1.0) is None


def test_zscore_of_a_series_that_never_moved_is_alarmed_by_more_than_a_hundredth_of_it():
    assert measures.zscore(points(10.0, 10.0, 10.0), 1.0) == 0.0
    assert measures.zscore(points(10.0, 10.0, 10.05), 1.0) == pytest.approx(0.5)
    assert measures.zscore(points(10.0, 10.0, 5.0), 1.0) == pytest.approx(-50.0)


def test_zscore_is_finite_even_where_there_is_no_spread_at_all():
    assert measures.zscore(points(0.0, 0.0, 0.0), 1.0) == 0.0
    assert measures.zscore(points(0.0, 0.0, -1e-9), 1.0) == -1_000.0
    assert measures.zscore(points(1e-9, 1e-9, 1e9), 1.0) == 1_000.0
