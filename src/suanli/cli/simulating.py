"""`simulate` plays a trace under a policy; `compare` under several, side by side."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from suanli.cli.render import Table
from suanli.cli.session import Session, command, seconds, share
from suanli.domain.errors import UsageError

if TYPE_CHECKING:
    from rich.progress import TaskID

    from suanli.control.trials import Question, Run, Setting
    from suanli.sim.simulation import Simulation

DRAWN_EVERY_STEPS = 50

TraceName = Annotated[
    str, typer.Option("--trace", metavar="FORMAT:PATH", help="`gavel:FILE`, `philly:FILE`, our own CSV ...")
]
FleetName = Annotated[
    str,
    typer.Option("--fleet", metavar="FLEET", help="A YAML file, `openb:PATH`, or `gavel:8xV100,16xP100`."),
]
Throughputs = Annotated[
    Path | None,
    typer.Option("--throughputs", metavar="FILE", help="Measured speeds that belong to the trace."),
]
Seed = Annotated[
    int, typer.Option("--seed", min=0, help="All chance comes from it: the same seed, the same run.")
]
Oracle = Annotated[
    bool, typer.Option("--oracle", help="Tell the policy how much there truly is to do; results say so.")
]
Restart = Annotated[
    float | None,
    typer.Option(
        "--restart", parser=seconds, metavar="TIME", help="What each later attempt costs before it works."
    ),
]
Shuffle = Annotated[
    int | None, typer.Option("--shuffle-nodes", min=0, metavar="SEED", help="Put the nodes in another order.")
]
Ties = Annotated[str, typer.Option("--ties", metavar="first|random", help="Which of equally good nodes.")]
Arrivals = Annotated[
    float | None,
    typer.Option(
        "--arrivals",
        min=0.01,
        max=10.0,
        metavar="RATIO",
        help="Shuffle, and resample until so much of all accelerators is asked for.",
    ),
]
Failing = Annotated[
    float | None,
    typer.Option("--node-fails-after", parser=seconds, metavar="TIME", help="Mean time until a node fails."),
]
Back = Annotated[
    float | None,
    typer.Option("--node-back-after", parser=seconds, metavar="TIME", help="Mean time until it is back."),
]
Migrate = Annotated[
    float | None,
    typer.Option(
        "--migrate", parser=share, metavar="SHARE", help="Move so many, such as 1%, for what fits nowhere."
    ),
]
Report = Annotated[
    Path | None, typer.Option("--report", metavar="FILE", help="Also write an HTML page that opens offline.")
]


@command
def simulate(
    session: Session,
    *,
    trace: TraceName,
    fleet: FleetName,
    policy: Annotated[str, typer.Option("--policy", metavar="NAME", help="See `suanli policies`.")] = "",
    throughputs: Throughputs = None,
    seed: Seed = 0,
    oracle: Oracle = False,
    restart: Restart = None,
    shuffle_nodes: Shuffle = None,
    ties: Ties = "first",
    arrivals: Arrivals = None,
    node_fails_after: Failing = None,
    node_back_after: Back = None,
    migrate: Migrate = None,
    report: Report = None,
) -> None:
    """Play a recorded trace under a policy.

    Decisions are those of the controller, on a virtual clock. Ctrl-C ends it with what is known so far.
    """
    asked = _question(
        trace, fleet, (policy,), throughputs, seed, oracle, restart,
        shuffle_nodes, ties, arrivals, node_fails_after, node_back_after, migrate,
    )  # fmt: skip
    setting, runs = _play(session, asked)
    _tell(session, setting, runs, report, _answers(setting, runs)[0])


@command
def compare(
    session: Session,
    *,
    trace: TraceName,
    fleet: FleetName,
    policies: Annotated[
        str, typer.Option("--policies", metavar="A,B,C", help="Names of policies, with commas between.")
    ],
    throughputs: Throughputs = None,
    seed: Seed = 0,
    oracle: Oracle = False,
    restart: Restart = None,
    shuffle_nodes: Shuffle = None,
    ties: Ties = "first",
    arrivals: Arrivals = None,
    node_fails_after: Failing = None,
    node_back_after: Back = None,
    migrate: Migrate = None,
    report: Report = None,
) -> None:
    """Play a recorded trace under several policies, side by side.

    What is best in each row stands out; `--report` draws completion times, use, queue, and what is worth what.
    """
    names = tuple(filter(None, (name.strip() for name in policies.split(","))))
    asked = _question(
        trace, fleet, names, throughputs, seed, oracle, restart,
        shuffle_nodes, ties, arrivals, node_fails_after, node_back_after, migrate,
    )  # fmt: skip
    setting, runs = _play(session, asked)
    _tell(session, setting, runs, report, {"runs": _answers(setting, runs)})


def _question(
    trace: str,
    fleet: str,
    policies: tuple[str, ...],
    throughputs: Path | None,
    seed: int,
    oracle: bool,
    restart_s: float | None,
    nodes_seed: int | None,
    ties: str,
    arrivals: float | None,
    fails_after_s: float | None,
    back_after_s: float | None,
    migrate: float | None,
) -> "Question":
    from suanli.control.trials import Question
    from suanli.sim.simulation import Conditions

    if ties not in ("first", "random"):
        raise UsageError(f"`--ties` is first or random, not {ties!r}.")
    if not policies:
        raise UsageError("No policy is named.", remedy="Give `--policies fifo,srtf`; see `suanli policies`.")
    return Question(
        trace=trace,
        fleet=fleet,
        policies=policies,
        throughputs=throughputs,
        conditions=Conditions(restart_s=restart_s or 0.0, oracle=oracle, seed=seed),
        arrivals=arrivals,
        nodes_seed=nodes_seed,
        random_ties=ties == "random",
        fails_after_s=fails_after_s,
        back_after_s=back_after_s or 3600.0,
        migrate=migrate,
    )


def _play(session: Session, question: "Question") -> "tuple[Setting, list[Run]]":
    from suanli.control.trials import play, prepare

    setting = prepare(question)
    for note in setting.notes:
        session.note(note)
    runs: list[Run] = []
    with _progress(session, len(setting.trace.arrivals)) as progress:
        for policy in setting.policies:
            runs.append(play(setting, policy, lambda run, name=policy.name: progress(name, run)))
            if runs[-1].is_cut:
                session.note(
                    f"Cut off at {runs[-1].outcome.to_s:,.0f} s of the trace; this is what is known so far."
                )
                break
    return setting, runs


@contextmanager
def _progress(session: Session, arrivals: int) -> Iterator[Callable[[str, "Simulation"], None]]:
    """A bar a policy, on a terminal; elsewhere nothing."""
    if session.quiet or session.is_machine or not sys.stderr.isatty():
        yield lambda name, run: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f} done, {task.fields[waiting]:,} wait"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, TaskID] = {}

        def draw(name: str, run: "Simulation") -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=arrivals, waiting=0)
            if run.steps % DRAWN_EVERY_STEPS == 0:
                state = run.state
                done = run.arrived - len(state.waiting) - len(state.live)
                bars.update(tasks[name], completed=done, waiting=len(state.waiting))

        yield draw
        for task in tasks.values():
            bars.update(task, completed=arrivals)


def _answers(setting: "Setting", runs: "Sequence[Run]") -> list[dict[str, object]]:
    from suanli.control.trials import answer

    return [answer(setting, run) for run in runs]


def _tell(
    session: Session, setting: "Setting", runs: "Sequence[Run]", report: Path | None, told: dict[str, object]
) -> None:
    from suanli.reports.simulation import write
    from suanli.reports.simulation_table import result_table

    results = result_table([run.metrics for run in runs])
    session.show(told, lambda: Table(results.head, results.rows, title=setting.trace.name))
    if report is not None:
        title = f"{setting.trace.name} on {setting.fleet.name}"
        session.note(
            f"With charts, offline: {write(report.absolute(), title, [run.outcome for run in runs])}"
        )
