"""Writes down what happens in a simulation, as it happens."""

import hashlib
import math
from collections.abc import Iterable, Sequence

import msgspec

from suanli.domain.decision import Action
from suanli.domain.record import Attempt, Record
from suanli.sim.outcome import Level, Stay


class Chronicle:
    """O(placements) for each beginning and end of an attempt, O(1) for each instant."""

    def __init__(self) -> None:
        self.stays: list[Stay] = []
        self.levels: list[Level] = []
        self._devices = 0.0
        self._cpus = 0.0
        self._digest = hashlib.sha256()
        self._encoder = msgspec.json.Encoder()

    @property
    def decisions_hash(self) -> str:
        return self._digest.hexdigest()

    def decided(self, at_s: float, actions: Sequence[Action]) -> None:
        if actions:
            self._digest.update(self._encoder.encode((at_s, actions)))

    def placed(self, attempt: Attempt) -> None:
        self._hold(attempt, 1.0)

    def ended(self, record: Record, attempt: Attempt, at_s: float, cause: str) -> None:
        self._hold(attempt, -1.0)
        self.stays.append(stay_of(record, attempt, at_s, cause))

    def level(self, at_s: float, waiting: int, live: int) -> None:
        """How things stand after all that happened at that instant."""
        level = Level(at_s, waiting, live, round(self._devices, 9), round(self._cpus, 9))
        if self.levels and self.levels[-1].at_s == at_s:
            self.levels.pop()
        self.levels.append(level)

    def _hold(self, attempt: Attempt, sign: float) -> None:
        for placement in attempt.placements:
            self._devices += sign * placement.share.accelerator_count
            self._cpus += sign * placement.share.cpus


def stay_of(record: Record, attempt: Attempt, at_s: float, cause: str) -> Stay:
    started_s = math.inf if attempt.started_s is None else attempt.started_s
    return Stay(record.key, attempt.number, attempt.placed_s, started_s, at_s, attempt.placements, cause)


def stays_so_far(stays: Iterable[Stay], live: Iterable[Record], at_s: float) -> tuple[Stay, ...]:
    """Those that have ended, and those that still last."""
    last = [stay_of(record, record.attempt, at_s, "") for record in live if record.attempt is not None]
    return (*stays, *last)
