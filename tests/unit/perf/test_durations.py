"""How long a workload will run, by what it says of itself and by what its like took."""

from tests.building import NOW_S, running, succeeded, waiting, workload

from suanli.perf.durations import DurationHistory


def history(*ran_s: float) -> DurationHistory:
    known = DurationHistory()
    known.add_all(
        succeeded(workload(f"w{i}"), ran_s=s, ended_s=NOW_S + i, seq=i) for i, s in enumerate(ran_s)
    )
    return known


def test_what_is_declared_goes_before_what_was_seen() -> None:
    assert history(10.0).estimate_s(waiting(workload(duration_s=99.0))) == 99.0


def test_otherwise_the_median_of_its_like() -> None:
    assert history(10.0, 30.0, 500.0).estimate_s(waiting(workload())) == 30.0
    assert history(10.0, 30.0).estimate_s(waiting(workload())) == 20.0


def test_nobody_knows_what_has_no_like() -> None:
    known = history(10.0)
    assert known.estimate_s(waiting(workload(run=("other",)))) is None
    assert known.estimate_s(waiting(workload(team="other"))) is None
    assert known.estimate_s(waiting(workload(nodes=2))) is None


def test_only_what_succeeded_counts() -> None:
    known = DurationHistory()
    known.add_all([running(workload("a"), "n0"), waiting(workload("b"))])
    assert known.estimate_s(waiting(workload())) is None


def test_work_that_was_lost_and_run_again_does_not_make_it_longer() -> None:
    known = DurationHistory()
    known.add(succeeded(workload("a"), ran_s=300.0, lost_s=100.0))
    assert known.estimate_s(waiting(workload())) == 200.0


def test_only_the_latest_count_in_whatever_order_they_are_told() -> None:
    ran = [float(i) for i in range(100)]
    records = [succeeded(workload(f"w{i}"), ran_s=s, ended_s=NOW_S + i) for i, s in enumerate(ran)]
    forward, backward = DurationHistory(per_class=10), DurationHistory(per_class=10)
    forward.add_all(records)
    backward.add_all(reversed(records))
    assert forward.estimate_s(waiting(workload())) == backward.estimate_s(waiting(workload())) == 94.5


def test_what_is_no_longer_so_is_forgotten() -> None:
    known = history(10.0, 30.0)
    known.forget(succeeded(workload("w1"), ran_s=30.0, ended_s=NOW_S + 1, seq=1))
    assert known.estimate_s(waiting(workload())) == 10.0


def test_a_copy_learns_alone() -> None:
    known = history(10.0)
    twin = known.copy()
    twin.add(succeeded(workload("x"), ran_s=1000.0))
    assert known.estimate_s(waiting(workload())) == 10.0
