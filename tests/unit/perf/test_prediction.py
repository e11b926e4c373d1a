"""Draws of how long work may yet run, against what was seen."""

import numpy as np
import pytest
from tests.building import NOW_S, running, succeeded, waiting, workload

from suanli.domain.record import Record
from suanli.perf.prediction import LIKES_MIN, UNKNOWN_S, Spread

RAN_S = 7200.0
"""What `running` says that it has run."""


def finished(times_s: list[float], *, declared_s: float | None = None, program: str = "p") -> list[Record]:
    what = workload("w", run=(program,), duration_s=declared_s, checkpoint_every_s=60.0)
    return [succeeded(what, ran_s=time_s, key=f"{program}{i}") for i, time_s in enumerate(times_s)]


def draws(spread: Spread, record: Record, count: int = 2000) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.array([spread.draw_left(record, NOW_S, rng) for _ in range(count)])


def test_where_nothing_is_known_an_hour_is_the_middle_of_a_wide_range() -> None:
    left = draws(Spread([], NOW_S), waiting(workload("new")))
    assert np.median(left) == pytest.approx(UNKNOWN_S, rel=0.3)
    assert np.quantile(left, 0.9) / np.quantile(left, 0.1) > 5


def test_enough_of_its_likes_are_believed_rather_than_what_is_declared() -> None:
    new = waiting(workload("new", run=("p",), duration_s=9000))
    few, enough = finished([100.0] * (LIKES_MIN - 1)), finished([100.0] * LIKES_MIN)
    assert np.median(draws(Spread(enough, NOW_S), new)) == pytest.approx(100, rel=0.01)
    assert np.median(draws(Spread(few, NOW_S), new)) > 1000


def test_declarations_are_taken_as_true_as_others_proved_to_be() -> None:
    others = [
        record
        for i, true in enumerate((0.5, 1.0, 2.0) * 5)
        for record in finished([true * 1000 * (i + 1)], declared_s=1000 * (i + 1), program=f"other{i}")
    ]
    left = draws(Spread(others, NOW_S), waiting(workload("new", run=("new",), duration_s=60)))
    assert np.median(left) == pytest.approx(60, rel=0.2)
    assert (np.quantile(left, 0.1), np.quantile(left, 0.9)) == pytest.approx((30, 120), rel=0.4)


def test_of_what_runs_only_longer_times_are_drawn() -> None:
    long = running(workload("long", run=("p",)), "n0")
    spread = Spread(finished([100.0] * 2 + [RAN_S + 500.0] * 20), NOW_S)
    assert draws(spread, long) == pytest.approx(np.full(2000, 500.0))


def test_what_has_run_longer_than_anything_is_as_long_again_in_the_mean() -> None:
    long = running(workload("long", run=("p",)), "n0")
    assert draws(Spread(finished([100.0] * 10), NOW_S), long).mean() == pytest.approx(RAN_S, rel=0.1)


def test_what_still_runs_counts_as_longer_than_it_has_run() -> None:
    """Half have ended after 100 s, half have run 7,200 s: only half of all are quick (Kaplan and Meier)."""
    what = workload("w", run=("p",))
    live = [running(what, "n0", key=f"live{i}") for i in range(10)]
    late = finished([10_000.0], program="p")
    new = waiting(workload("new", run=("p",)))
    seen = [*finished([100.0] * 10), *live, *(r for r in late)]
    assert (draws(Spread(seen, NOW_S), new) > 1000).mean() == pytest.approx(11 / 21, abs=0.08)
    assert (draws(Spread([*finished([100.0] * 10), *late], NOW_S), new) > 1000).mean() < 0.15


def test_futures_differ_in_what_they_take_for_the_mean_and_agree_on_average() -> None:
    """So that errors in common do not cancel out in a sum of many: their means scatter like that of a sample."""
    rng = np.random.default_rng(1)
    times = np.exp(rng.normal(7.0, 0.6, 100))
    spread, new = Spread(finished(times.tolist()), NOW_S), waiting(workload("new", run=("p",)))
    means = [
        np.mean([future.draw_left(new, NOW_S, rng) for _ in range(400)])
        for future in (spread.redrawn(rng) for _ in range(60))
    ]
    standard_error = times.std() / np.sqrt(len(times))
    assert np.mean(means) == pytest.approx(times.mean(), rel=0.08)
    assert np.std(means) == pytest.approx(np.hypot(standard_error, times.std() / 20), rel=0.35)
