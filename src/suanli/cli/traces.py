"""`trace import` reads a published trace into our CSV; `trace make` makes one."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from suanli.cli.main import SETTINGS
from suanli.cli.session import Session, command
from suanli.domain.errors import UsageError

if TYPE_CHECKING:
    from suanli.traces import Table

JOBS_MAX = 1_000_000

trace = typer.Typer(no_args_is_help=True, help="Read published traces into our CSV, or make one.", **SETTINGS)

Output = Annotated[
    Path, typer.Option("--output", "-o", metavar="FILE", help="Where to write the trace, as our CSV.")
]


@trace.command("import")
@command
def import_(
    session: Session,
    source: Annotated[str, typer.Argument(metavar="FORMAT:PATH", help="`gavel:FILE`, `philly:FILE` ...")],
    *,
    output: Output,
    throughputs: Annotated[
        Path | None,
        typer.Option("--throughputs", metavar="FILE", help="Measured speeds that belong to the trace."),
    ] = None,
) -> None:
    """Read a published trace into our CSV.

    The formats are gavel, openb, philly, shockwave, elasticflow, chronus, csv. All bad rows are told at once.
    """
    from suanli.traces import Context, read

    _write(session, read(source, Context(throughputs=throughputs)), output)


@trace.command("make")
@command
def make(
    session: Session,
    kind: Annotated[str, typer.Argument(metavar="KIND", help="`poisson`, `diurnal` or `bursts`.")],
    *,
    fleet: Annotated[
        str,
        typer.Option(
            "--fleet", metavar="FLEET", help="A YAML file, `openb:PATH`, or `gavel:8xV100,16xP100`."
        ),
    ],
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed makes the same trace.")],
    output: Output,
    jobs: Annotated[int, typer.Option("--jobs", min=1, max=JOBS_MAX, help="How many.")] = 1000,
    load: Annotated[
        float,
        typer.Option("--load", min=0.01, max=100.0, help="Accelerator time asked for, of what there is."),
    ] = 0.8,
) -> None:
    """Make a trace of mixed work for a fleet.

    Arrivals are independent (poisson), by day and night (diurnal), or in bursts of likes (bursts).
    """
    import numpy as np

    from suanli.traces import fleet_of
    from suanli.traces.generate import GENERATORS

    if kind not in GENERATORS:
        raise UsageError(f"There is no kind {kind!r}.", remedy=f"The kinds are {_listed(list(GENERATORS))}.")
    _write(session, GENERATORS[kind](fleet_of(fleet), jobs, load, np.random.default_rng(seed)), output)


def _write(session: Session, table: "Table", output: Path) -> None:
    from suanli.traces.own import write_own

    for note in table.notes:
        session.note(note)
    try:
        write_own(table, output)
    except OSError as error:
        raise UsageError(f"{output} cannot be written: {error.strerror or error}.") from error
    typer.echo(f"{output}: {len(table.rows):,} workloads over {table.rows[-1].at_s / 3600:,.1f} h")


def _listed(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}"
