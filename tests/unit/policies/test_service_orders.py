"""Orders by what work has had already, against tables solved by hand and against trying."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.building import succeeded, workload

from suanli.perf.durations import DurationHistory
from suanli.policies.order.gittins import gittins, index_of
from suanli.policies.order.las import las
from suanli.policies.parts import Order, Queue, Teams
from suanli.policies.table import Floats

SERVICES = st.lists(st.floats(1.0, 1e5), min_size=1, max_size=12).map(lambda s: np.array(sorted(s)))


def queue_of(attained_s: list[float], services_s: list[float] | None = None) -> Queue:
    n = len(attained_s)
    return Queue(
        priority=np.full(n, 50.0),
        waited_s=np.zeros(n),
        seq=np.arange(n),
        duration_s=np.full(n, np.nan),
        remaining_s=np.full(n, np.nan),
        deadline_s=np.full(n, np.inf),
        attained_s=np.array(attained_s),
        teams=lambda: Teams(np.zeros(n, np.int64), np.zeros((n, 3)), np.zeros((1, 3)), np.ones(1)),
        services_s=lambda: np.array(services_s or []),
    )


def ranked(order: Order, queue: Queue) -> list[int]:
    return np.lexsort((queue.seq, order(queue))).tolist()


def test_las_takes_the_lower_queue_first_and_inside_it_whoever_came_first() -> None:
    queue = queue_of([18_000.0, 3_000.0, 0.0, 7_199.0, 3_250.0, 1e9])
    assert las(queue).tolist() == [3, 0, 0, 1, 1, 3]
    assert ranked(las, queue) == [1, 2, 3, 4, 0, 5]


@pytest.mark.parametrize(
    ("had_s", "index"),
    [
        (0.0, 3 / 70.0),  # of 10, 20, 20 and 100 three end within 20, for which 10 + 20 + 20 + 20 are spent
        (10.0, 2 / 30.0),  # 10, 10 and 90 are left: two end within 10, for which three times 10 are spent
        (20.0, 1 / 80.0),
        (100.0, 0.0),
    ],
)
def test_the_index_is_the_best_chance_for_its_price(had_s: float, index: float) -> None:
    services_s = np.array([10.0, 20.0, 20.0, 100.0])
    assert index_of(had_s, services_s) == pytest.approx(index)


@given(SERVICES, st.floats(0.0, 1e5))
def test_no_other_time_has_a_better_chance_for_its_price(services_s: Floats, had_s: float) -> None:
    left_s = services_s[services_s > had_s] - had_s
    times = np.concatenate([left_s, left_s * 0.5, left_s * 1.5])
    best = max(((left_s <= d).sum() / np.minimum(left_s, d).sum() for d in times if d > 0), default=0.0)
    assert index_of(had_s, services_s) == pytest.approx(best, rel=1e-9)


def test_gittins_goes_on_with_who_is_about_to_end() -> None:
    """Jobs take 10 or 1,000: who has had 9 is nearly done, who has had 11 has 989 to go, a new one is in between."""
    queue = queue_of([11.0, 0.0, 9.0, 2_000.0], [10.0] * 5 + [1_000.0] * 5)
    assert ranked(gittins, queue) == [2, 1, 0, 3]


def test_gittins_serves_the_least_served_while_nothing_has_ended() -> None:
    assert ranked(gittins, queue_of([30.0, 10.0, 20.0])) == [1, 2, 0]


def test_services_are_what_the_latest_have_had_on_all_their_devices() -> None:
    history = DurationHistory(per_class=2)
    for i, run_s in enumerate((40.0, 50.0, 30.0)):
        history.add(succeeded(workload(f"a{i}", gpus=2), ran_s=run_s, ended_s=float(i)))
    history.add(succeeded(workload("b", gpus=1, run=("other",)), ran_s=70.0, ended_s=9.0))
    assert history.services_s() == [60.0, 70.0, 100.0]
