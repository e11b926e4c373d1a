import itertools

import pytest

from suanli.telemetry.points import Points


def filled(count: int, rows_max: int, keep_s: float) -> Points:
    points = Points(rows_max, keep_s)
    for at_s in range(count):
        points.append(float(at_s), {"v": float(at_s)})
    return points


def test_the_newest_half_is_kept_as_measured_however_long_it_runs():
    series = filled(10_000, 100, keep_s=1_000.0).series("v", 0.0)
    assert len(series) <= 100
    assert series[-50:] == [(float(i), float(i)) for i in range(9_950, 10_000)]


def test_older_rows_become_means_over_equal_spans_back_to_the_window_s_beginning():
    series = filled(10_000, 100, keep_s=1_000.0).series("v", 0.0)
    times = [at_s for at_s, _ in series]
    assert times == sorted(times)
    assert 8_900 < times[0] < 9_050
    assert all(value == pytest.approx(at_s) for at_s, value in series)  # v grows with time, so do its means
    gaps = [later - earlier for earlier, later in itertools.pairwise(times[:20])]
    assert max(gaps) <= 60  # 40 s each, and the last one not yet full


def test_rows_that_come_rarely_are_dropped_once_too_old_and_never_fill_up():
    points = Points(100, keep_s=100.0)
    for at_s in range(0, 30_000, 30):
        points.append(float(at_s), {"v": 1.0})
    assert len(points.series("v", 0.0)) <= 100


def test_thinning_keeps_values_that_only_some_rows_have():
    points = Points(100, keep_s=1_000.0)
    for at_s in range(2_000):
        points.append(float(at_s), {"always": 1.0} | ({"rare": 5.0} if at_s % 7 == 0 else {}))
    rare = points.series("rare", 0.0)
    assert {value for _, value in rare} == {5.0}
    assert rare[0][0] < 1_100


def test_a_metric_that_comes_later_has_no_value_before():
    points = Points(100, keep_s=1_000.0)
    points.append(0.0, {"a": 1.0})
    points.append(1.0, {"a": 3.0, "b": 10.0})
    assert points.series("b", 0.0) == [(1.0, 10.0)]
    assert points.means(0.0) == {"a": 2.0, "b": 10.0}


def test_a_metric_without_a_value_in_the_window_has_no_mean():
    points = Points(100, keep_s=1_000.0)
    points.append(0.0, {"a": 1.0, "b": 10.0})
    points.append(1.0, {"a": 3.0})
    assert points.means(1.0) == {"a": 3.0}
    assert points.means(2.0) == {}


def test_metrics_beyond_the_limit_are_dropped_and_the_others_go_on():
    points = Points(100, keep_s=1_000.0)
    for name in range(200):
        points.append(0.0, {"a": 1.0, f"metric:{name}": 1.0})
    assert len(points.metrics) == 64
    assert points.means(0.0)["a"] == 1.0
