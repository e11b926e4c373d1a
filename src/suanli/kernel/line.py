"""`Line`: who waits, one row each, as columns that are kept up by difference."""

from collections.abc import Collection, Iterable, Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from suanli.domain.record import Record, Status
from suanli.domain.workload import Kind, Workload
from suanli.perf.durations import DurationHistory, Likeness, declared_s, likeness, saved_s
from suanli.policies.table import Floats, Indices

_COLUMNS = (
    "seq",
    "priority",
    "since_s",
    "waited_s",
    "duration_s",
    "saved_s",
    "devices",
    "attained_s",
    "deadline_s",
)
_AT = {name: i for i, name in enumerate(_COLUMNS)}


class Line:
    """`add` and `remove` are O(1), for n rows the columns are O(n). The order of rows means nothing.

    `kinds` numbers what is alike in all that decides whether there is room for it: its demand, size and labels,
    whether it serves, and its team where that has a quota.
    `special` are those of whom it takes a look at others, or at the time, to know whether they may start.
    """

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self.records: list[Record] = []
        self.special: dict[str, Record] = {}
        self._row: dict[str, int] = {}
        self._values: Floats = np.zeros((len(_COLUMNS), 64))
        self._shapes: NDArray[np.int64] = np.zeros(64, dtype=np.int64)
        self._teams: NDArray[np.int64] = np.zeros(64, dtype=np.int64)
        self._likes: NDArray[np.int64] = np.zeros(64, dtype=np.int64)
        self._claims: NDArray[np.int64] = np.zeros(64, dtype=np.int64)
        self._shape_of: dict[object, int] = {}
        self._team_of: dict[str, int] = {}
        self._like_of: dict[Likeness, int] = {}
        self._claim_of: dict[object, int] = {}
        self._claimants: list[Workload] = []
        self._estimates: tuple[int, int, Floats] = (-1, 0, np.zeros(0))
        for record in records:
            self.add(record)

    def __len__(self) -> int:
        return len(self.records)

    def row(self, key: str) -> int:
        return self._row[key]

    def add(self, record: Record) -> None:
        w, row = record.workload, len(self.records)
        if row == self._values.shape[1]:
            self._grow()
        self.records.append(record)
        self._row[record.key] = row
        devices = w.nodes * max((a.count for a in w.demand.accelerators), default=0.0)
        declared = declared_s(w)
        self._values[:, row] = (
            record.seq,
            w.priority,
            record.waiting_since_s,
            record.wait_s,
            np.nan if declared is None else declared,
            saved_s(record),
            devices,
            record.run_s * (devices or w.nodes * w.demand.cpus),
            np.inf if w.deadline_s is None else w.deadline_s,
        )
        labels = tuple(sorted(w.node_labels.items())) if w.node_labels else ()
        shape = (w.demand, w.nodes, w.elastic_nodes, labels, w.kind is Kind.SERVE)
        self._shapes[row] = number = self._shape_of.setdefault(shape, len(self._shape_of))
        speeds = tuple(sorted(w.speeds.items())) if w.speeds else ()
        self._claims[row] = claim = self._claim_of.setdefault((number, speeds), len(self._claim_of))
        if claim == len(self._claimants):
            self._claimants.append(w)
        self._teams[row] = self._team_of.setdefault(w.team, len(self._team_of))
        self._likes[row] = (
            self._like_of.setdefault(likeness(record), len(self._like_of)) if declared is None else -1
        )
        timed = w.not_before_s is not None or record.not_before_s > 0
        if record.status is Status.HELD or timed or w.after or w.model_from:
            self.special[record.key] = record

    def remove(self, key: str) -> None:
        """The last row takes its place. Does nothing where nobody of that name waits."""
        row = self._row.pop(key, None)
        if row is None:
            return
        self.special.pop(key, None)
        last = self.records.pop()
        if last.key != key:
            n = len(self.records)
            self.records[row] = last
            self._row[last.key] = row
            self._values[:, row] = self._values[:, n]
            for column in (self._shapes, self._teams, self._likes, self._claims):
                column[row] = column[n]

    def copy(self) -> "Line":
        twin = object.__new__(Line)
        twin.__dict__.update(self.__dict__)
        for name in (
            "records",
            "special",
            "_row",
            "_shape_of",
            "_team_of",
            "_like_of",
            "_claim_of",
            "_claimants",
            "_values",
            "_shapes",
            "_teams",
            "_likes",
            "_claims",
        ):
            setattr(twin, name, getattr(self, name).copy())
        return twin

    def picked(self, rows: Indices) -> Indices | slice:
        """The same rows, as a slice where they are all in order: then columns are views, which nobody may write to."""
        n = len(self.records)
        return slice(n) if len(rows) == n and np.array_equal(rows, np.arange(n)) else rows

    def column(self, name: str, rows: Indices | slice) -> Floats:
        """One of `_COLUMNS`: seq, priority, since_s (waits since), waited_s (before that), saved_s (of its work),
        devices (of the whole gang), attained_s (device seconds, core seconds without any), deadline_s (inf: none)."""
        return cast(Floats, self._values[_AT[name]][rows])

    def kinds(self, rows: Indices, with_quota: Collection[str]) -> NDArray[np.int64]:
        """`with_quota` are the teams that have one."""
        if not with_quota:
            return self._shapes[rows]
        number = [i + 1 if team in with_quota else 0 for i, team in enumerate(self._team_of)]
        return self._shapes[rows] * (len(number) + 1) + np.array(number, dtype=np.int64)[self._teams[rows]]

    def teams(self, rows: Indices) -> tuple[NDArray[np.int64], Sequence[str]]:
        """Positions in the names of teams that come with them."""
        return self._teams[rows], list(self._team_of)

    def claims(self, rows: Indices) -> tuple[NDArray[np.int64], Sequence[Workload]]:
        """Positions among workloads, one of each claim on the fleet: demand, size, and speeds."""
        return self._claims[rows], self._claimants

    def duration_s(self, rows: Indices | slice, history: DurationHistory) -> Floats:
        """Declared, else what `history` makes of those alike, else NaN."""
        declared = self.column("duration_s", rows)
        likes = self._likes[rows]
        unknown = likes >= 0
        if unknown.any():
            declared = declared.copy()
            declared[unknown] = self._estimated(history)[likes[unknown]]
        return declared

    def _estimated(self, history: DurationHistory) -> Floats:
        version, known, estimates = self._estimates
        if version != history.version or known != len(self._like_of):
            found = [history.median_s(like) for like in self._like_of]
            estimates = np.array([np.nan if s is None else s for s in found], dtype=np.float64)
            self._estimates = history.version, len(found), estimates
        return estimates

    def _grow(self) -> None:
        n = self._values.shape[1]
        self._values = np.concatenate([self._values, np.zeros_like(self._values)], axis=1)
        self._shapes, self._teams, self._likes, self._claims = (
            np.concatenate([column, np.zeros(n, dtype=np.int64)])
            for column in (self._shapes, self._teams, self._likes, self._claims)
        )
