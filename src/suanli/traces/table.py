"""A trace as a table: one row a workload, with the columns of our own CSV; and what a simulation makes of it.

Every format is read into this table, so that what a format lacks, and what `any accelerator` means on a fleet, is
decided once.
"""

import functools
from collections.abc import Iterable

import msgspec

from suanli.domain.fleet import Fleet
from suanli.domain.resources import AcceleratorDemand, Demand
from suanli.domain.workload import Kind, Workload
from suanli.sim.trace import Arrival, Trace

ANY = "*"
"""Any accelerator that the fleet has."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One workload. Instants are seconds from the beginning of the trace; demands are those of one node.

    `work` is what there truly is to do, in seconds, or where `speeds` (units a second of the whole gang, by
    accelerator) are given, in those units; inf: it stays for good. `duration_s` is what its owner says it will take,
    and `program` names what runs: both may be known to a policy, `work` may not.
    """

    name: str
    at_s: float
    work: float
    kind: Kind = Kind.TRAIN
    program: str = ""
    team: str = "default"
    priority: int = 50
    preemptible: bool = True
    nodes: int = 1
    elastic_nodes: tuple[int, int] | None = None
    accelerators: tuple[str, ...] = ()
    indifferent: bool = False
    accelerators_per_node: float = 0.0
    cpus: float = 0.0
    memory_bytes: int = 0
    speeds: dict[str, float] = msgspec.field(default_factory=dict[str, float])
    duration_s: float | None = None
    deadline_s: float | None = None
    checkpoint_every_s: float | None = None


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """What was read or made: rows by arrival, ties as they came, and what was left out or understood, in sentences."""

    name: str
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()


def table_of(name: str, rows: Iterable[Row], *, shift: bool = False, notes: Iterable[str] = ()) -> Table:
    """Rows in order of arrival; `shift` puts the first at zero, deadlines with it. O(rows · log rows)."""
    ordered = sorted(rows, key=lambda row: row.at_s)
    start_s = ordered[0].at_s if shift and ordered else 0.0
    if start_s:
        ordered = [_earlier(row, start_s) for row in ordered]
    return Table(name=name, rows=tuple(ordered), notes=tuple(notes))


def _earlier(row: Row, by_s: float) -> Row:
    deadline_s = None if row.deadline_s is None else row.deadline_s - by_s
    return msgspec.structs.replace(row, at_s=row.at_s - by_s, deadline_s=deadline_s)


def trace_of(table: Table, fleet: Fleet) -> Trace:
    """The table as workloads that arrive at that fleet; `*` becomes the accelerators that it has. O(rows)."""
    there = models_of(fleet)

    @functools.cache
    def demand(
        cpus: float, memory_bytes: int, models: tuple[str, ...], count: float, indifferent: bool
    ) -> Demand:
        chosen = there if models == (ANY,) else models
        accelerators = tuple(AcceleratorDemand(model, count) for model in chosen)
        return Demand(
            cpus=cpus, memory_bytes=memory_bytes, accelerators=accelerators, indifferent=indifferent
        )

    return Trace(
        name=table.name,
        arrivals=tuple(
            Arrival(
                at_s=row.at_s,
                work=row.work,
                workload=_workload(
                    row,
                    demand(
                        row.cpus,
                        row.memory_bytes,
                        row.accelerators,
                        row.accelerators_per_node,
                        row.indifferent,
                    ),
                ),
            )
            for row in table.rows
        ),
    )


def models_of(fleet: Fleet) -> tuple[str, ...]:
    """The accelerator models that a fleet has, as they first come."""
    return tuple(dict.fromkeys(model for node in fleet.nodes for model in node.accelerators))


def _workload(row: Row, demand: Demand) -> Workload:
    return Workload(
        name=row.name,
        kind=row.kind,
        run=(row.program,) if row.program else (),
        demand=demand,
        nodes=row.nodes,
        elastic_nodes=row.elastic_nodes,
        workers_per_node=max(1, int(row.accelerators_per_node)),
        team=row.team,
        priority=row.priority,
        preemptible=row.preemptible,
        speeds=row.speeds,
        duration_s=row.duration_s,
        deadline_s=row.deadline_s,
        checkpoint_every_s=row.checkpoint_every_s,
    )
