"""The resource-mix program: quantities, and what each demand, limit and the budget would save if it gave way by
one."""

import msgspec
import numpy as np

from suanli.domain.mix import MixObjective, MixProblem
from suanli.solvers.linear import solve_lp
from suanli.solvers.matrix import Floats, SparseMatrix
from suanli.solvers.mip import solve_mip
from suanli.solvers.rows import Rows
from suanli.solvers.status import Status

DUST = 1e-9


class Quantity(msgspec.Struct, frozen=True, kw_only=True):
    """How much of an item; `reduced_cost` is what one more unit of the limit that holds it would change the objective
    by (0: no limit holds it)."""

    name: str
    unit: str
    amount: float
    cost_usd: float
    reduced_cost: float


class DemandMet(msgspec.Struct, frozen=True, kw_only=True):
    """What a demand gets. `price` is what one more unit asked for would change the objective by."""

    name: str
    amount: float
    at_least: float
    at_most: float
    price: float


class MixAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Quantities and demands in the order of the problem. With whole units the prices are those of the relaxation."""

    status: Status
    objective: float
    bound: float
    cost_usd: float
    quantities: tuple[Quantity, ...] = ()
    demands: tuple[DemandMet, ...] = ()
    budget_price: float = 0.0
    note: str = ""


def solve_mix(problem: MixProblem) -> MixAnswer:
    """Exact: a linear program, or a mixed-integer one where some units are whole."""
    maximise = problem.objective is MixObjective.MAX_QUANTITY
    price = np.array([item.price_usd for item in problem.items])
    objective = np.ones(len(price)) if maximise else price
    lower = np.array([item.lower for item in problem.items])
    upper = np.array([item.upper for item in problem.items])
    rows = _rows(problem, price)
    matrix = rows.matrix(len(price))
    relaxed = solve_lp(objective, matrix, rows.lower, rows.upper, lower, upper, maximise=maximise)
    status, x, bound = relaxed.status, relaxed.x, relaxed.bound
    whole = [item.whole for item in problem.items]
    if any(whole) and status == Status.OPTIMAL:
        exact = solve_mip(
            objective, matrix, rows.lower, rows.upper, lower, upper, integral=whole, maximise=maximise
        )
        status, x, bound = exact.status, exact.x, exact.bound
    if status not in (Status.OPTIMAL, Status.FEASIBLE):
        return MixAnswer(status=status, objective=np.nan, bound=bound, cost_usd=0.0)
    x = _clean(x)
    return MixAnswer(
        status=status,
        objective=float(objective @ x),
        bound=bound,
        cost_usd=float(price @ x),
        quantities=_quantities(problem, x, relaxed.reduced_costs),
        demands=_demands(problem, matrix, x, relaxed.row_duals),
        budget_price=float(relaxed.row_duals[-1]) if np.isfinite(problem.budget_usd) else 0.0,
        note=_note(problem, x, lower, upper),
    )


def _rows(problem: MixProblem, price: Floats) -> Rows:
    rows = Rows()
    for demand in problem.demands:
        columns = [k for k, amount in enumerate(demand.amounts) if amount]
        rows.add(columns, [demand.amounts[k] for k in columns], demand.at_least, demand.at_most)
    if np.isfinite(problem.budget_usd):
        rows.add(range(len(price)), price.tolist(), upper=problem.budget_usd)
    return rows


def _quantities(problem: MixProblem, x: Floats, reduced_costs: Floats) -> tuple[Quantity, ...]:
    return tuple(
        Quantity(
            name=item.name,
            unit=item.unit,
            amount=float(x[k]),
            cost_usd=float(x[k]) * item.price_usd,
            reduced_cost=float(reduced_costs[k]) + 0.0,
        )
        for k, item in enumerate(problem.items)
    )


def _demands(problem: MixProblem, matrix: SparseMatrix, x: Floats, duals: Floats) -> tuple[DemandMet, ...]:
    amounts = _clean(matrix.dot(x))
    return tuple(
        DemandMet(
            name=demand.name,
            amount=float(amounts[i]),
            at_least=demand.at_least,
            at_most=demand.at_most,
            price=float(duals[i]) + 0.0,
        )
        for i, demand in enumerate(problem.demands)
    )


def _clean(amounts: Floats) -> Floats:
    """Without the dust of floating-point sums."""
    return np.where(np.abs(amounts) < DUST, 0.0, amounts)


def _note(problem: MixProblem, x: Floats, lower: Floats, upper: Floats) -> str:
    """A model that asks for nothing, or limits nothing, gets exactly that; its author should know."""
    asks = any(np.isfinite(demand.at_least) for demand in problem.demands)
    if problem.objective is MixObjective.MIN_COST and not asks and np.array_equal(x, lower):
        return (
            "Nothing is demanded, so the least of everything is cheapest: say what it is for under `demands`."
        )
    limited = problem.demands or np.isfinite(problem.budget_usd)
    if problem.objective is MixObjective.MAX_QUANTITY and not limited and np.array_equal(x, upper):
        return "Only `to` limits the quantities, so all of everything is most: state a `budget` or `demands`."
    return ""
