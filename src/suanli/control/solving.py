"""`solve`: one declared problem, given to one solver or to all of them; nothing else is touched."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from suanli.control.declare import declare_problems
from suanli.domain.errors import UsageError
from suanli.domain.mix import MixProblem
from suanli.domain.problem import PlacementProblem
from suanli.solvers.mix import MixAnswer
from suanli.solvers.placement.answer import Answer
from suanli.solvers.placement.limits import Limits, NotSuited
from suanli.solvers.placement.registry import SOLVERS, load_libraries
from suanli.solvers.status import Status
from suanli.spec import Problem, Source

ALL = "all"


class Solved(msgspec.Struct, frozen=True, kw_only=True):
    """An answer, and the time of the clock that it took."""

    answer: Answer
    time_s: float


class Solution(msgspec.Struct, frozen=True, kw_only=True):
    """All answers to a placement problem. `refused` says of solvers why they don't take it.

    `bound` is the tightest that any of them proved, `best` the answer nearest to it (None: nothing found);
    `infeasible` says that one of them proved that there is no answer.
    """

    problem: PlacementProblem
    solved: tuple[Solved, ...]
    refused: tuple[tuple[str, str], ...]
    bound: float
    best: Answer | None
    infeasible: bool

    def gap(self, answer: Answer) -> float:
        """How far the answer is from the tightest bound, as a share of its own objective."""
        if math.isnan(answer.objective):
            return math.inf
        difference = abs(answer.objective - self.bound)
        return 0.0 if difference <= 1e-7 * abs(answer.objective) else difference / abs(answer.objective)


def problem_in(
    sources: Sequence[Source], overrides: Sequence[str]
) -> tuple[PlacementProblem | MixProblem, tuple[Problem, ...]]:
    """The one problem that the sources declare, and warnings. Raises SpecErrors, and UsageError for more or for
    none."""
    problems, warnings = declare_problems(sources, overrides)
    if len(problems) != 1:
        found = ", ".join(problem.name for problem in problems) or "none"
        raise UsageError(
            f"One problem is solved at a time; found: {found}.",
            remedy="Give a document of `kind: problem` or `kind: mix`; see `suanli schema`.",
        )
    return problems[0], warnings


def solve_placement(
    problem: PlacementProblem, solver: str, limits: Limits, seed: int, clock: Callable[[], float]
) -> Solution:
    """Ask one solver, or each in turn. Raises NotSuited where the only one does not take the problem."""
    load_libraries()
    SOLVERS["greedy"](problem, limits, seed)  # what is compiled at first use counts for none of them
    solved: list[Solved] = []
    refused: list[tuple[str, str]] = []
    for name in SOLVERS if solver == ALL else [solver]:
        began_s = clock()
        try:
            answer = SOLVERS[name](problem, limits, seed)
        except NotSuited as error:
            if solver != ALL:
                raise
            refused.append((name, error.sentence))
            continue
        solved.append(Solved(answer=answer, time_s=clock() - began_s))
    answers = [one.answer for one in solved]
    found = [answer for answer in answers if not math.isnan(answer.objective)]
    maximises = problem.objective.maximises
    better = max if maximises else min
    tightest = min if maximises else max
    return Solution(
        problem=problem,
        solved=tuple(solved),
        refused=tuple(refused),
        bound=tightest(answer.bound for answer in answers),
        best=better(found, key=lambda answer: round(answer.objective, 9), default=None),
        infeasible=any(answer.status is Status.INFEASIBLE for answer in answers),
    )


def solver_named(name: str) -> str:
    """The name, if it is one. Raises UsageError."""
    if name != ALL and name not in SOLVERS:
        raise UsageError(f"No solver is called {name!r}.", remedy=f"There are {', '.join(SOLVERS)}, and all.")
    return name


def solution_data(solution: Solution) -> dict[str, Any]:
    """What `-o json` prints; a number that does not exist is null."""
    answers = [
        {**_plain(one.answer), "gap_to_tightest": solution.gap(one.answer), "time_s": round(one.time_s, 4)}
        for one in solution.solved
    ]
    data: dict[str, Any] = {
        "problem": solution.problem.name,
        "objective": _plain(solution.problem.objective),
        "infeasible": solution.infeasible,
        "best": solution.best.solver if solution.best else None,
        "bound": solution.bound,
        "answers": answers,
        "refused": [{"solver": name, "because": why} for name, why in solution.refused],
    }
    return _finite(data)


def mix_data(problem: MixProblem, answer: MixAnswer) -> dict[str, Any]:
    return _finite({"problem": problem.name, "objective_of": problem.objective.value, **_plain(answer)})


def _plain(value: Any) -> dict[str, Any]:
    return msgspec.to_builtins(value)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
