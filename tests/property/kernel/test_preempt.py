"""Whom preemption ends, against brute force over everybody that it might end."""

from itertools import chain, combinations

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.building import GIB, NOW_S, decide, fleet, node, running, state_of, stopped, waiting, workload
from tests.property.kernel.situations import DICE, Dice

from suanli.domain.fleet import Node
from suanli.domain.record import Record
from suanli.domain.workload import Workload
from suanli.kernel.preempt import lost_work

PRIORITY = 60


def draw_node(dice: Dice, i: int) -> tuple[Node, list[Record]]:
    """A node full of work: each holds its own devices, and CPUs and memory as it comes."""
    gpus = dice.pick(4, 2)
    member = node(f"n{i}", cpus=dice.pick(8.0, 4.0), gpus=gpus, memory_bytes=16 * GIB)
    held: list[Record] = []
    free, cpus = list(range(gpus)), member.cpus
    for k in range(dice.pick(3, 2, 4, 1)):
        take = min(dice.pick(1, 0, 2), len(free))
        asks = min(dice.pick(1.0, 2.0, 3.0), cpus)
        devices, free, cpus = tuple(free[:take]), free[take:], cpus - asks
        work = workload(
            f"v{i}-{k}",
            cpus=asks,
            gpus=take,
            memory_bytes=dice.pick(0, 2, 4) * GIB,
            priority=dice.pick(10, 50, 59, 60, 90),
            preemptible=dice.pick(True, True, True, False),
        )
        unsaved_s = dice.pick(10.0, 30.0, 35.0, 100.0, 700.0)
        held.append(running(work, (member.name, devices), unsaved_s=unsaved_s, seq=10 * i + k))
    return member, held


@settings(max_examples=300)
@given(st.lists(DICE, min_size=1, max_size=4), DICE)
def test_on_one_node_nothing_cheaper_than_one_victim_is_missed_and_nobody_is_ended_for_nothing(
    dice: list[Dice], wanted: Dice
) -> None:
    drawn = [draw_node(d, i) for i, d in enumerate(dice)]
    records = [record for _, held in drawn for record in held]
    asked = workload(
        "w",
        cpus=wanted.pick(2.0, 1.0, 4.0, 6.0),
        gpus=wanted.pick(1, 0, 2, 4),
        memory_bytes=wanted.pick(0, 8) * GIB,
        priority=PRIORITY,
    )
    state = state_of(fleet(*[member for member, _ in drawn]), *records, waiting(asked, seq=999))
    decision, _ = decide(state)
    lost = sum(lost_work(state.live[key], NOW_S) for key in stopped(decision))
    sets = [gone for member, held in drawn for gone in _enough(member, held, asked)]
    if any(not gone for gone in sets):
        assert not stopped(decision)  # there is room as it is
        return
    assert bool(stopped(decision)) == bool(sets)
    if sets:
        least = min(sum(lost_work(record, NOW_S) for record in gone) for gone in sets)
        singles = [lost_work(gone[0], NOW_S) for gone in sets if len(gone) == 1]
        assert lost >= least - 1e-6
        assert not singles or lost <= min(singles) + 1e-6
        chosen = tuple(sorted(stopped(decision)))
        assert chosen in {tuple(sorted(record.key for record in gone)) for gone in sets}
        smaller = [gone for gone in sets if {r.key for r in gone} < set(chosen)]
        assert smaller == []


def _enough(member: Node, held: list[Record], asked: Workload) -> list[tuple[Record, ...]]:
    """All sets of work on the node that may be ended and whose end makes room. Counted without the kernel's tables."""
    may_end = [r for r in held if r.workload.preemptible and r.workload.priority < asked.priority]
    sizes = range(len(may_end) + 1)
    subsets = chain.from_iterable(combinations(may_end, size) for size in sizes)
    return [gone for gone in subsets if _fits(member, [r for r in held if r not in gone], asked)]


def _fits(member: Node, staying: list[Record], asked: Workload) -> bool:
    shares = [p.share for r in staying if r.attempt for p in r.attempt.placements]
    demand = asked.demand
    devices = demand.accelerators[0].count if demand.accelerators else 0
    return (
        sum(share.cpus for share in shares) + demand.cpus <= member.cpus
        and sum(share.memory_bytes for share in shares) + demand.memory_bytes <= member.memory_bytes
        and sum(len(share.devices) for share in shares) + devices <= len(member.accelerators)
    )


@settings(max_examples=100)
@given(st.lists(DICE, min_size=2, max_size=5), st.integers(2, 4))
def test_a_gang_takes_the_nodes_that_lose_least_where_one_victim_each_is_enough(
    dice: list[Dice], size: int
) -> None:
    """One job of a whole node on each: the gang's nodes are those whose work loses least."""
    members = [node(f"n{i}", gpus=4) for i in range(len(dice))]
    records = [
        running(
            workload(f"v{i}", gpus=4, cpus=0, priority=d.pick(10, 50, 60)),
            (f"n{i}", (0, 1, 2, 3)),
            unsaved_s=d.pick(*[float(s) for s in range(1, 40)]),
            seq=i,
        )
        for i, d in enumerate(dice)
    ]
    gang = waiting(workload("w", gpus=4, cpus=0, nodes=size, priority=PRIORITY), seq=99)
    decision, _ = decide(state_of(fleet(*members), *records, gang))
    may_end = sorted(lost_work(r, NOW_S) for r in records if r.workload.priority < PRIORITY)
    lost = sorted(lost_work(next(r for r in records if r.key == key), NOW_S) for key in stopped(decision))
    assert lost == (may_end[:size] if len(may_end) >= size else [])
