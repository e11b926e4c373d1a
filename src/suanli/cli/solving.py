"""`solve`: one-shot problems, by every solver or by one."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from suanli.cli.errors import mistake_lines
from suanli.cli.files import Files, Overrides, sources
from suanli.cli.session import Session, command
from suanli.domain.errors import UsageError

if TYPE_CHECKING:
    from suanli.domain.mix import MixProblem
    from suanli.domain.problem import PlacementProblem

NEVER_FITS = 3
NOTHING_FOUND = 1


@command
def solve(
    session: Session,
    *,
    file: Files,
    solver: Annotated[
        str,
        typer.Option(
            "--solver", metavar="NAME", help="greedy, exhaustive, dp, lp, mip, cp, genetic, or all of them."
        ),
    ] = "all",
    draw: Annotated[
        Path | None,
        typer.Option(
            "--draw", metavar="FILE", help="Write the placement as an HTML page that opens offline."
        ),
    ] = None,
    gap: Annotated[
        str, typer.Option("--gap", metavar="SHARE", help="Exact solvers may end at this gap, as in 0.5%.")
    ] = "0%",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the solvers that draw numbers.")] = 0,
    override: Overrides = [],  # noqa: B006 - typer's way to say "none", never changed
) -> None:
    """Solve a one-shot problem: who goes where, or how much to have.

    Of a `kind: problem` it prints each solver's objective, bound, gap and time, and the best placement; of a `kind:
    mix` the quantities and what limits them. Ends with 3 if it is proved that nothing fits.
    """
    from suanli.control.solving import problem_in, solver_named
    from suanli.domain.mix import MixProblem
    from suanli.spec import Source

    solver = solver_named(solver)
    problem, warnings = problem_in([Source(**text) for text in sources(file)], override)
    for warning in warnings:
        session.note("\n".join(["warning: " + line for line in mistake_lines(_plain(warning))][:1]))
    if isinstance(problem, MixProblem):
        if draw is not None:
            raise UsageError("Only placements are drawn; this is a mix of quantities.")
        code = _mix(session, problem)
    else:
        code = _placement(session, problem, solver, _share(gap), seed, draw)
    if code:
        raise typer.Exit(code)


def _placement(
    session: Session, problem: "PlacementProblem", solver: str, gap: float, seed: int, draw: Path | None
) -> int:
    from suanli.cli.solutions import assignment_table, solver_table, told
    from suanli.control.solving import solution_data, solve_placement
    from suanli.solvers.placement.limits import Limits

    solution = solve_placement(problem, solver, Limits(gap_max=gap), seed, time.perf_counter)
    session.show(solution_data(solution), lambda: solver_table(solution))
    if not session.is_machine and solution.best is not None:
        sys.stdout.write("\n")
        assignment_table(solution).print(session)
    if not session.is_machine:
        sys.stdout.write(told(solution))
    if draw is not None and solution.best is not None:
        from suanli.reports.placement_drawing import write

        session.note(f"drawn in {write(draw.absolute(), problem, solution.best)}")
    if solution.best is not None:
        return 0
    return NEVER_FITS if solution.infeasible else NOTHING_FOUND


def _mix(session: Session, problem: "MixProblem") -> int:
    from suanli.cli.solutions import demand_table, mix_told, quantity_table
    from suanli.control.solving import mix_data
    from suanli.solvers.mix import solve_mix
    from suanli.solvers.status import Status

    answer = solve_mix(problem)
    session.show(mix_data(problem, answer), lambda: quantity_table(answer))
    if not session.is_machine:
        if answer.demands:
            sys.stdout.write("\n")
            demand_table(answer).print(session)
        sys.stdout.write(mix_told(answer))
    return NEVER_FITS if answer.status is Status.INFEASIBLE else 0 if answer.quantities else NOTHING_FOUND


def _share(text: str) -> float:
    from suanli.spec.quantities import percent

    try:
        return percent(text)
    except ValueError as error:
        raise UsageError(f"--gap: {error}.") from error


def _plain(warning: Any) -> Any:
    import msgspec

    return msgspec.to_builtins(warning)
