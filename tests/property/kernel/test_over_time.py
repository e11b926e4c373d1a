"""Many steps in a row: what is vacated is given to whom it was vacated for, and everything that fits gets done."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.cluster import Cluster
from tests.property.kernel.situations import DICE, Dice, draw_fleet, draw_workload

from suanli.domain.record import Status
from suanli.domain.workload import Kind, Workload
from suanli.policies import registry

TICK_S = 10.0
ARRIVING_S = 400.0
POLICIES = st.sampled_from([f"{o}+{p}" for o in registry.ORDERS for p in ("best-fit", "spread")])


def draw_job(dice: Dice, i: int) -> tuple[float, Workload]:
    """When it arrives, and a program that ends."""
    workload = msgspec.structs.replace(
        draw_workload(dice, f"w{i}"),
        kind=Kind.TRAIN,
        duration_s=dice.pick(40.0, 10.0, 200.0),
        checkpoint_every_s=dice.pick(10.0, 50.0, None),
        grace_s=dice.pick(10.0, 0.0, 60.0),
        held=False,
    )
    return dice.pick(*[TICK_S * k for k in range(int(ARRIVING_S / TICK_S))]), workload


@settings(max_examples=40)
@given(st.lists(DICE, min_size=1, max_size=4), DICE, st.lists(DICE, min_size=4, max_size=20), POLICIES)
def test_everything_that_could_ever_run_is_done_in_the_end(
    members: list[Dice], of: Dice, jobs: list[Dice], policy: str
) -> None:
    """Every decision is held to the invariants. What is left at the end is what nothing could ever place."""
    cluster = Cluster(draw_fleet(of, members), policy)
    arrivals = sorted((draw_job(dice, i) for i, dice in enumerate(jobs)), key=lambda job: job[0])
    while arrivals or any(r.status.is_live for r in cluster.state.records.values()):
        while arrivals and arrivals[0][0] <= cluster.now_s:
            cluster.submit(arrivals.pop(0)[1])
        cluster.tick(TICK_S)
        assert cluster.now_s < 20_000.0, "some work is started and stopped for ever"
    cluster.run(2 * TICK_S, TICK_S)
    for key, record in cluster.state.records.items():
        if record.status is not Status.SUCCEEDED:
            why = cluster.decision.reason_for(key)
            assert why is not None
            assert not why.will_waiting_help, f"{key} waits on an empty fleet: {why}"


@settings(max_examples=40)
@given(st.lists(DICE, min_size=1, max_size=4), DICE, st.lists(DICE, min_size=6, max_size=20), POLICIES)
def test_whoever_others_were_ended_for_starts_before_anything_of_no_higher_priority_on_its_room(
    members: list[Dice], of: Dice, jobs: list[Dice], policy: str
) -> None:
    cluster = Cluster(draw_fleet(of, members), policy)
    arrivals = sorted((draw_job(dice, i) for i, dice in enumerate(jobs)), key=lambda job: job[0])
    for _ in range(80):
        while arrivals and arrivals[0][0] <= cluster.now_s:
            cluster.submit(arrivals.pop(0)[1])
        kept = dict(cluster.memory.reservations)
        cluster.tick(TICK_S)
        still = cluster.memory.reservations
        started = {key for at_s, key in cluster.starts if at_s == cluster.now_s}
        for key, reservation in kept.items():
            assert key in started or still.get(key) == reservation, f"{key} lost its room"
