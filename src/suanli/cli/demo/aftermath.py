"""What came of the day, read from the store before it is left."""

from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec

from suanli.cli.demo.day import AFTERNOON, BEGINS_S, CONDITIONS, ENDS_S, MORNING, Script
from suanli.cli.demo.scene import is_preemption
from suanli.cli.demo.stage import Stage
from suanli.control.lived import counted_from, outcome_of_log
from suanli.control.otherwise import Fork
from suanli.domain import events as ev
from suanli.domain.decision import Decision
from suanli.domain.reasons import Tier, code_of
from suanli.domain.workload import EndCause
from suanli.ports.store import DECISIONS_KEPT, Store
from suanli.reports.day import Waiting
from suanli.sim.outcome import Outcome
from suanli.traces import trace_of


class Aftermath(msgspec.Struct, frozen=True, kw_only=True):
    """As of `to_s`. Instants are seconds of the day; `lost_with_node` are keys; `is_cut`: somebody had seen enough."""

    script: Script
    outcome: Outcome
    waiting: tuple[Waiting, ...]
    preemptions: int
    lost_with_node: tuple[str, ...]
    to_s: float
    is_cut: bool


def aftermath_of(stage: Stage, script: Script, *, is_cut: bool) -> Aftermath:
    """O(entries + decisions)."""
    store, to_s = stage.running.controller.ports.store, min(stage.now_s(), ENDS_S)
    entries = [entry for entry in _log(store, stage.midnight_s) if entry.at_s <= to_s]
    until_s = stage.midnight_s + to_s
    decisions = [decision for decision in store.decisions(DECISIONS_KEPT) if decision.at_s <= until_s]
    outcome = outcome_of_log(
        entries,
        decisions,
        script.fleet,
        script.work_s,
        name="a day",
        seed=script.seed,
        from_s=BEGINS_S,
        to_s=to_s,
    )
    lost = [
        entry.event.key
        for entry in entries
        if isinstance(entry.event, ev.Ended) and entry.event.cause is EndCause.NODE_LOST
    ]
    return Aftermath(
        script=script,
        outcome=outcome,
        waiting=tuple(_waiting(decisions, stage.midnight_s)),
        preemptions=sum(is_preemption(entry.event) for entry in entries),
        lost_with_node=tuple(dict.fromkeys(lost)),
        to_s=to_s,
        is_cut=is_cut,
    )


def fork_of(stage: Stage, script: Script) -> Fork:
    """The log until now, from which the afternoon is simulated with either policy."""
    at_s = stage.now_s()
    entries = tuple(_log(stage.running.controller.ports.store, stage.midnight_s))
    came = {entry.event.key for entry in entries if isinstance(entry.event, ev.Submitted)}
    trace = trace_of(script.work, script.fleet)
    later = tuple(arrival for arrival in trace.arrivals if arrival.workload.name not in came)
    return Fork(
        entries=entries,
        later=msgspec.structs.replace(trace, arrivals=later),
        fleet=script.fleet,
        work=script.work_s,
        policies=(AFTERNOON, MORNING),
        conditions=CONDITIONS,
        at_s=max(at_s, entries[-1].at_s),
        to_s=ENDS_S,
    )


def _log(store: Store, midnight_s: float) -> Iterator[ev.Entry]:
    after = 0
    while entries := store.entries(after):
        yield from counted_from(entries, midnight_s)
        after = entries[-1].seq


def _waiting(decisions: Sequence[Decision], midnight_s: float) -> Iterator[Waiting]:
    for decision in decisions:
        tokens = (decision.reasons[i].token for i in decision.waiting.values())
        counts = Counter(token for token in tokens if code_of(token).tier is not Tier.STARTING)
        yield Waiting(decision.at_s - midnight_s, dict(counts))
