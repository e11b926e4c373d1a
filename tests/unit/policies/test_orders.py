"""Who goes first, against tables solved by hand and against brute force."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.building import NOW_S, decide, fleet, node, placed, state_of, succeeded, waiting, workload

from suanli.domain.record import Record
from suanli.kernel.state import State
from suanli.perf.durations import DurationHistory
from suanli.policies.order.fifo import fifo
from suanli.policies.order.priority import AGEING_PER_HOUR, priority
from suanli.policies.order.shortest import sjf, srtf
from suanli.policies.parts import Order, Queue

HOUR_S = 3600.0
UNKNOWN = float("nan")

# name: priority, hours waited, duration, remaining
TABLE = {
    "a": (50, 0.0, 40.0, 40.0),
    "b": (50, 3.0, 90.0, 5.0),
    "c": (90, 0.0, UNKNOWN, UNKNOWN),
    "d": (10, 6.5, 10.0, 10.0),
    "e": (50, 0.0, 40.0, 30.0),
    "f": (0, 0.0, UNKNOWN, UNKNOWN),
}


def queue_of(rows: list[tuple[float, float, float, float]]) -> Queue:
    columns = np.array(rows, dtype=np.float64).reshape(len(rows), 4).T
    return Queue(
        priority=columns[0],
        waited_s=columns[1] * HOUR_S,
        seq=np.arange(len(rows)),
        duration_s=columns[2],
        remaining_s=columns[3],
        deadline_s=np.full(len(rows), np.inf),
        attained_s=np.zeros(len(rows)),
    )


def rows_of(state: State, *records: Record) -> Queue:
    return state.queue(np.array([state.line.row(r.key) for r in records], dtype=np.intp), NOW_S)


def ranking(order: Order, queue: Queue) -> list[int]:
    return [int(i) for i in np.lexsort((queue.seq, order(queue)))]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (fifo, "abcdef"),
        (priority, "cbdaef"),  # 90, 50+30, 10+65, then 50 and 50 by submission, 0
        (sjf, "daebcf"),  # 10, 40 and 40 by submission, 90, then the unknown by submission
        (srtf, "bdeacf"),  # 5, 10, 30, 40, unknown
    ],
)
def test_the_table_solved_by_hand(order: Order, expected: str) -> None:
    names = list(TABLE)
    assert "".join(names[i] for i in ranking(order, queue_of(list(TABLE.values())))) == expected


@pytest.mark.parametrize("order", [fifo, priority, sjf, srtf])
def test_an_empty_queue_has_an_empty_order(order: Order) -> None:
    assert ranking(order, queue_of([])) == []


def test_an_old_job_of_low_priority_overtakes_a_newcomer_at_the_exact_instant() -> None:
    """10 against 50: 40 points, which are four hours."""
    of = fleet(node(gpus=1))
    overtakes_s = 4 * HOUR_S

    def first_after(waited_s: float) -> str:
        old = waiting(workload("old", gpus=1, priority=10), seq=1, waited_s=waited_s)
        new = waiting(workload("new", gpus=1, priority=50), seq=2)
        decision, _ = decide(state_of(of, old, new))
        return next(iter(placed(decision)))

    assert AGEING_PER_HOUR == 10.0
    assert first_after(overtakes_s - 0.001) == "new"
    assert first_after(overtakes_s) == "old"  # a tie goes by submission
    assert first_after(overtakes_s + 0.001) == "old"


def test_after_ten_hours_nothing_that_arrives_is_ahead() -> None:
    of = fleet(node(gpus=1))
    old = waiting(workload("old", gpus=1, priority=0), seq=1, waited_s=10 * HOUR_S)
    new = waiting(workload("new", gpus=1, priority=100), seq=2)
    decision, _ = decide(state_of(of, old, new))
    assert list(placed(decision)) == ["old"]


def test_waiting_for_another_workload_or_for_its_start_is_not_waiting_for_resources() -> None:
    """Else a service behind a day of training would be ahead of all, and above preemption, at once."""
    of = fleet(node(gpus=1))
    trained = succeeded(workload("gpt"), seq=1, waited_s=30 * HOUR_S, ended_s=NOW_S - 60)
    after = waiting(workload("after", gpus=1, priority=10, after=("gpt",)), seq=2, waited_s=30 * HOUR_S)
    timed = waiting(workload("timed", gpus=1, priority=10, not_before_s=NOW_S - 90), seq=3, waited_s=9e5)
    new = waiting(workload("new", gpus=1, priority=50), seq=4)
    decision, _ = decide(state_of(of, trained, after, timed, new))
    assert list(placed(decision)) == ["new"]
    queue = rows_of(state_of(of, trained, after, timed, new), after, timed, new)
    assert queue.waited_s.tolist() == [60.0, 90.0, 0.0]


instances = st.lists(
    st.tuples(st.integers(1, 30), st.integers(0, 29)), min_size=1, max_size=6
)  # (duration, part of it that is done)


@given(instances)
def test_sjf_has_the_least_mean_completion_time_on_one_machine(jobs: list[tuple[int, int]]) -> None:
    durations = [float(duration) for duration, _ in jobs]
    queue = queue_of([(50, 0.0, d, d) for d in durations])
    assert _mean_completion(durations, ranking(sjf, queue)) == _least_mean_completion(durations)


@given(instances)
def test_srtf_has_the_least_mean_completion_time_of_what_is_left(jobs: list[tuple[int, int]]) -> None:
    left = [float(max(duration - done, 0)) for duration, done in jobs]
    queue = queue_of([(50, 0.0, float(d), r) for (d, _), r in zip(jobs, left, strict=True)])
    assert _mean_completion(left, ranking(srtf, queue)) == _least_mean_completion(left)


def test_srtf_counts_as_done_only_what_checkpoints_have_saved() -> None:
    of = fleet(node(gpus=1))
    saved = waiting(workload("saved", gpus=1, duration_s=1000), seq=2, run_s=950.0, lost_s=50.0)  # 100 left
    lost = waiting(workload("lost", gpus=1, duration_s=1000), seq=1, run_s=2000.0, lost_s=2000.0)  # 1000 left
    fresh = waiting(workload("fresh", gpus=1, duration_s=500), seq=3)
    state = state_of(of, saved, lost, fresh)
    assert rows_of(state, saved, lost, fresh).remaining_s.tolist() == [100.0, 1000.0, 500.0]
    decision, _ = decide(state, "srtf")
    assert list(placed(decision)) == ["saved"]
    decision, _ = decide(state, "sjf")
    assert list(placed(decision)) == ["fresh"]


def test_a_learned_duration_orders_like_a_declared_one() -> None:
    of = fleet(node(gpus=1))
    done = succeeded(workload("done", gpus=1, run=("quick",)), ran_s=30.0)
    quick = waiting(workload("quick", gpus=1, run=("quick",)), seq=3)
    slow = waiting(workload("slow", gpus=1, duration_s=40), seq=2)
    decision, _ = decide(state_of(of, done, quick, slow), "sjf")
    assert list(placed(decision)) == ["quick"]
    assert DurationHistory().estimate_s(quick) is None


def _mean_completion(durations: list[float], order: list[int]) -> float:
    ends = np.cumsum([durations[i] for i in order])
    return float(ends.mean())


def _least_mean_completion(durations: list[float]) -> float:
    return min(_mean_completion(durations, list(order)) for order in permutations(range(len(durations))))
