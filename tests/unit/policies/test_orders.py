"""Who goes first, against tables solved by hand and against brute force."""

from collections.abc import Sequence
from itertools import permutations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.building import (
    GIB,
    NOW_S,
    decide,
    fleet,
    node,
    placed,
    running,
    state_of,
    succeeded,
    waiting,
    workload,
)

from suanli.domain.fleet import Team
from suanli.domain.record import Record
from suanli.kernel.state import State
from suanli.perf.durations import DurationHistory
from suanli.policies.order.drf import drf
from suanli.policies.order.edf import edf
from suanli.policies.order.fifo import fifo
from suanli.policies.order.priority import AGEING_PER_HOUR, priority
from suanli.policies.order.shortest import sjf, srtf
from suanli.policies.parts import Order, Queue, Teams

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
NOBODY = Teams(np.zeros(0, dtype=np.int64), np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0))


def queue_of(rows: list[tuple[float, float, float, float]], teams: Teams = NOBODY) -> Queue:
    columns = np.array(rows, dtype=np.float64).reshape(len(rows), 4).T
    return Queue(
        priority=columns[0],
        waited_s=columns[1] * HOUR_S,
        seq=np.arange(len(rows)),
        duration_s=columns[2],
        remaining_s=columns[3],
        deadline_s=np.full(len(rows), np.inf),
        attained_s=np.zeros(len(rows)),
        teams=lambda: teams,
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


@pytest.mark.parametrize("order", [fifo, priority, sjf, srtf, edf, drf])
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


def test_edf_goes_by_deadline_and_what_has_none_goes_last() -> None:
    late = waiting(workload("late", gpus=1, deadline_s=NOW_S - 60), seq=5)
    soon = waiting(workload("soon", gpus=1, deadline_s=NOW_S + 60), seq=4)
    whenever = waiting(workload("whenever", gpus=1, priority=90), seq=1)
    then = waiting(workload("then", gpus=1, deadline_s=NOW_S + 90), seq=2)
    too = waiting(workload("too", gpus=1, deadline_s=NOW_S + 90), seq=3)
    state = state_of(fleet(node(gpus=8)), late, soon, whenever, then, too)
    decision, _ = decide(state, "edf")
    assert list(placed(decision)) == ["late", "soon", "then", "too", "whenever"]


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(1, 90)), min_size=1, max_size=6))
def test_edf_has_the_least_worst_lateness_on_one_machine(jobs: list[tuple[int, int]]) -> None:
    queue = msgspec.structs.replace(
        queue_of([(50, 0.0, float(d), float(d)) for d, _ in jobs]),
        deadline_s=np.array([due for _, due in jobs], dtype=np.float64),
    )

    def worst_lateness(order: Sequence[int]) -> int:
        ends = np.cumsum([jobs[i][0] for i in order])
        return max(int(end) - jobs[i][1] for end, i in zip(ends, order, strict=True))

    assert worst_lateness(ranking(edf, queue)) == min(map(worst_lateness, permutations(range(len(jobs)))))


def test_drf_divides_as_in_the_example_of_its_authors() -> None:
    """9 cores and 18 GB: A asks for <1 core, 4 GB>, B for <3, 1>; A gets three, B two, 2/3 of what dominates each."""
    a = [waiting(workload(f"a{i}", cpus=1, memory_bytes=4 * GIB, team="A"), seq=i) for i in range(9)]
    b = [waiting(workload(f"b{i}", cpus=3, memory_bytes=GIB, team="B"), seq=10 + i) for i in range(9)]
    state = state_of(fleet(node(cpus=9, memory_bytes=18 * GIB)), *a, *b)
    decision, _ = decide(state, "drf")
    assert list(placed(decision)) == ["a0", "b0", "a1", "b1", "a2"]
    assert list(placed(decide(state, "fifo")[0])) == ["a0", "a1", "a2", "a3", "b0"]  # A takes 16 of 18 GB


def test_drf_counts_what_teams_hold_and_their_weights() -> None:
    teams = (Team(name="two", weight=2.0), Team(name="one"))
    of = fleet(node(gpus=6, cpus=60), teams=teams)
    holds = running(workload("holds", gpus=2, team="two"), ("n0", (0, 1)))
    wait = [
        waiting(workload(name, gpus=1, team=name[:3]), seq=i)
        for i, name in enumerate(("one2", "one1", "two2", "two1"), start=5)
    ]
    # shares over weights: two holds 1/3 over 2 = 1/6, then 1/4; one has 0, then 1/6, but two2 heads its team
    decision, _ = decide(state_of(of, holds, *wait), "drf")
    assert list(placed(decision)) == ["one2", "two2", "one1", "two1"]
    ended = succeeded(holds.workload, seq=1)
    state = state_of(of, holds, *wait)
    decide(state, "drf")
    state.apply([ended])
    decision, _ = decide(state, "drf")
    assert list(placed(decision)) == ["one2", "two2", "two1", "one1"]


def test_drf_counts_an_accelerator_by_its_worth_to_the_job() -> None:
    """To `quick` an H100 is worth three T4s, to `plain` one: of 2 + 6 it takes 1/4 or 1/12, of equals 1/8."""
    of = fleet(node("h", gpus=2, model="H100", cpus=60), node("t", gpus=6, model="T4", cpus=60))
    speeds = {"H100": 3.0, "T4": 1.0}
    either = ["H100", "T4"]
    quick = running(workload("quick", gpus=1, model=either, speeds=speeds, team="quick"), ("h", (0,)))
    plain = running(workload("plain", gpus=1, model=either, team="plain"), ("h", (1,)))
    wait = waiting(workload("more", gpus=2, model="T4", team="third"), seq=3)
    state = state_of(of, quick, plain, wait)
    teams = rows_of(state, wait).teams()
    assert state.line.teams(np.array([0]))[1] == ["third"]
    assert teams.takes[:, 2].tolist() == [2 / 6]
    more = [
        waiting(workload(f"w-{team}", gpus=1, model="T4", team=team), seq=4) for team in ("quick", "plain")
    ]
    teams = rows_of(state_of(of, quick, plain, *more), *more).teams()
    assert teams.held[teams.team, 2].tolist() == pytest.approx([3 / 12, 1 / 8])


sizes = st.tuples(st.integers(0, 3), st.integers(1, 9), st.integers(0, 9), st.integers(0, 100))


@given(st.lists(sizes, min_size=1, max_size=12), st.lists(st.integers(1, 4), min_size=4, max_size=4))
def test_drf_ranks_as_progressive_filling_does(
    rows: list[tuple[int, int, int, int]], weights: list[int]
) -> None:
    """Step by step: of the teams that have work left, the next of the one with the least dominant share."""
    teams = Teams(
        team=np.array([row[0] for row in rows]),
        takes=np.array([[row[1], row[2], 0] for row in rows]) / 32.0,
        held=np.array([[0, 0, 0], [4, 0, 0], [0, 5, 0], [0, 0, 6]]) / 32.0,
        weight=np.array(weights, dtype=np.float64),
    )
    queue = queue_of([(row[3], 0.0, UNKNOWN, UNKNOWN) for row in rows], teams)
    held, taken = teams.held.copy(), [0] * 4
    left = {t: [i for i in ranking(priority, queue) if rows[i][0] == t] for t in range(4)}
    filled: list[int] = []
    while any(left.values()):
        heads = [(round(held[t].max() / weights[t], 9), taken[t], left[t][0]) for t in left if left[t]]
        i = min(heads)[2]
        held[rows[i][0]] += teams.takes[i]
        taken[rows[i][0]] += 1
        left[rows[i][0]].remove(i)
        filled.append(i)
    assert ranking(drf, queue) == filled


def _mean_completion(durations: list[float], order: list[int]) -> float:
    ends = np.cumsum([durations[i] for i in order])
    return float(ends.mean())


def _least_mean_completion(durations: list[float]) -> float:
    return min(_mean_completion(durations, list(order)) for order in permutations(range(len(durations))))
