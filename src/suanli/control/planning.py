"""What would happen: the step on a copy of the state. Changes nothing."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np

from suanli.control.gates import Checked
from suanli.domain.decision import Decision, Memory, Place, Stop
from suanli.domain.fleet import Fleet, Node
from suanli.domain.reasons import Tier, code_of
from suanli.domain.record import Placement, Record, Status
from suanli.domain.resources import Share
from suanli.domain.workload import Workload
from suanli.kernel.outcome import carried_out
from suanli.kernel.relax import Relaxation, would_run_if
from suanli.kernel.services import beginning
from suanli.kernel.state import State
from suanli.kernel.step import step
from suanli.policies.parts import Policy
from suanli.reports.sentences import sentence

EXPLAINED_SHAPES_MAX = 50
"""Distinct shapes for which a plan also says what would make them run."""


class PlannedPlacement(msgspec.Struct, frozen=True, kw_only=True):
    """One node's part of a workload. `start` is seconds from now: 0, or the longest grace of what must leave first."""

    workload: str
    replica: int | None
    node: str
    resources: dict[str, Any]
    start: float
    price_per_hour: float


class PlannedStop(msgspec.Struct, frozen=True, kw_only=True):
    """Running work that would be preempted, and the seconds of it that would be lost."""

    workload: str
    replica: int | None
    stopped_for: str
    lost_s: float


class PlannedWait(msgspec.Struct, frozen=True, kw_only=True):
    """A workload that would wait, and why. `would_run_if` are single changes, each tried by the same step."""

    workload: str
    replica: int | None
    reason: str
    resource: str
    sentence: str
    evidence: dict[str, Any]
    will_waiting_help: bool
    will_preemption_help: bool
    never_fits: bool
    would_run_if: tuple[Relaxation, ...] = ()


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """`suanli plan -o json`. `plan_id` is a digest of what was asked and what was answered: alike plans are one."""

    version: int = 1
    plan_id: str
    policy: str
    placements: tuple[PlannedPlacement, ...]
    stops: tuple[PlannedStop, ...]
    waiting: tuple[PlannedWait, ...]
    cost_per_hour: float
    gates: tuple[Checked, ...] = ()


def plan(
    state: State, memory: Memory, policy: Policy, workloads: Sequence[Workload], now_s: float
) -> tuple[Plan, Decision]:
    """Submit to a copy of `state` and step once. Only the given workloads are reported, and what stops for them."""
    trial = state.copy()
    keys = submit(trial, workloads, now_s)
    decision, after = step(trial, policy, memory, now_s, np.random.default_rng(len(state.records)))
    starts = {a.key: a.placements for a in decision.actions if isinstance(a, Place) and a.key in keys}
    reserved = {k: r.placements for k, r in after.reservations.items() if k in keys}
    stops = [a for a in decision.actions if isinstance(a, Stop) and a.stopped_for in keys]
    outcome = carried_out(trial, decision, now_s)
    placements = [
        _placement(trial, key, place, _leaving_s(outcome, places) if key in reserved else 0.0)
        for key, places in {**starts, **reserved}.items()
        for place in places
    ]
    waiting = [key for key in keys if key not in starts and key not in reserved]
    answer = Plan(
        plan_id="",
        policy=policy.name,
        placements=tuple(placements),
        stops=tuple(_planned_stop(trial.records[s.key], s) for s in stops),
        waiting=tuple(_waiting(outcome, policy, after, decision, waiting, now_s)),
        cost_per_hour=round(sum(p.price_per_hour for p in placements), 6),
    )
    return msgspec.structs.replace(answer, plan_id=_digest(workloads, trial.fleet, answer)), decision


def share_price(node: Node, share: Share) -> float:
    """The part of a node's hourly price that a share bears: of its devices, or of its cores where it has none."""
    if node.accelerators:
        return node.price_per_hour * share.accelerator_count / len(node.accelerators)
    return node.price_per_hour * share.cpus / node.cpus if node.cpus else 0.0


def submit(trial: State, workloads: Sequence[Workload], now_s: float) -> dict[str, None]:
    """Take them in as new, after all that is there. Returns their keys in order."""
    keys: dict[str, None] = {}
    seq = max((record.seq for record in trial.records.values()), default=0)
    fresh: list[Record] = []
    for workload in workloads:
        for key, replica in beginning(workload, trial.records):
            keys[key] = None
            seq += 1
            before = trial.records.get(key)
            fresh.append(
                Record(
                    key=key,
                    workload=workload,
                    replica=replica,
                    seq=seq,
                    submitted_s=now_s,
                    waiting_since_s=now_s,
                    status=Status.HELD if workload.held else Status.WAITING,
                    attempts_made=before.attempts_made if before else 0,
                )
            )
    trial.apply(fresh)
    return keys


def _leaving_s(outcome: State, placements: Sequence[Placement]) -> float:
    """The longest grace of what is stopping on these nodes."""
    nodes = {placement.node for placement in placements}
    return max(
        (
            record.workload.grace_s
            for record in outcome.live.values()
            if record.status is Status.STOPPING
            and record.attempt is not None
            and any(p.node in nodes for p in record.attempt.placements)
        ),
        default=0.0,
    )


def _placement(trial: State, key: str, placement: Placement, start_s: float) -> PlannedPlacement:
    record, node = trial.records[key], trial.node(placement.node)
    return PlannedPlacement(
        workload=record.name,
        replica=record.replica,
        node=placement.node,
        resources=msgspec.to_builtins(placement.share),
        start=start_s,
        price_per_hour=round(share_price(node, placement.share), 6) if node else 0.0,
    )


def _planned_stop(record: Record, stop: Stop) -> PlannedStop:
    return PlannedStop(
        workload=record.name,
        replica=record.replica,
        stopped_for=stop.stopped_for,
        lost_s=round(stop.lost_s, 1),
    )


def _waiting(
    outcome: State, policy: Policy, memory: Memory, decision: Decision, keys: Sequence[str], now_s: float
) -> Iterator[PlannedWait]:
    """What waits in the `outcome` of the step, and what would change that."""
    relaxed: dict[object, tuple[Relaxation, ...]] = {}
    for key in keys:
        record, why = outcome.records[key], decision.reason_for(key)
        if why is None:
            continue
        alike = (_without_name(record.workload), why.token)
        if alike not in relaxed and len(relaxed) < EXPLAINED_SHAPES_MAX:
            rng = np.random.default_rng(len(outcome.records))
            relaxed[alike] = would_run_if(outcome, policy, memory, key, now_s, rng)
        yield PlannedWait(
            workload=record.name,
            replica=record.replica,
            reason=why.token,
            resource=why.resource,
            sentence=sentence(why),
            evidence=dict(why.evidence),
            will_waiting_help=why.will_waiting_help,
            will_preemption_help=why.will_preemption_help,
            never_fits=code_of(why.token).tier is Tier.NEVER_FITS,
            would_run_if=relaxed.get(alike, ()),
        )


def _without_name(workload: Workload) -> bytes:
    """All that decides what would make it run, and a little more."""
    return msgspec.json.encode(
        msgspec.structs.replace(workload, name="", run=(), env={}, workdir=""), order="deterministic"
    )


def _digest(workloads: Sequence[Workload], fleet: Fleet, answer: Plan) -> str:
    asked = msgspec.json.encode([*workloads, fleet], order="deterministic")
    said = [(w.workload, w.replica, w.reason) for w in answer.waiting]
    answered = msgspec.json.encode(
        [answer.policy, answer.placements, [s.workload for s in answer.stops], said], order="deterministic"
    )
    return "plan-" + hashlib.sha256(asked + answered).hexdigest()[:16]
