"""What has waited long has nodes set aside, so that smaller work cannot go past it for ever."""

import pytest
from tests.building import (
    NOW_S,
    decide,
    fleet,
    node,
    nodes,
    placed,
    running,
    state_of,
    token,
    waiting,
    workload,
)
from tests.cluster import Cluster

from suanli.domain.record import Record, Status
from suanli.domain.workload import Kind
from suanli.kernel.patience import SET_ASIDE_AFTER_S

LONG_S = SET_ASIDE_AFTER_S


def whole(name: str = "whole", *, waited_s: float = LONG_S, gpus: float = 4, **more) -> Record:
    return waiting(workload(name, gpus=gpus, cpus=0, **more), seq=1, waited_s=waited_s)


def small(name: str = "small", **more) -> Record:
    return waiting(workload(name, gpus=1, cpus=0, **more), seq=9)


def held(name: str, *devices: int, on: str = "n0", **more) -> Record:
    return running(workload(name, gpus=len(devices), cpus=0, **more), (on, devices))


def test_at_the_exact_instant_nothing_more_goes_past_it() -> None:
    of = fleet(node(gpus=4))
    decision, _ = decide(state_of(of, held("r", 0), whole(waited_s=LONG_S - 0.001), small()))
    assert placed(decision) == {"small": ("n0",)}
    decision, _ = decide(state_of(of, held("r", 0), whole(), small()))
    assert placed(decision) == {}
    why = decision.reason_for("small")
    assert why is not None
    assert (why.token, why.evidence["reserved_for"]) == ("ReservedFor", ("whole",))


def test_its_own_reason_counts_what_is_truly_free() -> None:
    decision, _ = decide(state_of(fleet(node(gpus=4)), held("r", 0), whole(), small()))
    why = decision.reason_for("whole")
    assert why is not None
    assert (why.token, why.evidence["free"], why.evidence["held_by"]) == ("ResourcesBusy", 3.0, ("r",))


def test_the_nodes_that_lack_least_are_set_aside_and_the_rest_goes_on() -> None:
    of = fleet(*nodes(3, gpus=4))
    records = [held("a", 0, 1, 2), held("b", 0, on="n1"), held("c", 0, 1, on="n2")]
    wants = [small(f"s{i}") for i in range(5)]
    decision, _ = decide(state_of(of, *records, whole(), *wants))
    assert set(placed(decision).values()) == {("n0",), ("n2",)}
    assert len(placed(decision)) == 3


def test_a_gang_has_as_many_nodes_set_aside_as_it_needs() -> None:
    of = fleet(*nodes(3, gpus=4))
    records = [held(f"r{i}", *range(i + 1), on=f"n{i}") for i in range(3)]
    wants = [small(f"s{i}") for i in range(8)]
    decision, _ = decide(state_of(of, *records, whole(nodes=2), *wants))
    assert set(placed(decision).values()) == {("n2",)}


def test_devices_that_are_free_already_are_kept_before_those_that_are_busy() -> None:
    of = fleet(node(gpus=4))
    """Were 0, 1 and 2 kept, 3 would be given away."""
    decision, _ = decide(state_of(of, held("r", 0, 1), whole(gpus=3), small()))
    assert placed(decision) == {}


def test_work_of_higher_standing_is_not_kept_out() -> None:
    decision, _ = decide(state_of(fleet(node(gpus=4)), held("r", 0), whole(), small(priority=90)))
    assert placed(decision) == {"small": ("n0",)}


def test_it_starts_as_soon_as_it_fits_anywhere() -> None:
    of = fleet(*nodes(2, gpus=4))
    decision, _ = decide(state_of(of, held("r", 0), whole()))
    assert placed(decision) == {"whole": ("n1",)}


def test_one_at_a_time_and_the_first_in_order() -> None:
    of = fleet(*nodes(2, gpus=4))
    records = [held("a", 0), held("b", 0, 1, on="n1")]
    both = [whole("first", waited_s=LONG_S + 10), whole("second")]
    decision, _ = decide(state_of(of, *records, *both, *[small(f"s{i}") for i in range(5)]))
    assert set(placed(decision).values()) == {("n1",)}
    assert token(decision, "s4") == "ReservedFor"


def test_what_can_never_fit_keeps_nobody_out() -> None:
    never, too_many = whole("never", gpus=5), whole("too-many", nodes=2)
    decision, _ = decide(state_of(fleet(node(gpus=4)), held("r", 0), never, too_many, small()))
    assert placed(decision) == {"small": ("n0",)}


def test_nodes_that_services_hold_for_good_are_not_waited_for() -> None:
    of = fleet(node(gpus=4))
    service = held("chat", 0, kind=Kind.SERVE)
    assert placed(decide(state_of(of, service, whole(), small()))[0]) == {"small": ("n0",)}
    assert placed(decide(state_of(of, service, whole(gpus=3), held("r", 1), small()))[0]) == {}


def test_nodes_are_not_waited_for_that_a_service_takes_in_this_very_step_but_those_that_a_job_takes_are() -> (
    None
):
    for kind, others in ((Kind.SERVE, {"small"}), (Kind.TRAIN, set[str]())):
        first = waiting(workload("first", gpus=1, cpus=0, kind=kind), seq=0, waited_s=2 * LONG_S)
        decision, _ = decide(state_of(fleet(node(gpus=4)), first, whole(), small()))
        assert set(placed(decision)) == {"first"} | others


def test_nodes_that_cannot_be_used_are_not_set_aside() -> None:
    of = fleet(*nodes(2, gpus=4))
    state = state_of(of, held("b", 0, on="n1"), whole(), small(), unusable={"n0": "draining"})
    assert placed(decide(state)[0]) == {}
    state = state_of(of, held("b", 0, on="n1"), whole(nodes=2), small(), unusable={"n0": "draining"})
    assert placed(decide(state)[0]) == {"small": ("n1",)}


def test_preemption_goes_first() -> None:
    victim = held("low", 0, priority=10)
    decision, memory = decide(state_of(fleet(node(gpus=4)), victim, whole()))
    assert set(memory.reservations) == {"whole"}
    assert token(decision, "whole") == "ResourcesBusy"


@pytest.mark.parametrize("policy", ["priority+best-fit", "fifo+first-fit", "priority+spread", "fifo+spread"])
def test_a_large_gang_is_not_starved_by_small_work_that_always_fits(policy: str) -> None:
    """Small work at 4/3 of what the fleet can do: without an end the gang would wait for as long as it arrives."""
    cluster = Cluster(fleet(*nodes(4, gpus=4)), policy)
    for i in range(16):
        cluster.submit(workload(f"s{i}", gpus=1, cpus=0, duration_s=300.0 + 7 * i))
    cluster.tick(10)
    cluster.submit(workload("gang", gpus=4, cpus=0, nodes=4, duration_s=100.0))
    for i in range(16, 500):
        cluster.submit(workload(f"s{i}", gpus=1, cpus=0, duration_s=300.0 + 7 * (i % 16)))
        cluster.tick(15)
        if cluster.status("gang") is not Status.WAITING:
            break
    started_s = next(at for at, key in cluster.starts if key == "gang")
    assert SET_ASIDE_AFTER_S < started_s <= SET_ASIDE_AFTER_S + 10 + 300 + 7 * 15 + 3 * 15


def test_the_nodes_set_aside_only_ever_lack_less() -> None:
    """They are chosen anew in each step, from what is: yet nothing is put on them meanwhile."""
    cluster = Cluster(fleet(*nodes(6, gpus=4)))
    for i in range(24):
        cluster.submit(workload(f"s{i}", gpus=1, cpus=0, duration_s=200.0 + 37 * ((i * 7) % 24)))
    cluster.tick(10)
    cluster.submit(workload("gang", gpus=4, cpus=0, nodes=3, duration_s=100.0))
    free: list[int] = []
    for i in range(24, 600):
        cluster.submit(workload(f"s{i}", gpus=1, cpus=0, duration_s=200.0 + 37 * ((i * 7) % 24)))
        cluster.tick(15)
        if cluster.status("gang") is not Status.WAITING:
            break
        if cluster.now_s - 10 >= SET_ASIDE_AFTER_S + 15:
            free.append(sum(sorted(cluster.state.table.whole_free[:, 0].tolist())[-3:]))
    assert free == sorted(free)
    assert cluster.status("gang") is Status.STARTING


def test_the_clock_is_that_of_waiting_for_resources() -> None:
    of = fleet(node(gpus=4))
    later = waiting(workload("whole", gpus=4, cpus=0, not_before_s=NOW_S - 5), seq=1, waited_s=1e6)
    assert placed(decide(state_of(of, held("r", 0), later, small()))[0]) == {"small": ("n0",)}
