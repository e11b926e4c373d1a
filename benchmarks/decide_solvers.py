"""What an exact answer is worth: 100 gangs on 64 nodes of 8 accelerators, each solver on each objective.

Two classes of nodes, three resources. The gangs take 1 to 8 nodes and from one accelerator to all of a node, with
uneven amounts of CPU and memory beside, so that no rule fills the nodes by itself. For *utilisation* they want a
third more than there is, for *cost* they all fit, for *completion time* they wait for one another. Gaps are against
each solver's own proved bound; `best_gap_pct` is against the best bound that any of them proved.
"""

import time
from collections.abc import Iterator

import numpy as np

from suanli.domain.errors import UsageError
from suanli.domain.problem import (
    MAX_UTILISATION,
    MIN_COMPLETION_TIME,
    MIN_COST,
    Gang,
    NodeClass,
    Objective,
    Option,
    PlacementProblem,
)
from suanli.solvers.placement.answer import Answer
from suanli.solvers.placement.limits import Limits
from suanli.solvers.placement.registry import SOLVERS

OBJECTIVES = {
    "min-cost": MIN_COST,
    "min-completion-time": MIN_COMPLETION_TIME,
    "max-utilisation": MAX_UTILISATION,
}
SEEDS = (1, 2, 3)
LIMITS = Limits(gap_max=0.005, branch_nodes_max=2_000, population=24, generations=10)
FILL = {"min-cost": 0.85, "min-completion-time": 3.0, "max-utilisation": 1.33}
"""Wanted accelerators by those that there are."""

CLASSES = (
    NodeClass(name="h100", count=32, capacity=(8.0, 192.0, 2048.0)),
    NodeClass(name="a100", count=32, capacity=(8.0, 128.0, 1024.0)),
)
USD_PER_ACCELERATOR_HOUR = (2.2, 1.3)
SPEED = (2.0, 1.0)

Row = dict[str, str | int | float]


def measure() -> Iterator[Row]:
    """One row for each objective, seed and solver."""
    listed_once = PlacementProblem(
        name="warm", resources=("accelerators",), classes=(), gangs=(), objective=MAX_UTILISATION
    )
    SOLVERS["greedy"](listed_once, LIMITS, 0)
    for name, objective in OBJECTIVES.items():
        for seed in SEEDS:
            yield from _rows(name, instance(objective, FILL[name], np.random.default_rng(seed)), seed)


def _rows(name: str, problem: PlacementProblem, seed: int) -> Iterator[Row]:
    answers: dict[str, tuple[Answer, float, float]] = {}
    for solver, solve in SOLVERS.items():
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        try:
            answer = solve(problem, LIMITS, seed)
        except UsageError:
            continue
        answers[solver] = answer, time.perf_counter() - wall_s, time.process_time() - cpu_s
    bounds = [answer.bound for answer, _, _ in answers.values()]
    best = min(bounds) if problem.objective.maximises else max(bounds)
    for solver, (answer, wall_s, cpu_s) in answers.items():
        yield {
            "objective": name,
            "seed": seed,
            "solver": solver,
            "value": round(answer.objective, 4),
            "bound": round(answer.bound, 4),
            "gap_pct": round(100 * answer.gap, 3),
            "best_gap_pct": round(100 * abs(answer.objective - best) / max(abs(answer.objective), 1e-9), 3),
            "left_out": len(answer.left_out),
            "wall_s": round(wall_s, 3),
            "cpu_s": round(cpu_s, 3),
        }


def instance(objective: Objective, fill: float, rng: np.random.Generator) -> PlacementProblem:
    """100 gangs that want `fill` times the accelerators there are, as nearly as shapes allow."""
    nodes = rng.choice([1, 2, 4, 8], 100, p=[0.5, 0.25, 0.17, 0.08])
    accelerators = np.where(nodes > 1, rng.choice([4, 8], 100), rng.integers(1, 9, 100)).astype(float)
    total = sum(c.count * c.capacity[0] for c in CLASSES)
    order = rng.permutation(100)
    # larger or smaller, one gang after another, until together they want what they should
    for g in [*order] * 8:
        wanted = float(nodes @ accelerators)
        if wanted > fill * total and accelerators[g] > 1:
            accelerators[g] -= 1
        elif wanted < (fill - 0.02) * total and accelerators[g] < 8:
            accelerators[g] += 1
    gangs = tuple(_gang(f"g{i}", int(nodes[i]), float(accelerators[i]), rng) for i in range(100))
    return PlacementProblem(
        name="bench",
        resources=("accelerators", "cpus", "memory_gib"),
        classes=CLASSES,
        gangs=gangs,
        objective=objective,
    )


def _gang(name: str, nodes: int, accelerators: float, rng: np.random.Generator) -> Gang:
    cpus = round(accelerators * float(rng.uniform(4, 15)))
    memory_gib = round(accelerators * float(rng.uniform(20, 120)))
    work_s = 300 * int(rng.integers(2, 97))
    liking = float(rng.uniform(0.7, 1.3))
    options = tuple(
        Option(
            node_class=c,
            demand=(accelerators, float(cpus), float(memory_gib)),
            duration_s=(
                duration_s := 60 * max(1, round(work_s / (SPEED[c] * (liking if c == 0 else 1)) / 60))
            ),
            cost_usd=nodes * accelerators * USD_PER_ACCELERATOR_HOUR[c] * duration_s / 3600,
            value=nodes * accelerators / sum(k.count * k.capacity[0] for k in CLASSES),
        )
        for c in range(len(CLASSES))
    )
    return Gang(name=name, nodes=nodes, options=options)
