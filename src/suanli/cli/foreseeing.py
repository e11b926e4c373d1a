"""`foresee`: how many replicas of a service keep its promise at a rate, and how it follows a rise."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from suanli.cli.client import path_of
from suanli.cli.files import Overrides, sources
from suanli.cli.progress_line import ProgressLine
from suanli.cli.render import Table
from suanli.cli.session import Session, command, seconds
from suanli.domain.errors import UsageError

if TYPE_CHECKING:
    from suanli.control.foreseeing import Given, Question, Rise, Row

NOT_KEPT = 3
SAMPLES_BYTES_MAX = 16 * 2**20

ServiceName = Annotated[str, typer.Argument(metavar="[NAME]", help="A service that runs; or give a file.")]
OneFile = Annotated[
    list[str], typer.Option("--file", "-f", metavar="FILE", help="The service's file, or `-` for stdin.")
]
Rate = Annotated[
    float | None,
    typer.Option("--rate", metavar="NUMBER", help="Requests a second. Default: what has come lately."),
]
Takes = Annotated[
    str,
    typer.Option(
        "--takes",
        metavar="TIME|FILE",
        help="What a request takes on a replica, or a file with a time a line. Default: as measured.",
    ),
]
Limit = Annotated[
    float | None,
    typer.Option(
        "--limit", parser=seconds, metavar="TIME", help="95 % shall be answered within. Default: `slo.p95`."
    ),
]
Replicas = Annotated[
    str, typer.Option("--replicas", metavar="A..B", help="Default: from too few to two more than enough.")
]
AtOnce = Annotated[
    int | None,
    typer.Option(
        "--at-once", min=1, metavar="N", help="What a replica works on. Default: `gateway.concurrency`, or 1."
    ),
]
RiseFrom = Annotated[
    float | None,
    typer.Option("--rise-from", metavar="NUMBER", help="Also play how it scales itself from that rate."),
]
Startup = Annotated[
    float | None,
    typer.Option(
        "--startup", parser=seconds, metavar="TIME", help="Of a new replica. Default: as measured, or 10s."
    ),
]


@command
def foresee(
    session: Session,
    name: ServiceName = "",
    *,
    file: OneFile = [],  # noqa: B006 - typer's way to say "none", never changed
    override: Overrides = [],  # noqa: B006
    rate: Rate = None,
    takes: Takes = "",
    limit: Limit = None,
    replicas: Replicas = "",
    at_once: AtOnce = None,
    rise_from: RiseFrom = None,
    startup: Startup = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of arrivals and times.")] = 0,
) -> None:
    """Say how many replicas keep a service's promise at a rate.

    Requests are played one by one: random arrivals, the gateway's queue, its way to balance. Ends with 3 if none of the
    numbers of replicas keeps it.
    """
    from suanli.control import foreseeing

    given = foreseeing.Given(
        per_s=rate, times_s=_times_s(takes), limit_s=limit, at_once=at_once, startup_s=startup, seed=seed
    )
    question = _question(session, name, file, override, given)
    counts = _counts(replicas)
    rows = _play(session, question, counts)
    rise = None
    if rise_from is not None:
        rise = foreseeing.rise_from(question, rise_from, time.time())
    told = foreseeing.told(question, rows, rise)
    session.show(told, lambda: _table(rows))
    session.note(_summary(question, rows, rise))
    if told["fewest"] is None:
        raise typer.Exit(NOT_KEPT)


def _question(
    session: Session, name: str, file: Sequence[str], overrides: Sequence[str], given: "Given"
) -> "Question":
    """Of a file, or of a service that runs."""
    import msgspec

    from suanli.control import foreseeing
    from suanli.spec import Source

    if bool(name) == bool(file):
        raise UsageError("Name one service that runs, or give one file.", remedy="suanli foresee -f FILE ...")
    if file:
        declared = foreseeing.service_in([Source(**text) for text in sources(file)], overrides, time.time())
        return foreseeing.question_of_file(declared, given)
    if overrides:
        raise UsageError("`--set` changes what a file says, and there is none.")
    body = session.connect().get(f"{path_of('services', name)}/lived")
    return foreseeing.question_of_lived(name, msgspec.convert(body, foreseeing.Lived), given)


def _times_s(takes: str) -> tuple[float, ...]:
    """One time, or those of a file. Raises UsageError."""
    from suanli.spec.quantities import duration

    if not takes:
        return ()
    path = Path(takes)
    if not path.is_file():
        return (_time_s(takes, "`--takes`", duration),)
    if path.stat().st_size > SAMPLES_BYTES_MAX:
        raise UsageError(f"{path} is larger than {SAMPLES_BYTES_MAX // 2**20} MiB.")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}.") from error
    times = tuple(
        _time_s(line, f"{path}:{number}", duration)
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.startswith("#")
    )
    if not times:
        raise UsageError(f"{path} has no times in it.", remedy="Write one a line, such as 0.05 or 50ms.")
    return times


def _time_s(text: str, where: str, parse: Any) -> float:
    try:
        time_s = parse(text.strip())
    except ValueError as error:
        raise UsageError(f"{where}: {error}.", remedy="For example 50ms.") from error
    if time_s <= 0:
        raise UsageError(f"{where}: a request takes some time; got {text.strip()}.")
    return float(time_s)


def _counts(replicas: str) -> range | None:
    """`4`, `1..6`; None where nothing is said."""
    from suanli.spec.quantities import count_range

    if not replicas:
        return None
    try:
        fewest, most = count_range(replicas)
    except ValueError as error:
        raise UsageError(f"`--replicas`: {error}.") from error
    if fewest < 1 or most is None or most - fewest >= 100 or most > 10_000:
        raise UsageError("`--replicas` is at most 100 numbers from 1 on.", remedy="For example 1..6.")
    return range(fewest, most + 1)


def _play(session: Session, question: "Question", counts: range | None) -> "list[Row]":
    from suanli.control.foreseeing import foresee as play

    line = ProgressLine(session)

    def told(replicas: int) -> None:
        if line.is_due:
            line.say(f"playing {replicas} replicas ...")

    try:
        return play(question, counts, told)
    finally:
        line.end()


def _table(rows: "Sequence[Row]") -> Table:
    columns = ["REPLICAS", "BUSY", "WITHIN", "P50", "P95", "P99", "REFUSED", "SLO"]
    return Table(
        columns,
        [
            [
                str(row.replicas),
                f"{row.busy:.0%}",
                f"{row.figures.attainment:.1%}",
                _latency(row.figures.p50_s),
                _latency(row.figures.p95_s),
                _latency(row.figures.p99_s),
                f"{row.figures.refused / max(1, row.figures.requests):.1%}" if row.figures.refused else "",
                "kept" if row.keeps_slo else "broken",
            ]
            for row in rows
        ],
    )


def _latency(time_s: float | None) -> str:
    if time_s is None:
        return "-"
    return f"{time_s * 1000:.0f}ms" if time_s < 1 else f"{time_s:.1f}s"


def _summary(question: "Question", rows: "Sequence[Row]", rise: "Rise | None") -> str:
    from suanli.control.foreseeing import fewest_of

    fewest = fewest_of(rows)
    promise = f"95 % within {_latency(question.limit_s)} at {question.per_s:g} requests/s"
    asked = f"{promise}, {_latency(question.times.mean_s)} each on average, {question.at_once} at a time"
    found = f"{fewest} replicas keep it" if fewest else "none of these numbers of replicas keeps it"
    lines = [f"{asked}: {found}."]
    if rise is not None:
        most = max(ready for _, _, ready in rise.counts)
        lines.append(
            f"From {rise.from_per_s:g} to {rise.to_per_s:g} requests/s it breaks the promise for "
            f"{rise.figures.violation_s} s; {rise.figures.attainment:.1%} are in time, with up to {most} replicas and "
            f"{rise.figures.replica_hours:.2f} replica-hours in ten minutes."
        )
    return "\n".join(lines)
