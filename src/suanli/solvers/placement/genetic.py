"""`genetic`: NSGA-II by pymoo over orders and choices; an answer, and the front of cost, completion time and
value."""

from typing import Any

import numpy as np

from suanli.domain.problem import PlacementProblem
from suanli.solvers.placement.answer import (
    Answer,
    Chosen,
    FrontPoint,
    Measured,
    answer_of,
    assignments_of,
    measured,
)
from suanli.solvers.placement.arrays import Arrays, Floats, arrays_of
from suanli.solvers.placement.greedy import greedily
from suanli.solvers.placement.limits import INSTALL, Limits, NotSuited
from suanli.solvers.placement.listing import listed
from suanli.solvers.placement.lp import relaxed_bound
from suanli.solvers.placement.orders import best_of

UNPLACEABLE = 1e18
FRONT_MAX = 40

Found = tuple[Measured, tuple[Chosen, ...]]


def genetic(problem: PlacementProblem, limits: Limits, seed: int) -> Answer:
    """Random keys (Bean 1994): one for the turn of each gang, one for the liking of each option, decoded by list
    scheduling; population x generations decodings. Its bound, and so its gap, is that of the linear relaxation."""
    arrays = arrays_of(problem)
    bound = relaxed_bound(problem, arrays)
    if bound == np.inf or not arrays.pairs:
        return answer_of("genetic", problem, arrays, greedily(arrays), bound, proved=bound == np.inf)
    found = _evolved(arrays, limits, seed)
    known = greedily(arrays)
    if known is not None:
        found.append((measured(arrays, known), known))
    chosen = best_of(arrays, [choice for _, choice in found])
    front = _front(problem, arrays, found)
    return answer_of("genetic", problem, arrays, chosen, bound, front=front)


def pymoo() -> tuple[Any, Any, Any]:
    """What is needed of pymoo. Raises NotSuited where it is not installed."""
    try:
        from pymoo.algorithms.moo.nsga2 import NSGA2
        from pymoo.core.problem import ElementwiseProblem
        from pymoo.optimize import minimize
    except ModuleNotFoundError as error:
        raise NotSuited("It needs pymoo, which is not installed.", remedy=INSTALL) from error
    return ElementwiseProblem, NSGA2, minimize


def _evolved(arrays: Arrays, limits: Limits, seed: int) -> list[Found]:
    """Every distinct answer met on the way."""
    elementwise_problem, nsga2, minimize = pymoo()
    met: dict[tuple[float, int, float], Found] = {}

    class Keys(elementwise_problem):
        def __init__(self) -> None:
            super().__init__(n_var=arrays.gangs + arrays.pairs, n_obj=4, xl=0.0, xu=1.0)

        def _evaluate(self, x: Floats, out: dict[str, list[float]], *_: object, **__: object) -> None:
            order = np.argsort(x[: arrays.gangs], kind="stable")
            chosen = listed(arrays, order, x[arrays.gangs :], strict=True)
            if chosen is None:
                out["F"] = [UNPLACEABLE] * 4
                return
            here = measured(arrays, chosen)
            met.setdefault((here.cost_usd, here.completion_s, here.value), (here, chosen))
            # the score as well, so that the front is dense where it is asked for
            out["F"] = [here.cost_usd, float(here.completion_s), -here.value, here.score]

    minimize(Keys(), nsga2(pop_size=limits.population), ("n_gen", limits.generations), seed=seed)
    return list(met.values())


def _front(problem: PlacementProblem, arrays: Arrays, found: list[Found]) -> tuple[FrontPoint, ...]:
    """What nothing met betters in all at once, by cost; thinned evenly where there is much of it. Value counts where
    something may be left out."""
    matters = arrays.objective.may_leave_out
    points = sorted(found, key=lambda f: (f[0].cost_usd, f[0].completion_s, -f[0].value * matters))
    kept: list[Found] = []
    for point in points:
        if not any(_betters(other[0], point[0], matters) for other in kept):
            kept.append(point)
    if len(kept) > FRONT_MAX:
        kept = [kept[round(i)] for i in np.linspace(0, len(kept) - 1, FRONT_MAX)]
    return tuple(
        FrontPoint(
            cost_usd=here.cost_usd,
            completion_s=here.completion_s,
            value=here.value,
            assignments=assignments_of(problem, arrays, chosen),
        )
        for here, chosen in kept
    )


def _betters(one: Measured, other: Measured, value_matters: bool) -> bool:
    return (
        one.cost_usd <= other.cost_usd + 1e-9
        and one.completion_s <= other.completion_s
        and (not value_matters or one.value >= other.value - 1e-9)
    )
