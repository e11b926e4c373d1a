"""`Answer`: who goes where and when, what that scores, and what is proved of it."""

import math

import msgspec
import numpy as np

from suanli.domain.problem import PlacementProblem
from suanli.solvers.placement.arrays import FIT_TOLERANCE, Arrays
from suanli.solvers.status import Status


class Chosen(msgspec.Struct, frozen=True):
    """A pair of the arrays, the nodes it holds (indices over all nodes), and when it begins."""

    pair: int
    nodes: tuple[int, ...]
    start_s: int = 0


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """What a gang is given."""

    gang: str
    node_class: str
    nodes: tuple[str, ...]
    start_s: int
    end_s: int
    cost_usd: float


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """What one more unit of a resource, on all nodes of a class together, would better the objective by."""

    node_class: str
    resource: str
    price: float


class FrontPoint(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that no other known one betters in cost, completion time and value at once."""

    cost_usd: float
    completion_s: int
    value: float
    assignments: tuple[Assignment, ...]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """`objective` and `bound` as people read them: to maximise where only value counts, else to minimise.

    `gap` = |objective - bound| / |objective|: what a perfect answer could be better by, at most. `objective` is nan
    and `gap` infinite where nothing was found. `note` says in a sentence what a reader should know of how it was
    found.
    """

    solver: str
    status: Status
    objective: float
    bound: float
    gap: float
    cost_usd: float
    completion_s: int
    value: float
    assignments: tuple[Assignment, ...] = ()
    left_out: tuple[str, ...] = ()
    prices: tuple[Price, ...] = ()
    front: tuple[FrontPoint, ...] = ()
    note: str = ""


class Measured(msgspec.Struct, frozen=True):
    """What a set of choices comes to."""

    cost_usd: float
    completion_s: int
    value: float
    score: float


def measured(arrays: Arrays, chosen: tuple[Chosen, ...]) -> Measured:
    """O(choices · gang size)."""
    pairs = np.array([c.pair for c in chosen], dtype=np.int64)
    opened = {n for c in chosen for n in c.nodes}
    classes = arrays.nodes_class
    opening_usd = float(sum(arrays.opening_usd[classes[n]] for n in opened))
    cost_usd = float(arrays.cost_usd[pairs].sum()) + opening_usd
    completion_s = max((c.start_s + int(arrays.duration_s[c.pair]) for c in chosen), default=0)
    value = float(arrays.value[pairs].sum())
    return Measured(cost_usd, completion_s, value, arrays.objective.score(cost_usd, completion_s, value))


def answer_of(
    solver: str,
    problem: PlacementProblem,
    arrays: Arrays,
    chosen: tuple[Chosen, ...] | None,
    bound_score: float,
    *,
    proved: bool = False,
    prices: tuple[Price, ...] = (),
    front: tuple[FrontPoint, ...] = (),
    note: str = "",
) -> Answer:
    """The answer with these choices (None: nothing found) of which no better score than `bound_score` is possible.

    `proved` says that the solver has closed the search: the choices are optimal, or, without any, nothing can be.
    Asserts that the choices satisfy every constraint.
    """
    shown = problem.objective.shown
    if chosen is None:
        status = Status.INFEASIBLE if proved else Status.UNKNOWN
        return Answer(
            solver=solver, status=status, objective=math.nan, bound=shown(bound_score), gap=math.inf,
            cost_usd=0.0, completion_s=0, value=0.0, note=note,
        )  # fmt: skip
    wrong = violations(arrays, chosen)
    assert not wrong, wrong
    found = measured(arrays, chosen)
    bound = found.score if proved else min(bound_score, found.score)
    gap = gap_of(found.score, bound)
    running = {int(arrays.gang[c.pair]) for c in chosen}
    return Answer(
        solver=solver,
        status=Status.OPTIMAL if gap == 0 else Status.FEASIBLE,
        objective=shown(found.score),
        bound=shown(bound),
        gap=gap,
        cost_usd=found.cost_usd,
        completion_s=found.completion_s,
        value=found.value,
        assignments=assignments_of(problem, arrays, chosen),
        left_out=tuple(gang.name for g, gang in enumerate(problem.gangs) if g not in running),
        prices=prices,
        front=front,
        note=note,
    )


EQUAL = 1e-7
"""Relative: scores nearer than that differ by the rounding of additions and by the tolerances of solvers."""


def gap_of(score: float, bound: float) -> float:
    difference = score - bound
    if difference <= EQUAL * max(abs(score), 1e-9):
        return 0.0
    return difference / abs(score) if score else math.inf


def assignments_of(
    problem: PlacementProblem, arrays: Arrays, chosen: tuple[Chosen, ...]
) -> tuple[Assignment, ...]:
    """In the order of the gangs."""
    assignments: list[Assignment] = []
    for one in sorted(chosen, key=lambda c: c.pair):
        node_class = problem.classes[arrays.node_class[one.pair]]
        first = int(arrays.first_node[arrays.node_class[one.pair]])
        assignments.append(
            Assignment(
                gang=problem.gangs[arrays.gang[one.pair]].name,
                node_class=node_class.name,
                nodes=tuple(node_class.node(n - first) for n in sorted(one.nodes)),
                start_s=one.start_s,
                end_s=one.start_s + int(arrays.duration_s[one.pair]),
                cost_usd=float(arrays.cost_usd[one.pair]),
            )
        )
    return tuple(assignments)


def violations(arrays: Arrays, chosen: tuple[Chosen, ...]) -> list[str]:
    """Every rule of the problem that the choices break, in words. O(choices² · gang size)."""
    wrong: list[str] = []
    gangs = [int(arrays.gang[c.pair]) for c in chosen]
    if len(set(gangs)) < len(gangs):
        wrong.append("a gang runs twice")
    if not arrays.objective.may_leave_out and len(gangs) < arrays.gangs:
        wrong.append("a gang is left out that must run")
    for one in chosen:
        at = arrays.node_class[one.pair]
        inside = range(int(arrays.first_node[at]), int(arrays.first_node[at + 1]))
        if len(set(one.nodes)) != arrays.size[arrays.gang[one.pair]] or any(
            n not in inside for n in one.nodes
        ):
            wrong.append(
                f"gang {arrays.gang[one.pair]} is not on distinct nodes of its class, as many as it needs"
            )
        if one.start_s < 0 or (one.start_s and not arrays.objective.may_wait):
            wrong.append(f"gang {arrays.gang[one.pair]} begins at {one.start_s}")
    return wrong + _overfull(arrays, chosen)


def _overfull(arrays: Arrays, chosen: tuple[Chosen, ...]) -> list[str]:
    """Demand only rises where something begins, so those instants are enough."""
    wrong: list[str] = []
    limit = arrays.capacity[arrays.nodes_class] * (1 + FIT_TOLERANCE) + FIT_TOLERANCE
    for at_s in sorted({c.start_s for c in chosen}):
        held = np.zeros_like(limit)
        for one in chosen:
            if one.start_s <= at_s < one.start_s + arrays.duration_s[one.pair]:
                held[list(one.nodes)] += arrays.demand[one.pair]
        wrong += [
            f"node {n} holds more than it has at {at_s} s" for n in np.nonzero((held > limit).any(axis=1))[0]
        ]
    return wrong
