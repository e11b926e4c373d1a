"""Answers of `solve` in tables and words."""

import math
from collections.abc import Iterator

from suanli.cli.render import Table, clean, listed, money
from suanli.control.solving import Solution
from suanli.domain.problem import PlacementProblem
from suanli.reports.quantities import duration
from suanli.solvers.mix import MixAnswer
from suanli.solvers.placement.answer import Answer
from suanli.solvers.placement.arrays import never_fitting
from suanli.solvers.status import Status

PRICES_TOLD_MAX = 12
FRONT_TOLD_MAX = 12
NODES_TOLD_MAX = 6


def solver_table(solution: Solution) -> Table:
    rows = [
        [
            one.answer.solver,
            one.answer.status.value,
            shown(solution.problem, one.answer.objective),
            shown(solution.problem, one.answer.bound),
            _gap(solution.gap(one.answer)),
            _seconds(one.time_s),
            one.answer.note,
        ]
        for one in solution.solved
    ]
    rows += [[name, "not suited", "", "", "", "", why] for name, why in solution.refused]
    columns = ["SOLVER", "STATUS", _objective(solution.problem), "BOUND", "GAP", "TIME", "NOTE"]
    return Table(columns, rows)


def assignment_table(solution: Solution) -> Table:
    """Who goes where in the best answer, by when it begins."""
    assert solution.best is not None
    rows = [
        [
            a.gang,
            a.node_class,
            listed(a.nodes, NODES_TOLD_MAX),
            duration(a.start_s),
            duration(a.end_s),
            money(a.cost_usd),
        ]
        for a in sorted(solution.best.assignments, key=lambda a: a.start_s)
    ]
    return Table(["WORKLOAD", "ON", "NODES", "FROM", "TO", "COST"], rows, empty="Nothing runs.")


def told(solution: Solution) -> str:
    """What stands below the tables."""
    return "".join(f"{clean(line)}\n" for line in _lines(solution))


def _lines(solution: Solution) -> Iterator[str]:
    if solution.best is None:
        if solution.infeasible:
            yield "Proved: not everything can run on these nodes."
            stuck = never_fitting(solution.problem)
            if stuck:
                yield f"On none of them, even alone: {listed(stuck, 10)}"
        else:
            yield "No answer was found, and none was proved to be impossible."
        return
    yield from _best_lines(solution, solution.best)
    for one in solution.solved:
        if one.answer.prices:
            yield "One more unit of what is scarce would better the objective by (lp):"
            for price in one.answer.prices[:PRICES_TOLD_MAX]:
                yield f"  {price.node_class} {price.resource.replace('_', ' ')}  {price.price:.4g}"
        if len(one.answer.front) > 1:
            yield f"Nothing known is better in everything than any of these ({one.answer.solver}):"
            for point in one.answer.front[:FRONT_TOLD_MAX]:
                value = f"  value {point.value:.4g}" if solution.problem.objective.may_leave_out else ""
                yield f"  {money(point.cost_usd)}  done after {duration(point.completion_s)}{value}"
            if len(one.answer.front) > FRONT_TOLD_MAX:
                yield f"  and {len(one.answer.front) - FRONT_TOLD_MAX} more (`-o json` shows all)"


def _best_lines(solution: Solution, best: Answer) -> Iterator[str]:
    gap = solution.gap(best)
    proof = "proved to be optimal" if gap == 0 else f"at most {_gap(gap)} from the optimum"
    yield f"best, by {best.solver}: {money(best.cost_usd)}, done after {duration(best.completion_s)}, {proof}"
    if best.left_out:
        yield f"left out: {listed(best.left_out, 10)}"


def shown(problem: PlacementProblem, amount: float) -> str:
    """An objective, or a bound on it, in its unit."""
    objective = problem.objective
    if not math.isfinite(amount):
        return ""
    if objective.maximises:
        return f"{amount / objective.value_weight:.6g}"
    if objective.time_weight == objective.value_weight == 0:
        return f"${amount / objective.cost_weight:,.2f}"
    if objective.cost_weight == objective.value_weight == 0:
        return duration(amount / objective.time_weight)
    return f"{amount:.6g}"


def _objective(problem: PlacementProblem) -> str:
    objective = problem.objective
    if objective.maximises:
        return "VALUE"
    if objective.time_weight == objective.value_weight == 0:
        return "COST"
    return "DONE AFTER" if objective.cost_weight == objective.value_weight == 0 else "SCORE"


def _gap(share: float) -> str:
    if not math.isfinite(share):
        return ""
    return "0" if share == 0 else f"{100 * share:.2g}%"


def _seconds(time_s: float) -> str:
    return f"{1000 * time_s:.0f}ms" if time_s < 1 else f"{time_s:.1f}s"


def quantity_table(answer: MixAnswer) -> Table:
    rows = [
        [
            q.name,
            f"{q.amount:.6g}",
            q.unit,
            money(q.cost_usd),
            f"{q.reduced_cost:.4g}" if q.reduced_cost else "",
        ]
        for q in answer.quantities
    ]
    columns = ["ITEM", "AMOUNT", "UNIT", "COST", "IF ITS LIMIT MOVED BY ONE"]
    return Table(columns, rows, empty=_no_mix(answer))


def demand_table(answer: MixAnswer) -> Table:
    rows = [
        [
            d.name,
            f"{d.amount:.6g}",
            f"{d.at_least:.6g}" if math.isfinite(d.at_least) else "",
            f"{d.at_most:.6g}" if math.isfinite(d.at_most) else "",
            f"{d.price:.4g}" if d.price else "",
        ]
        for d in answer.demands
    ]
    return Table(["DEMAND", "AMOUNT", "AT LEAST", "AT MOST", "IF IT MOVED BY ONE"], rows)


def mix_told(answer: MixAnswer) -> str:
    if not answer.quantities:
        return ""
    lines = [f"objective {answer.objective:.6g}, cost {money(answer.cost_usd)}, {answer.status.value}"]
    if answer.budget_price:
        lines.append(f"one more dollar of the budget would add {answer.budget_price:.4g}")
    if answer.note:
        lines.append(answer.note)
    return "".join(f"{line}\n" for line in lines)


def _no_mix(answer: MixAnswer) -> str:
    if answer.status is Status.INFEASIBLE:
        return "Proved: no quantities meet all demands within their limits."
    if answer.status is Status.UNBOUNDED:
        return "There is no limit to it: state `to` of the items, a `budget`, or `at_most` of a demand."
    return "No answer was found."
