"""How long one decision takes: `kernel.step` by size of the fleet and the queue, with every reason given.

The large size is 1,000 nodes of 8 accelerators and 10,000 queued workloads. Each size is timed with a queue of few
shapes and with one where no two workloads are alike, in four situations:

    first       the fleet is empty: the cycle that fills it
    steady      the next cycle: nothing fits any more, and all that waits is explained
    preempting  the fleet is full of work of low priority: room is made for what is above it
    hopeless    the fleet is full of work of the highest priority: the search for room finds none
    impatient   full as well, and all that waits has waited for more than an hour: nodes are set aside

`cpu_s` is the time of the process, `check_s` that of the invariants which the controller holds the decision to.
"""

import gc
import time
from collections.abc import Iterator

import numpy as np

from suanli.domain.decision import Memory
from suanli.domain.fleet import Fleet, Node
from suanli.domain.record import Attempt, Placement, Record, Status
from suanli.domain.resources import AcceleratorDemand, Demand, Share
from suanli.domain.workload import Kind, Workload
from suanli.kernel.invariants import violations
from suanli.kernel.outcome import carried_out
from suanli.kernel.state import State
from suanli.kernel.step import step
from suanli.policies.registry import parse

POLICY = "priority+best-fit"
SIZES = ((100, 1_000), (1_000, 10_000), (3_000, 30_000))
REPEATS = 3
DEVICES = 8
GIB = 2**30
NOW_S = 1e6

KINDS = (("H100", 192.0, 2048), ("A100-80GB", 128.0, 1024), ("L4", 96.0, 512))
SHAPES = ((1, 1.0), (1, 2.0), (1, 4.0), (1, 8.0), (2, 8.0), (4, 8.0), (1, 0.5), (1, 0.0))

Row = dict[str, str | int | float]


def measure() -> Iterator[Row]:
    """One row for each size, queue and situation; times are the best of three runs."""
    for nodes, queued in SIZES:
        for alike in (True, False):
            for situation, state, memory in _situations(nodes, queued, alike):
                yield _timed(nodes, queued, alike, situation, state, memory)


def _timed(nodes: int, queued: int, alike: bool, situation: str, state: State, memory: Memory) -> Row:
    policy = parse(POLICY)
    best_cpu_s = best_wall_s = float("inf")
    decision, _ = step(state, policy, memory, NOW_S, np.random.default_rng(0))
    for _ in range(REPEATS):
        gc.collect()
        cpu_s, wall_s = time.process_time(), time.perf_counter()
        step(state, policy, memory, NOW_S, np.random.default_rng(0))
        best_cpu_s = min(best_cpu_s, time.process_time() - cpu_s)
        best_wall_s = min(best_wall_s, time.perf_counter() - wall_s)
    checked_s = time.process_time()
    assert not violations(state, decision)
    checked_s = time.process_time() - checked_s
    actions = [type(action).__name__ for action in decision.actions]
    return {
        "nodes": nodes,
        "queued": queued,
        "shapes": "8" if alike else "all distinct",
        "situation": situation,
        "cpu_s": round(best_cpu_s, 3),
        "wall_s": round(best_wall_s, 3),
        "check_s": round(checked_s, 3),
        "placed": actions.count("Place"),
        "stopped": actions.count("Stop"),
        "explained": len(decision.waiting),
        "reasons": len(decision.reasons),
    }


def _situations(nodes: int, queued: int, alike: bool) -> Iterator[tuple[str, State, Memory]]:
    empty = State(_fleet(nodes))
    empty.apply(_queue(queued, alike))
    yield "first", empty, Memory()
    decision, memory = step(empty, parse(POLICY), Memory(), NOW_S, np.random.default_rng(0))
    yield "steady", carried_out(empty, decision, NOW_S), memory
    for situation, priority, waited_s in (
        ("preempting", 20, 0),
        ("hopeless", 100, 0),
        ("impatient", 100, 7200),
    ):
        full = State(_fleet(nodes))
        full.apply(_running(full.fleet, priority))
        full.apply(_queue(queued, alike, waited_s))
        yield situation, full, Memory()


def _fleet(count: int) -> Fleet:
    nodes = [
        Node(name=f"n{i}", cpus=cpus, memory_bytes=gib * GIB, accelerators=(model,) * DEVICES)
        for i in range(count)
        for model, cpus, gib in (KINDS[i % len(KINDS)],)
    ]
    return Fleet(name="bench", nodes=tuple(nodes))


def _queue(count: int, alike: bool, waited_s: float = 0.0) -> list[Record]:
    rng = np.random.default_rng(1)
    records: list[Record] = []
    for i in range(count):
        nodes, devices = SHAPES[int(rng.integers(len(SHAPES)))]
        model = KINDS[int(rng.integers(len(KINDS)))][0]
        cpus = 4.0 * max(1.0, devices)
        memory = 32 * GIB * max(1, int(devices))
        if not alike:
            cpus += i / count
            memory += i * 2**20
        demand = Demand(
            cpus=cpus,
            memory_bytes=memory,
            accelerators=(AcceleratorDemand(model, devices),) if devices else (),
        )
        workload = Workload(
            name=f"w{i}",
            kind=Kind.TRAIN,
            run=("train",),
            nodes=nodes,
            demand=demand,
            priority=int(rng.integers(30, 100)),
        )
        since_s = NOW_S - waited_s - float(rng.uniform(0, 1800))
        records.append(_record(workload, i + 1, since_s))
    return records


def _running(fleet: Fleet, priority: int) -> list[Record]:
    """Two devices each, four to a node, so that every node is full."""
    records: list[Record] = []
    for i, node in enumerate(fleet.nodes):
        for j in range(0, DEVICES, 2):
            share = Share(
                cpus=node.cpus / 4,
                memory_bytes=node.memory_bytes // 4,
                accelerator=node.accelerators[0],
                devices=(j, j + 1),
            )
            demand = Demand(cpus=share.cpus, memory_bytes=share.memory_bytes)
            workload = Workload(
                name=f"r{i}-{j}", kind=Kind.TRAIN, run=("r",), demand=demand, priority=priority
            )
            attempt = Attempt(
                number=1,
                placements=(Placement(node.name, share),),
                placed_s=NOW_S - 7200,
                started_s=NOW_S - 7000,
                checkpoint_s=NOW_S - (37 * (i + j)) % 900,
            )
            record = _record(workload, -1000 * (i + 1) - j, NOW_S - 7200)
            records.append(_running_as(record, attempt))
    return records


def _record(workload: Workload, seq: int, since_s: float) -> Record:
    return Record(
        key=workload.name,
        workload=workload,
        seq=seq,
        submitted_s=since_s,
        waiting_since_s=since_s,
        status=Status.WAITING,
    )


def _running_as(record: Record, attempt: Attempt) -> Record:
    return Record(
        key=record.key,
        workload=record.workload,
        seq=record.seq,
        submitted_s=record.submitted_s,
        waiting_since_s=record.waiting_since_s,
        status=Status.RUNNING,
        attempt=attempt,
        attempts_made=1,
    )
