"""A placement problem as arrays, in which every solver reads it.

Shapes: G gangs, P pairs of a gang and an option, C node classes, N nodes, R resources. Pairs are ordered by gang,
nodes by class.
"""

import msgspec
import numpy as np
from numpy.typing import NDArray

from suanli.domain.problem import Objective, PlacementProblem

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

FIT_TOLERANCE = 1e-9
"""Relative: three shares of a third fit on one device."""


class Arrays(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """int[G] `size`, int[G+1] `first_pair`; int[P] `gang`, `node_class`, `duration_s`, float[P] `cost_usd`, `value`,
    float[P, R] `demand` on each node; int[C] `count`, int[C+1] `first_node`, float[C, R] `capacity`, float[C]
    `opening_usd`."""

    objective: Objective
    size: Integers
    first_pair: Integers
    gang: Integers
    node_class: Integers
    duration_s: Integers
    cost_usd: Floats
    value: Floats
    demand: Floats
    count: Integers
    first_node: Integers
    capacity: Floats
    opening_usd: Floats

    @property
    def gangs(self) -> int:
        return len(self.size)

    @property
    def pairs(self) -> int:
        return len(self.gang)

    @property
    def nodes(self) -> int:
        return int(self.first_node[-1])

    @property
    def nodes_class(self) -> Integers:
        """int[N]: the class of each node."""
        return np.repeat(np.arange(len(self.count)), self.count)

    def pairs_of(self, gang: int) -> range:
        return range(int(self.first_pair[gang]), int(self.first_pair[gang + 1]))

    @property
    def pair_score(self) -> Floats:
        """float[P]: what choosing the pair adds to the score, completion time and opening apart."""
        return self.objective.cost_weight * self.cost_usd - self.objective.value_weight * self.value

    @property
    def opening_score(self) -> Floats:
        """float[C]: what a first gang on a node adds to the score."""
        return self.objective.cost_weight * self.opening_usd


def arrays_of(problem: PlacementProblem) -> Arrays:
    """Only options that could ever run: enough nodes in the class, each large enough. O(pairs · resources)."""
    kept = [
        [option for option in gang.options if _fits(problem, gang.nodes, option.node_class, option.demand)]
        for gang in problem.gangs
    ]
    flat = [(g, option) for g, options in enumerate(kept) for option in options]
    resources = len(problem.resources)
    return Arrays(
        objective=problem.objective,
        size=np.array([gang.nodes for gang in problem.gangs], dtype=np.int64),
        first_pair=np.cumsum([0, *(len(options) for options in kept)], dtype=np.int64),
        gang=np.array([g for g, _ in flat], dtype=np.int64),
        node_class=np.array([option.node_class for _, option in flat], dtype=np.int64),
        duration_s=np.array([option.duration_s for _, option in flat], dtype=np.int64),
        cost_usd=np.array([option.cost_usd for _, option in flat], dtype=np.float64),
        value=np.array([option.value for _, option in flat], dtype=np.float64),
        demand=np.array([option.demand for _, option in flat], dtype=np.float64).reshape(-1, resources),
        count=np.array([c.count for c in problem.classes], dtype=np.int64),
        first_node=np.cumsum([0, *(c.count for c in problem.classes)], dtype=np.int64),
        capacity=np.array([c.capacity for c in problem.classes], dtype=np.float64).reshape(-1, resources),
        opening_usd=np.array([c.opening_usd for c in problem.classes], dtype=np.float64),
    )


def never_fitting(problem: PlacementProblem) -> tuple[str, ...]:
    """Gangs that can run nowhere, even with all nodes to themselves."""
    arrays = arrays_of(problem)
    return tuple(gang.name for g, gang in enumerate(problem.gangs) if not arrays.pairs_of(g))


def _fits(problem: PlacementProblem, nodes: int, node_class: int, demand: tuple[float, ...]) -> bool:
    one = problem.classes[node_class]
    roomy = all(d <= c * (1 + FIT_TOLERANCE) for d, c in zip(demand, one.capacity, strict=True))
    return nodes <= one.count and roomy
