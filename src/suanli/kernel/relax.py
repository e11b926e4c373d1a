"""What would make a waiting workload run now: the step again with one constraint relaxed."""

from collections.abc import Iterator
from itertools import islice

import msgspec
import numpy as np

from suanli.domain.decision import Decision, Memory, Place, Stop
from suanli.domain.record import Record, Status
from suanli.kernel.admit import not_eligible
from suanli.kernel.changes import Change, for_all, of_priority, of_the_demand, to_be_eligible
from suanli.kernel.patience import SET_ASIDE_AFTER_S
from suanli.kernel.patience import TRIES_MAX as LONG_WAITERS_MAX
from suanli.kernel.preempt import PRIORITY_MAX
from suanli.kernel.state import State
from suanli.kernel.step import step
from suanli.policies.parts import Policy

TRIALS_MAX = 24
"""Changes of the workload that are tried, and as many of what is shared; each is a step."""

RIVALS_MAX = 2_000
"""Waiting workloads beyond which changes that would help others too are not tried: each trial walks all of them."""


class Relaxation(msgspec.Struct, frozen=True, kw_only=True):
    """One change that makes it run: as `--set` would spell it, in words, and what it costs others.

    `change` is empty where it is not a change of the workload itself. `preempts` are those that would be stopped.
    """

    change: str
    sentence: str
    preempts: tuple[str, ...] = ()
    lost_s: float = 0.0


Helping = tuple[Change, Relaxation]


def would_run_if(
    state: State, policy: Policy, memory: Memory, key: str, now_s: float, rng: np.random.Generator
) -> tuple[Relaxation, ...]:
    """Single changes after which a step starts the workload at once or stops others for it, the least of each kind.

    `state` is one in which the last decision is carried out (`kernel.outcome`), so that room it gave away is gone.
    Every answer was tried by `step` on a copy. Empty for what would run without a change. O(32 steps on the workload
    and those whose long waiting keeps nodes from it; a change of the fleet or a quota that helps alone is tried once
    more on all that waits).
    """
    return tuple(found for _, found in changes_that_help(state, policy, memory, key, now_s, rng))


def changes_that_help(
    state: State, policy: Policy, memory: Memory, key: str, now_s: float, rng: np.random.Generator
) -> tuple[Helping, ...]:
    """`would_run_if`, each with the change itself, to try it further."""
    record = state.records.get(key)
    if record is None or record.status not in (Status.WAITING, Status.HELD):
        return ()
    kept = {k: r for k, r in memory.reservations.items() if k != key}
    trial = _Trial(state, policy, msgspec.structs.replace(memory, reservations=kept), record, now_s, rng)
    if trial.run(Change("", "", "", record)) is not None:
        return ()
    if not_eligible(record, state, now_s) is not None:
        return tuple(_least_of_each_kind(trial, to_be_eligible(state, record, now_s)))
    return (
        *_least_of_each_kind(trial, of_the_demand(state.table, record)),
        *_least_priority(trial),
        *_least_of_each_kind(trial, for_all(state, record)),
    )


def _least_of_each_kind(trial: "_Trial", candidates: Iterator[Change]) -> Iterator[Helping]:
    """Of several sizes of the same change the first that works is the least, and is enough."""
    seen: set[str] = set()
    for change in islice(candidates, TRIALS_MAX):
        if change.kind not in seen and (found := trial.run(change)) is not None:
            seen.add(change.kind)
            yield change, found


def _least_priority(trial: "_Trial") -> list[Helping]:
    """The lowest priority that would do, by halving: what a priority may end, a higher one may."""
    low, high = trial.record.workload.priority, PRIORITY_MAX
    change = of_priority(trial.record, PRIORITY_MAX)
    found = trial.run(change) if low < high else None
    while found is not None and high - low > 1:
        middle = (low + high) // 2
        lower = of_priority(trial.record, middle)
        better = trial.run(lower)
        if better is None:
            low = middle
        else:
            change, found, high = lower, better, middle
    return [] if found is None else [(change, found)]


class _Trial:
    """Runs one change at a time on a copy of the state."""

    def __init__(
        self,
        state: State,
        policy: Policy,
        memory: Memory,
        record: Record,
        now_s: float,
        rng: np.random.Generator,
    ) -> None:
        self.record = record
        self._state = state
        self._policy = policy
        self._memory = memory
        self._now_s = now_s
        self._rng = rng
        self._long_waiters = _long_waiters(state, policy, record.key, now_s)

    def run(self, change: Change) -> Relaxation | None:
        """What comes of it, or None where the workload goes on waiting."""
        found = self._try(change, self._long_waiters)
        if found is None or change.fleet is None:
            return found
        # what is changed for others too may be theirs first
        rivals = {key: r for key, r in self._state.waiting.items() if key != self.record.key}
        return self._try(change, rivals) if len(rivals) <= RIVALS_MAX else None

    def _try(self, change: Change, rivals: dict[str, Record]) -> Relaxation | None:
        trial = self._state.copy(waiting=rivals.values())
        if change.fleet is not None:
            trial.set_nodes(change.fleet, self._state.unusable)
        trial.apply([change.record])
        decision, _ = step(trial, self._policy, self._memory, self._now_s, self._rng)
        return _relaxation(change, self.record.key, decision)


def _relaxation(change: Change, key: str, decision: Decision) -> Relaxation | None:
    stops = [a for a in decision.actions if isinstance(a, Stop) and a.stopped_for == key]
    if not stops and not any(isinstance(a, Place) and a.key == key for a in decision.actions):
        return None
    return Relaxation(
        change=change.spelled,
        sentence=change.sentence,
        preempts=tuple(stop.key for stop in stops),
        lost_s=sum(stop.lost_s for stop in stops),
    )


def _long_waiters(state: State, policy: Policy, key: str, now_s: float) -> dict[str, Record]:
    """Those for whom a step might set nodes aside. All others that wait have found no room, and hold none back."""
    line = state.line
    rows = np.array(
        [row for row, r in enumerate(line.records) if r.key != key and r.status is Status.WAITING],
        dtype=np.intp,
    )
    queue = state.queue(rows, now_s)
    order = policy.order(queue)
    long = np.flatnonzero(queue.waited_s >= SET_ASIDE_AFTER_S)
    ranks = long[np.lexsort((queue.seq[long], order[long]))][: 2 * LONG_WAITERS_MAX]
    found = [line.records[int(row)] for row in rows[ranks]]
    return {record.key: record for record in found}
