"""The end of the demo: what came of the day, what the switch changed, the page, and what to try next."""

import shutil
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from suanli.cli.demo import day
from suanli.cli.demo.aftermath import Aftermath
from suanli.cli.demo.scene import time_of_day
from suanli.cli.files import typed
from suanli.cli.render import Table, listed, money
from suanli.cli.session import Session
from suanli.cli.tour.ending import command_name
from suanli.domain.record import Status
from suanli.domain.workload import Kind
from suanli.reports.day import Day, Mark, write
from suanli.reports.stretches import FIGURES, PROMPT_S, Stretch, figures_of, stretch_of
from suanli.sim.metrics import Metrics, measure
from suanli.sim.outcome import Outcome
from suanli.traces.own import write_own

TABLE_HEAD = ("", "POLICY", "WAITING", "AT END", "IN 10 MIN", "LONGEST", "DONE/H", "HELD")
LEGEND = (
    f"Waiting on average and at the end; started within {PROMPT_S / 60:.0f} min of coming; longest wait for a start; "
    "done in an hour; accelerators held."
)


class Part(msgspec.Struct, frozen=True):
    """A part of the day under a policy, as it was or `simulated`."""

    policy: str
    simulated: bool
    stretch: Stretch

    @property
    def name(self) -> str:
        return f"{self.policy} simulated" if self.simulated else self.policy


def tell(
    session: Session, home: Path, aftermath: Aftermath, simulated: Sequence[Outcome], began_s: float
) -> None:
    """Print the summary, and leave the page, the work and the fleet in `home`."""
    metrics = measure(aftermath.outcome)
    parts = _parts(aftermath, simulated)
    said = tuple(_facts(aftermath, metrics))
    page = write(home / "demo.html", _page(aftermath, simulated, parts, said))
    write_own(aftermath.script.work, home / "day.csv")
    (home / "fleet.yaml").write_text(day.FLEET, encoding="utf-8")
    wall_s = time.monotonic() - began_s
    session.show(
        _as_data(aftermath, metrics, parts, page, wall_s),
        lambda: "\n".join(_as_text(session, home, aftermath, parts, said, page, wall_s)),
    )


def _parts(aftermath: Aftermath, simulated: Sequence[Outcome]) -> list[Part]:
    outcome, to_s = aftermath.outcome, aftermath.to_s
    noon_s = min(day.SWITCH_S, to_s)
    if to_s <= day.BEGINS_S:
        return []
    parts = [Part(day.MORNING, False, stretch_of(outcome, day.BEGINS_S, noon_s))]
    if to_s > noon_s:
        parts.append(Part(day.AFTERNOON, False, stretch_of(outcome, noon_s, to_s)))
        parts += [Part(_order(other), True, stretch_of(other, noon_s, to_s)) for other in simulated]
    return parts


def _order(outcome: Outcome) -> str:
    """The part of the policy's name that is switched."""
    return outcome.policy.partition("+")[0]


def _facts(aftermath: Aftermath, metrics: Metrics) -> Iterator[str]:
    records = aftermath.outcome.records
    kinds = Counter(record.workload.kind for record in records)
    found = Counter(record.status for record in records)
    live = sum(count for status, count in found.items() if status.is_live)
    yield (
        f"{len(records)} workloads came: {kinds[Kind.TRAIN]} to train, {kinds[Kind.JOB]} other jobs, "
        f"{kinds[Kind.SERVE]} replicas of services"
    )
    yield f"{found[Status.SUCCEEDED]} are done, {live} run, {found[Status.WAITING]} wait"
    yield (
        f"{aftermath.preemptions} preemptions by work of higher priority; "
        f"{metrics.lost_device_h:.1f} device hours were run again, after these and the lost node"
    )
    if aftermath.to_s > day.LOST_S:
        lost = aftermath.lost_with_node
        yield (
            f"node {day.LOST} was lost at {time_of_day(day.LOST_S)}"
            + (f" with {listed(lost)}, requeued at once" if lost else "")
            + (f"; it was back at {time_of_day(day.BACK_S)}" if aftermath.to_s > day.BACK_S else "")
        )
    yield f"what was held cost {money(metrics.cost)}, of {money(metrics.usage.fleet_cost)} for the whole fleet"


def _page(
    aftermath: Aftermath, simulated: Sequence[Outcome], parts: Sequence[Part], said: Sequence[str]
) -> Day:
    marks = (
        Mark(day.LOST_S, f"{day.LOST} lost"),
        Mark(day.BACK_S, "back"),
        Mark(day.SWITCH_S, f"{day.MORNING} → {day.AFTERNOON}"),
    )
    return Day(
        title="A day on 64 simulated accelerators",
        facts=(_how(aftermath), *said),
        head=("", "policy", *FIGURES),
        rows=_rows(parts),
        outcome=aftermath.outcome,
        waiting=aftermath.waiting,
        marks=tuple(mark for mark in marks if mark.at_s < aftermath.to_s),
        simulated=tuple((f"{_order(other)} simulated", other.levels) for other in simulated),
    )


def _how(aftermath: Aftermath) -> str:
    hours = f"{time_of_day(day.BEGINS_S)} to {time_of_day(aftermath.to_s)}"
    script = aftermath.script
    return (
        f"{hours}, {script.speed:g} times as fast as the clock, seed {script.seed}: decided, recorded and served by "
        "the real controller, store and API, on an engine without machines"
    )


def _rows(parts: Sequence[Part]) -> tuple[tuple[str, ...], ...]:
    return tuple((_hours(part.stretch), part.name, *figures_of(part.stretch)) for part in parts)


def _hours(stretch: Stretch) -> str:
    return f"{time_of_day(stretch.from_s)}–{time_of_day(stretch.to_s)}"


def _as_text(
    session: Session,
    home: Path,
    aftermath: Aftermath,
    parts: Sequence[Part],
    said: Sequence[str],
    page: Path,
    wall_s: float,
) -> Iterator[str]:
    yield ("\nCut off at " if aftermath.is_cut else "\nThe day, to ") + time_of_day(aftermath.to_s)
    for sentence in said:
        yield _folded(session, sentence)
    yield ""
    yield Table(TABLE_HEAD, _rows(parts)).plain().rstrip()
    yield _folded(session, LEGEND)
    if any(part.simulated for part in parts):
        since = time_of_day(day.SWITCH_S)
        yield _folded(session, f"Simulated: by the very same step, from what the log says at {since}.")
    yield f"\nWith charts, offline, after {wall_s:.0f} s: {typed(page)}"
    yield "\nTo try next:"
    suanli = command_name()
    where = typed(home)
    policies = f"{day.MORNING},priority,{day.AFTERNOON}"
    yield f"  {suanli} demo --seed {aftermath.script.seed + 1}"
    yield (f"  {suanli} compare --trace csv:{where}/day.csv --fleet {where}/fleet.yaml --policies {policies}")
    yield f"  {suanli} tour    # the same controller on real processes"


def _folded(session: Session, text: str) -> str:
    """Between words, where the line ends; only on a terminal."""
    width = shutil.get_terminal_size().columns if session.is_terminal else sys.maxsize
    return textwrap.fill(text, width, initial_indent="  ", subsequent_indent="    ")


def _as_data(
    aftermath: Aftermath, metrics: Metrics, parts: Sequence[Part], page: Path, wall_s: float
) -> dict[str, Any]:
    found = Counter(record.status.value for record in aftermath.outcome.records)
    return {
        "seed": aftermath.script.seed,
        "speed": aftermath.script.speed,
        "is_whole": not aftermath.is_cut,
        "day_s": aftermath.to_s - day.BEGINS_S,
        "wall_s": wall_s,
        "workloads": {status.value: found[status.value] for status in Status},
        "preemptions": aftermath.preemptions,
        "lost_with_node": aftermath.lost_with_node,
        "lost_device_h": metrics.lost_device_h,
        "cost": metrics.cost,
        "stretches": [
            {"policy": part.policy, "simulated": part.simulated, **msgspec.to_builtins(part.stretch)}
            for part in parts
        ],
        "report": str(page),
    }
