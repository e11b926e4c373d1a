"""`exhaustive`: tries everything. The yardstick of the other solvers, for the smallest problems."""

import itertools
import math
from collections.abc import Iterator

import numpy as np

from suanli.domain.problem import PlacementProblem
from suanli.solvers.placement.answer import Answer, Chosen, answer_of
from suanli.solvers.placement.arrays import FIT_TOLERANCE, Arrays, arrays_of
from suanli.solvers.placement.limits import Limits, NotSuited


def exhaustive(problem: PlacementProblem, limits: Limits, seed: int) -> Answer:
    """Exact. Every option and every set of nodes of every gang; where gangs may wait, in every order, each as early
    as it fits. Only branches that are already worse than the best answer are cut. Raises NotSuited beyond a stated
    number of combinations."""
    arrays = arrays_of(problem)
    combinations = _combinations(arrays)
    if combinations > limits.combinations_max:
        raise NotSuited(
            f"There are {combinations:.2g} combinations, and it tries at most {limits.combinations_max:,}."
        )
    search = _Search(arrays)
    search.go(())
    bound = search.score if search.best is not None else math.inf
    return answer_of("exhaustive", problem, arrays, search.best, bound, proved=True)


def _combinations(arrays: Arrays) -> float:
    """Leaves of the tree of choices."""
    total = float(math.factorial(arrays.gangs)) if arrays.objective.may_wait else 1.0
    for gang in range(arrays.gangs):
        size = int(arrays.size[gang])
        ways = [math.comb(int(arrays.count[arrays.node_class[p]]), size) for p in arrays.pairs_of(gang)]
        total *= sum(ways) + (1 if arrays.objective.may_leave_out else 0)
    return total


class _Search:
    """Depth first; mutable, lives for one call."""

    def __init__(self, arrays: Arrays) -> None:
        self.arrays = arrays
        self.best: tuple[Chosen, ...] | None = None
        self.score = math.inf
        self._classes = arrays.nodes_class
        self._room = arrays.capacity[self._classes] * (1 + FIT_TOLERANCE) + FIT_TOLERANCE
        best_pair = [
            min([float(arrays.pair_score[p]) for p in arrays.pairs_of(g)] + [0.0] * arrays.objective.may_leave_out,
                default=math.inf)
            for g in range(arrays.gangs)
        ]  # fmt: skip
        self._least = best_pair

    def go(self, chosen: tuple[Chosen, ...], skipped: frozenset[int] = frozenset()) -> None:
        """Try everything that begins with these choices."""
        arrays = self.arrays
        done = {int(arrays.gang[c.pair]) for c in chosen} | skipped
        rest = [g for g in range(arrays.gangs) if g not in done]
        score = self._score(chosen)
        if score + sum(self._least[g] for g in rest) >= self.score - 1e-12:
            return
        if not rest:
            self.best, self.score = chosen, score
            return
        for gang in rest if arrays.objective.may_wait else rest[:1]:
            for choice in self._choices(chosen, gang):
                self.go((*chosen, choice), skipped)
        if arrays.objective.may_leave_out:
            self.go(chosen, skipped | {rest[0]})

    def _choices(self, chosen: tuple[Chosen, ...], gang: int) -> Iterator[Chosen]:
        arrays = self.arrays
        for pair in arrays.pairs_of(gang):
            at = int(arrays.node_class[pair])
            inside = range(int(arrays.first_node[at]), int(arrays.first_node[at + 1]))
            for nodes in itertools.combinations(inside, int(arrays.size[gang])):
                start_s = self._earliest(chosen, pair, nodes)
                if start_s is not None:
                    yield Chosen(pair, nodes, start_s)

    def _earliest(self, chosen: tuple[Chosen, ...], pair: int, nodes: tuple[int, ...]) -> int | None:
        near = [c for c in chosen if not set(nodes).isdisjoint(c.nodes)]
        if not self.arrays.objective.may_wait:
            return 0 if self._fits(near, pair, nodes) else None
        duration = self.arrays.duration_s
        for start_s in sorted({0, *(c.start_s + int(duration[c.pair]) for c in near)}):
            end_s = start_s + int(duration[pair])
            meanwhile = [c for c in near if c.start_s < end_s and start_s < c.start_s + duration[c.pair]]
            instants = {start_s, *(c.start_s for c in meanwhile if c.start_s > start_s)}
            at_once = (
                [c for c in meanwhile if c.start_s <= i < c.start_s + duration[c.pair]] for i in instants
            )
            if all(self._fits(group, pair, nodes) for group in at_once):
                return start_s
        return None

    def _fits(self, beside: list[Chosen], pair: int, nodes: tuple[int, ...]) -> bool:
        arrays = self.arrays
        for node in nodes:
            held = arrays.demand[pair] + sum(
                (arrays.demand[c.pair] for c in beside if node in c.nodes), np.zeros(arrays.capacity.shape[1])
            )
            if (held > self._room[node]).any():
                return False
        return True

    def _score(self, chosen: tuple[Chosen, ...]) -> float:
        arrays = self.arrays
        opened = {n for c in chosen for n in c.nodes}
        ends = (c.start_s + int(arrays.duration_s[c.pair]) for c in chosen)
        return (
            sum(float(arrays.pair_score[c.pair]) for c in chosen)
            + sum(float(arrays.opening_score[self._classes[n]]) for n in opened)
            + arrays.objective.time_weight * max(ends, default=0)
        )
