"""Random placement problems, small enough to try everything."""

import numpy as np

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

OBJECTIVES = (
    MIN_COST,
    MIN_COMPLETION_TIME,
    MAX_UTILISATION,
    Objective(cost_weight=1.0, time_weight=0.25),
    Objective(cost_weight=0.05, value_weight=1.0),
)


def drawn(rng: np.random.Generator, objective: Objective, *, one_node: bool = False) -> PlacementProblem:
    """Three to six gangs, one to three nodes of one or two classes, two resources, durations in whole minutes."""
    counts = [1] if one_node else ([[1, 1], [2, 1], [3, 0], [2, 0]][int(rng.integers(4))])
    classes = tuple(
        NodeClass(
            name=f"class{c}",
            count=count,
            capacity=(float(rng.integers(4, 9)), float(rng.integers(8, 25)) / 2),
            opening_usd=float(rng.integers(0, 3)) * float(rng.integers(0, 2)),
        )
        for c, count in enumerate(counts)
        if count
    )
    crowded = objective != MIN_COST  # there all run at once
    most = 4 if objective.may_wait else 6
    gangs = tuple(_gang(rng, f"g{i}", classes, crowded) for i in range(int(rng.integers(3, most + 1))))
    return PlacementProblem(
        name="drawn", resources=("accelerators", "cpus"), classes=classes, gangs=gangs, objective=objective
    )


def _gang(rng: np.random.Generator, name: str, classes: tuple[NodeClass, ...], crowded: bool) -> Gang:
    nodes = min(int(rng.choice([1, 1, 1, 1, 2])), classes[0].count)
    work_s = 60 * int(rng.integers(1, 6))
    demand = (float(rng.integers(1, 5)), float(rng.integers(1, 9)) / 2)
    if crowded:
        demand = (demand[0] + 1, demand[1] + 1)
    options = tuple(
        Option(
            node_class=c,
            demand=demand,
            duration_s=work_s if c == 0 else 60 * int(rng.integers(1, 6)),
            cost_usd=float(rng.integers(1, 20)),
            value=nodes * demand[0] * float(rng.integers(1, 4)),
        )
        for c in range(len(classes))
        if c == 0 or rng.random() < 0.8
    )
    return Gang(name=name, nodes=nodes, options=options)
