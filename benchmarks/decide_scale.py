"""How large a fleet can be shared out anew within a second: allocations alone, and the whole step with its reasons.

    max-min       fractions of 6 types for n jobs, no two alike, beside HiGHS' interior point where that takes seconds
    hierarchical  the same among 8 teams, water-filling, 2,048 jobs
    re-plan       `kernel.step` with reasons on 10,000 devices of 6 types in 1,250 nodes, for 10,000 gangs of 1 to 64:
                  `first` places all from nothing, `next` is six rounds later when 500 more have come

`least_pct` is what the worst off gets, in percent of `bound`, a proven upper bound on what it could; `used_pct` is the
fullest type, `row_max` the busiest job. Times are the best of three, after everything has been compiled; HiGHS' of one.
"""

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import msgspec
import numpy as np

from suanli.domain.decision import Decision, Memory, Place
from suanli.domain.fleet import Fleet, Node
from suanli.domain.record import Record, Status
from suanli.domain.resources import AcceleratorDemand, Demand
from suanli.domain.workload import Kind, Workload
from suanli.kernel.invariants import violations
from suanli.kernel.outcome import carried_out
from suanli.kernel.state import State
from suanli.kernel.step import step
from suanli.policies.registry import parse
from suanli.policies.sharing.fair import hierarchical, max_min
from suanli.policies.sharing.levels import base_rows, raise_linear
from suanli.policies.sharing.prices import Market
from suanli.policies.sharing.values import Sharing, proportional_speed
from suanli.policies.table import Floats
from suanli.solvers.linear import Method, solve_lp
from suanli.solvers.matrix import matrix_of

TYPES = 6
REPEATS = 3
GIB = 2**30
NOW_S = 1e6
ROUND_S = 360.0
MODELS = ("H100", "A100-80GB", "A100-40GB", "V100-16GB", "L4", "T4")
GANGS = ((1, 0.7), (2, 0.1), (4, 0.1), (8, 0.06), (16, 0.03), (64, 0.01))

Row = dict[str, str | int | float]
Answer = TypeVar("Answer")


def measure() -> Iterator[Row]:
    """One row for each size and problem."""
    max_min(_problem(300, np.random.default_rng(9)))  # compiles
    for jobs in (1_000, 10_000, 100_000):
        yield _max_min(jobs, beside=jobs <= 10_000)
    yield _hierarchical(2_048)
    for policy in ("max-min", "shortest-remaining", "least-served"):
        yield from _replans(policy)


def _max_min(jobs: int, *, beside: bool) -> Row:
    problem = _problem(jobs, np.random.default_rng(jobs))
    cpu_s, x = _best(lambda: max_min(problem))
    market = _market(problem)
    bound = raise_linear(market, np.zeros(jobs), problem.weight, np.zeros(x.shape)).bound
    row = _row("max-min", jobs, cpu_s) | _quality(problem, x, bound)
    if beside:
        began_s = time.process_time()
        exact = _by_interior_point(problem, market)
        highs_s = time.process_time() - began_s
        row |= {
            "highs_s": round(highs_s, 3),
            "highs_ratio": round(highs_s / cpu_s, 1),
            "bound_pct_of_exact": round(100 * bound / exact, 4),
        }
    return row


def _hierarchical(jobs: int) -> Row:
    problem = _problem(jobs, np.random.default_rng(jobs))
    cpu_s, x = _best(lambda: hierarchical(problem))
    team = problem.entity
    rate = problem.entity_weight[team] / np.bincount(team)[team]
    bound = raise_linear(_market(problem), np.zeros(jobs), rate, np.zeros(x.shape)).bound
    return _row("hierarchical", jobs, cpu_s) | _quality(
        msgspec.structs.replace(problem, weight=rate), x, bound
    )


def _replans(policy: str) -> Iterator[Row]:
    parsed, empty = parse(policy), State(_fleet())
    empty.apply(_queue(10_000))
    rng = np.random.default_rng(0)
    step(empty, parsed, Memory(), NOW_S, rng)  # compiles, and rates every shape of demand once
    cpu_s, (decision, memory) = _best(lambda: step(empty, parsed, Memory(), NOW_S, np.random.default_rng(0)))
    yield _replanned(policy, "first", empty, decision, cpu_s)
    later_s = NOW_S + 6 * ROUND_S
    busy = carried_out(empty, decision, NOW_S)
    busy.apply(_queue(500, first=10_001))
    cpu_s, (decision, _) = _best(lambda: step(busy, parsed, memory, later_s, np.random.default_rng(0)))
    yield _replanned(policy, "next", busy, decision, cpu_s)


def _replanned(policy: str, when: str, state: State, decision: Decision, cpu_s: float) -> Row:
    assert not violations(state, decision)
    actions = decision.actions
    placed = sum(isinstance(action, Place) for action in actions)
    row = _row(f"re-plan {policy}, {when}", len(state.records), cpu_s)
    return row | {"placed": placed, "stopped": len(actions) - placed, "explained": len(decision.waiting)}


def _row(problem: str, jobs: int, cpu_s: float) -> Row:
    return {"problem": problem, "jobs": jobs, "cpu_s": round(cpu_s, 4)}


def _quality(problem: Sharing, x: Floats, bound: float) -> Row:
    scale = problem.devices / (problem.weight * proportional_speed(problem))
    least = float(((problem.speed * x).sum(axis=1) * scale).min())
    return {
        "least_pct": round(100 * least / bound, 4),
        "used_pct": round(100 * float((problem.devices @ x / problem.capacity).max()), 6),
        "row_max": round(float(x.sum(axis=1).max()), 9),
    }


def _problem(jobs: int, rng: np.random.Generator) -> Sharing:
    """A device for four jobs, so that nobody has all of its time; speeds of a job over two orders of magnitude."""
    sizes, shares = zip(*GANGS, strict=True)
    devices = rng.choice(sizes, jobs, p=shares).astype(np.float64)
    part = rng.dirichlet(np.full(TYPES, 5.0))
    return Sharing(
        speed=np.exp(rng.normal(0.0, 1.0, (jobs, TYPES))),
        devices=devices,
        weight=np.ones(jobs),
        entity=rng.integers(8, size=jobs).astype(np.intp),
        entity_weight=np.array([1.0, 1.0, 2.0, 2.0, 3.0, 4.0, 4.0, 8.0]),
        remaining=np.full(jobs, np.nan),
        elapsed_s=np.zeros(jobs),
        fair_s=np.zeros(jobs),
        done=np.zeros(jobs),
        current=np.full(jobs, -1, dtype=np.intp),
        seq=np.arange(jobs),
        deadline_left_s=np.full(jobs, np.inf),
        capacity=np.maximum(64.0, np.round(jobs / 4 * part)),
        price=np.ones(TYPES),
    )


def _market(problem: Sharing) -> Market:
    scale = problem.devices / proportional_speed(problem)
    return Market(np.ascontiguousarray(problem.speed * scale[:, None]), problem.devices, problem.capacity)


def _by_interior_point(problem: Sharing, market: Market) -> float:
    """The same as one linear program, as Gavel states it: the optimum."""
    n, m = market.speed.shape
    row, column, value = base_rows(market)
    matrix = matrix_of(
        2 * n + m,
        n * m + 1,
        np.concatenate([row, np.arange(n, dtype=np.intp)]),
        np.concatenate([column, np.full(n, n * m)]),
        np.concatenate([value, -problem.weight]),
    )
    answer = solve_lp(
        np.append(np.zeros(n * m), 1.0),
        matrix,
        np.concatenate([np.zeros(n), np.full(n + m, -np.inf)]),
        np.concatenate([np.full(n, np.inf), np.ones(n), market.capacity]),
        maximise=True,
        method=Method.INTERIOR_POINT,
        crossover=False,
    )
    return answer.objective


def _best(run: Callable[[], Answer]) -> tuple[float, Answer]:
    best_s, answer = float("inf"), None
    for _ in range(REPEATS):
        began_s = time.process_time()
        answer = run()
        best_s = min(best_s, time.process_time() - began_s)
    assert answer is not None
    return best_s, answer


def _fleet() -> Fleet:
    nodes = [
        Node(name=f"n{i}", cpus=128.0, memory_bytes=1024 * GIB, accelerators=(MODELS[i % TYPES],) * 8)
        for i in range(1_250)
    ]
    return Fleet(name="bench", nodes=tuple(nodes))


def _queue(count: int, first: int = 1) -> list[Record]:
    """Gangs on any model, each at speeds of its own; more than there are devices for."""
    rng = np.random.default_rng(first)
    sizes, shares = zip(*GANGS, strict=True)
    records: list[Record] = []
    for i, devices in enumerate(rng.choice(sizes, count, p=shares).tolist()):
        each = min(devices, 8)
        demand = Demand(
            cpus=8.0 * each,
            memory_bytes=64 * GIB * each,
            accelerators=tuple(AcceleratorDemand(model, float(each)) for model in MODELS),
        )
        speed = np.exp(rng.normal(0.0, 0.6, TYPES)).tolist()
        workload = Workload(
            name=f"w{first + i}",
            kind=Kind.TRAIN,
            run=("train",),
            nodes=devices // each,
            demand=demand,
            speeds=dict(zip(MODELS, speed, strict=True)),
            work=float(rng.lognormal(9.0, 1.5)),
        )
        since_s = NOW_S - float(rng.uniform(0, 7200))
        records.append(
            Record(
                key=workload.name,
                workload=workload,
                seq=first + i,
                submitted_s=since_s,
                waiting_since_s=since_s,
                status=Status.WAITING,
            )
        )
    return records
