"""`Entitlement`: the parts of the fleet that teams hold, and those that a workload would take."""

from collections.abc import Iterable, Sequence

import numpy as np

from suanli.domain.fleet import Fleet
from suanli.domain.record import Record
from suanli.domain.workload import Workload
from suanli.kernel.line import Line
from suanli.policies.parts import Teams
from suanli.policies.table import Floats, Indices, NodeTable

GRAINS = 2.0**40
"""Parts are counted in whole grains, so that what a team holds is the same in whatever order it came and went."""


class Entitlement:
    """Parts are of the fleet's cores, memory and accelerators.

    An accelerator counts by its worth to the workload: what it gets done there, as a part of what it would get done on
    all accelerators that it asks for, by its `speeds`; without any by the counts that it gives as alternatives. `hold`
    is O(placements).
    """

    def __init__(self, fleet: Fleet, table: NodeTable, live: Iterable[Record]) -> None:
        self._weights = {team.name: team.weight for team in fleet.teams}
        self._cpus, self._memory_bytes = table.capacity[:, :2].sum(axis=0).tolist()
        self._devices = dict(zip(table.models, table.devices.sum(axis=0).tolist(), strict=True))
        self._held: dict[str, list[int]] = {}
        self._takes: list[tuple[float, float, float]] = []
        for record in live:
            self.hold(record, 1)

    def hold(self, record: Record, sign: int) -> None:
        """Count what its attempt holds, or with -1 no more."""
        assert record.attempt is not None
        held = self._held.setdefault(record.workload.team, [0, 0, 0])
        worth = self._worth(record.workload)
        for placement in record.attempt.placements:
            share = placement.share
            parts = (
                _part(share.cpus, self._cpus),
                _part(share.memory_bytes, self._memory_bytes),
                share.accelerator_count * worth.get(share.accelerator, 0.0),
            )
            for i, part in enumerate(parts):
                held[i] += sign * round(part * GRAINS)

    def teams(self, line: Line, rows: Indices) -> Teams:
        """Of those rows of the line. O(rows + teams), and what is new among the claims."""
        team, names = line.teams(rows)
        claim, claimants = line.claims(rows)
        self._takes += [self._claim(workload) for workload in claimants[len(self._takes) :]]
        nothing = [0, 0, 0]
        held = np.array([self._held.get(name, nothing) for name in names], dtype=np.float64)
        return Teams(
            team=team,
            takes=_columns(self._takes)[claim],
            held=_columns(held) / GRAINS,
            weight=np.array([self._weights.get(name, 1.0) for name in names], dtype=np.float64),
        )

    def _claim(self, workload: Workload) -> tuple[float, float, float]:
        """Of the alternatives it is the first that the fleet has."""
        demand, nodes = workload.demand, workload.nodes
        worth = self._worth(workload)
        asked = next((ask for ask in demand.accelerators if worth.get(ask.model)), None)
        return (
            _part(nodes * demand.cpus, self._cpus),
            _part(nodes * demand.memory_bytes, self._memory_bytes),
            nodes * asked.count * worth[asked.model] if asked else 0.0,
        )

    def _worth(self, workload: Workload) -> dict[str, float]:
        """Of one device, by model."""
        each = {ask.model: workload.speed_on(ask.model) / ask.count for ask in workload.demand.accelerators}
        whole = sum(self._devices.get(model, 0.0) * speed for model, speed in each.items())
        return {
            model: _part(speed, whole) if model in self._devices else 0.0 for model, speed in each.items()
        }


def _part(amount: float, whole: float) -> float:
    return amount / whole if whole > 0 else 0.0


def _columns(parts: Sequence[tuple[float, float, float]] | Floats) -> Floats:
    return np.asarray(parts, dtype=np.float64).reshape(len(parts), 3)
