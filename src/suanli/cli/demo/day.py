"""The day that is played: the fleet, the work that comes by seed, and what happens at which hour."""

import json
import math
from collections.abc import Iterable, Iterator

import msgspec
import numpy as np

from suanli.control.declare import declare
from suanli.domain.fleet import Fleet
from suanli.sim.simulation import Conditions
from suanli.spec import Source
from suanli.traces import Row, Table
from suanli.traces.generate import poisson
from suanli.traces.mix import Mix
from suanli.traces.table import table_of

HOUR_S = 3600.0
BEGINS_S, ENDS_S = 9 * HOUR_S, 16.5 * HOUR_S
"""45 seconds at 600 times the speed: with what goes before and after, less than a minute."""

NIGHT_S = 2 * HOUR_S
"""What comes in the last hours of the night waits at the door, so that the day begins with a queue."""

LOST_S, BACK_S = 10.5 * HOUR_S, 11.5 * HOUR_S
SWITCH_S = 13 * HOUR_S
MORNING, AFTERNOON = "fifo", "srtf"
LOST = "h100-1"
PRIORITY = 50
"""What the work has that is not urgent."""

CONDITIONS = Conditions(start_s=20.0, restart_s=60.0, stop_s=10.0)
"""How long work takes to come up, to come up again with what it had saved, and to save and end."""

FLEET = """\
kind: fleet
name: demo
nodes:
  - {name: h100, count: 2, cpus: 128, memory: 2TiB, accelerators: H100:8}
  - {name: a100, count: 2, cpus: 96, memory: 1TiB, accelerators: A100-80GB:8}
  - {name: l4, count: 4, cpus: 48, memory: 192GiB, accelerators: L4:4}
  - {name: t4, count: 4, cpus: 48, memory: 192GiB, accelerators: T4:4}
"""

SERVICES = """\
kind: serve
name: chat
run: [serve, chat]
replicas: 2
priority: 70
preemptible: false
resources: {cpus: 8, memory: 32GiB, accelerators: L4:1}
---
kind: serve
name: search
run: [serve, search]
replicas: 2
priority: 70
preemptible: false
resources: {cpus: 8, memory: 32GiB, accelerators: T4:1}
"""

SERVED = ("chat/0", "chat/1", "search/0", "search/1")

MIX = Mix(
    median_s=900.0,
    sigma=1.2,
    longest_s=4 * HOUR_S,
    sizes=((1, 0.6), (2, 0.17), (4, 0.13), (8, 0.09), (16, 0.01)),
    with_estimate=0.9,
    with_deadline=0.1,
)
"""More gangs and fewer jobs of days than in Philly's trace, or one day would show little of either."""

LOAD = 1.6
"""What is asked for, of what there is: more and more has to wait."""

JOBS_MAX = 1_000


class Arrive(msgspec.Struct, frozen=True):
    at_s: float
    row: Row


class LoseNode(msgspec.Struct, frozen=True):
    at_s: float
    node: str


class ReturnNode(msgspec.Struct, frozen=True):
    at_s: float
    node: str


class Choose(msgspec.Struct, frozen=True):
    at_s: float
    policy: str


Moment = Arrive | LoseNode | ReturnNode | Choose


class Script(msgspec.Struct, frozen=True):
    """All that the day is made of. Instants are seconds of the day."""

    seed: int
    speed: float
    fleet: Fleet
    work: Table
    moments: tuple[Moment, ...]

    @property
    def urgent(self) -> frozenset[str]:
        return frozenset(row.name for row in self.work.rows if row.priority > PRIORITY)

    @property
    def work_s(self) -> dict[str, float]:
        """What each workload truly has to do, in seconds by key; services go on for good."""
        return {row.name: row.work for row in self.work.rows} | dict.fromkeys(SERVED, math.inf)


def script(seed: int, speed: float) -> Script:
    """The same seed makes the same day."""
    fleet = declare([Source("demo", FLEET)], now_s=0.0).asked.fleet
    assert fleet is not None
    work = _work(seed, fleet)
    return Script(seed, speed, fleet, work, tuple(_moments(work)))


def _work(seed: int, fleet: Fleet) -> Table:
    """Everything takes as long wherever it runs."""
    drawn = poisson(fleet, JOBS_MAX, LOAD, np.random.default_rng(seed), MIX)
    came = (row for row in drawn.rows if row.at_s < NIGHT_S + ENDS_S - BEGINS_S)
    return table_of("day", (_of_this_day(row) for row in came))


def _of_this_day(row: Row) -> Row:
    at_s = BEGINS_S + max(0.0, row.at_s - NIGHT_S)
    deadline_s = None if row.deadline_s is None else at_s + row.deadline_s - row.at_s
    return msgspec.structs.replace(row, at_s=at_s, deadline_s=deadline_s, speeds={})


def _moments(work: Table) -> list[Moment]:
    arrivals = [Arrive(row.at_s, row) for row in work.rows]
    others = [LoseNode(LOST_S, LOST), ReturnNode(BACK_S, LOST), Choose(SWITCH_S, AFTERNOON)]
    return sorted([*arrivals, *others], key=lambda moment: moment.at_s)


def declaration(rows: Iterable[Row]) -> str:
    """What the owners of these rows would hand in, as one text."""
    return "\n---\n".join(json.dumps(dict(_fields(row))) for row in rows)


def _fields(row: Row) -> Iterator[tuple[str, object]]:
    yield from (("kind", row.kind.value), ("name", row.name), ("run", [row.program]))
    yield from (("team", row.team), ("priority", row.priority), ("nodes", row.nodes))
    resources: dict[str, object] = {"cpus": f"{row.cpus:g}", "memory": f"{row.memory_bytes}B"}
    if row.accelerators:
        per_node = f"{row.accelerators_per_node:g}"
        resources["accelerators"] = [f"{model}:{per_node}" for model in row.accelerators]
    yield "resources", resources
    if row.duration_s is not None:
        yield "duration", f"{row.duration_s:.0f}s"
    if row.deadline_s is not None:
        yield "deadline", f"{row.deadline_s - row.at_s:.0f}s"
    if row.checkpoint_every_s is not None:
        yield "checkpoint", {"every": f"{row.checkpoint_every_s:.0f}s"}
