"""Why a workload waits, runs where it runs, or ended; and what would make it run now."""

from collections.abc import Sequence

import msgspec
import numpy as np

from suanli.control.controller import Controller
from suanli.control.journal import LINES_KEPT, Journal, Line
from suanli.control.requests import records_of
from suanli.control.snapshot import Snapshot, held, take
from suanli.control.views import ran_s, reason_of
from suanli.domain.decision import Decision, Memory, Place
from suanli.domain.reasons import Evidence, Reason, code_of
from suanli.domain.record import Record, Status
from suanli.kernel.relax import Relaxation, changes_that_help
from suanli.kernel.state import State
from suanli.policies.registry import parse
from suanli.reports.quantities import duration
from suanli.reports.sentences import advice, sentence
from suanli.sim.foresee import LIVE, Foresight, foresee, runs_if

DECISIONS_READ = 200
"""Recorded decisions looked through for what held a workload back before."""


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """A reason that held it back, from when on."""

    since_s: float
    reason: str
    sentence: str


class Because(msgspec.Struct, frozen=True, kw_only=True):
    """Why running work is where it is. `decided_s` and `policy` are None where that decision is no longer kept."""

    nodes: tuple[str, ...]
    policy: str | None
    decided_s: float | None
    waited_s: float
    waited_for: tuple[Past, ...]


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """`sentence` says where it stands. Reason, evidence and the two bits are set while it waits or starts.

    `foresight` is when it starts, where waiting helps at all.
    """

    key: str
    status: Status
    sentence: str
    reason: str | None = None
    resource: str = ""
    evidence: Evidence = msgspec.field(default_factory=dict)
    tier: str | None = None
    will_waiting_help: bool | None = None
    will_preemption_help: bool | None = None
    advice: str = ""
    would_run_if: tuple[Relaxation, ...] = ()
    foresight: Foresight | None = None
    here_because: Because | None = None
    history: tuple[Line, ...] = ()


LINES_AT_LEVEL = (0, 10, LINES_KEPT)
"""How much of what happened is told."""


def explain(
    controller: Controller, journal: Journal, name: str, *, level: int = 0
) -> tuple[Explanation, ...]:
    """Each record of a name or key; `level` 1 or 2 adds its latest events. Raises NotFound.

    Trying changes and foreseeing the start go on outside of the mutex, on a copy; replicas alike are tried once.
    """
    with held(controller):
        records = records_of(controller, name)
        snapshot = take(controller)
        trial = _Trial(controller.state.copy(), controller.memory)
    past = controller.ports.store.decisions(DECISIONS_READ)
    tried: dict[Status, tuple[tuple[Relaxation, ...], Foresight | None]] = {}
    answers: list[Explanation] = []
    for record in records:
        if record.status not in tried:
            tried[record.status] = trial.would_run_if(record, snapshot), trial.foresight(record, snapshot)
        answers.append(
            msgspec.structs.replace(
                _standing(record, snapshot),
                would_run_if=tried[record.status][0],
                foresight=tried[record.status][1],
                here_because=_because(record, past),
                history=journal.lines(record.key, LINES_AT_LEVEL[level]),
            )
        )
    return tuple(answers)


class _Trial(msgspec.Struct, frozen=True):
    """What a step needs, copied."""

    state: State
    memory: Memory

    def would_run_if(self, record: Record, snapshot: Snapshot) -> tuple[Relaxation, ...]:
        """Of the changes that help those after which it also starts when things go on."""
        policy, rng = parse(snapshot.world.policy), np.random.default_rng(snapshot.world.seq)
        key, now_s = record.key, snapshot.now_s
        found = changes_that_help(self.state, policy, self.memory, key, now_s, rng)
        return tuple(
            relaxation
            for change, relaxation in found
            if runs_if(self.state, self.memory, policy, key, change, now_s, rng)
        )

    def foresight(self, record: Record, snapshot: Snapshot) -> Foresight | None:
        why = reason_of(record, snapshot.decision)
        if record.status is not Status.WAITING or why is None or not why.will_waiting_help:
            return None
        policy, rng = parse(snapshot.world.policy), np.random.default_rng(snapshot.world.seq)
        return foresee(self.state, self.memory, policy, record.key, snapshot.now_s, rng, conditions=LIVE)


def _standing(record: Record, snapshot: Snapshot) -> Explanation:
    why = reason_of(record, snapshot.decision)
    if why is None:
        return Explanation(key=record.key, status=record.status, sentence=_words(record, snapshot.now_s))
    return Explanation(
        key=record.key,
        status=record.status,
        sentence=sentence(why),
        reason=why.token,
        resource=why.resource,
        evidence=why.evidence,
        tier=code_of(why.token).tier.name.lower().replace("_", "-"),
        will_waiting_help=why.will_waiting_help,
        will_preemption_help=why.will_preemption_help,
        advice=advice(why),
    )


def _words(record: Record, now_s: float) -> str:
    """Where it stands, for what no reason of a decision holds back."""
    attempt = record.attempt
    match record.status:
        case Status.WAITING | Status.HELD:
            return "has not been looked at since it last changed"
        case Status.SUCCEEDED:
            return f"succeeded after running for {duration(record.run_s)}"
        case Status.FAILED | Status.STOPPED:
            cause = f": {record.end_cause.value}" if record.end_cause else ""
            code = f", exit code {record.exit_code}" if record.exit_code is not None else ""
            detail = f" ({record.end_detail})" if record.end_detail else ""
            return f"{record.status.value}{cause}{code}{detail}"
        case _ if attempt is None:
            return record.status.value
        case Status.STOPPING:
            cause = f": {attempt.stop_cause.value}" if attempt.stop_cause else ""
            stopped_for = f", to make room for {attempt.stopped_for}" if attempt.stopped_for else ""
            return f"is being stopped{cause}{stopped_for}"
        case Status.STARTING:
            return f"is coming up on {', '.join(p.node for p in attempt.placements)}"
        case _:
            nodes = ", ".join(p.node for p in attempt.placements)
            return f"runs on {nodes}, for {duration(ran_s(record, now_s))} in all"


def _because(record: Record, past: Sequence[Decision]) -> Because | None:
    if record.attempt is None:
        return None
    number = record.attempt.number
    placing = next((i for i, d in enumerate(past) if _places(d, record.key, number)), None)
    before = past if placing is None else past[:placing]
    return Because(
        nodes=tuple(p.node for p in record.attempt.placements),
        policy=None if placing is None else past[placing].policy,
        decided_s=None if placing is None else past[placing].at_s,
        waited_s=record.wait_s,
        waited_for=_past(record.key, [d for d in before if d.at_s >= record.submitted_s]),
    )


def _places(decision: Decision, key: str, number: int) -> bool:
    return any(isinstance(a, Place) and (a.key, a.number) == (key, number) for a in decision.actions)


def _past(key: str, decisions: Sequence[Decision]) -> tuple[Past, ...]:
    """The reasons in their order, each once for as long as it stayed the dominant one."""
    reasons: list[tuple[float, Reason]] = []
    for decision in decisions:
        why = decision.reason_for(key)
        if why is not None and (not reasons or reasons[-1][1].token != why.token):
            reasons.append((decision.at_s, why))
    return tuple(Past(since_s=at_s, reason=why.token, sentence=sentence(why)) for at_s, why in reasons)
