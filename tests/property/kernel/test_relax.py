"""What is suggested works, what is said of preemption is true, and nothing is suggested for what runs."""

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
from hypothesis import given, settings
from tests.building import GIB, NOW_S, decide, placed, stopped
from tests.property.kernel.situations import SHORT_WAITS_S, Situation, situations

from suanli.domain.decision import Memory
from suanli.domain.record import Record, Status
from suanli.domain.resources import AcceleratorDemand
from suanli.domain.workload import Workload
from suanli.kernel.outcome import carried_out
from suanli.kernel.preempt import PRIORITY_MAX
from suanli.kernel.relax import Relaxation, would_run_if
from suanli.kernel.state import State
from suanli.policies.registry import parse

UNITS = {"GiB": GIB, "MiB": 2**20, "Gbps": 1e9, "Mbps": 1e6, "": 1}
TRUE_MIN = 0.99


def after_a_step(situation: Situation) -> tuple[State, Memory]:
    decision, memory = decide(situation.state)
    return carried_out(situation.state, decision, NOW_S), memory


def suggestions(state: State, memory: Memory, key: str) -> tuple[Relaxation, ...]:
    return would_run_if(state, parse(""), memory, key, NOW_S, np.random.default_rng(0))


def comes_true(state: State, memory: Memory, key: str, said: Relaxation) -> bool:
    """A step with the change made, by its words alone, and with all that waits beside it."""
    trial = state.copy()
    record = trial.records[key]
    if said.change:
        workload = made(record.workload, *said.change.split("=", 1))
        status = Status.HELD if workload.held else Status.WAITING
        record = msgspec.structs.replace(record, workload=workload, status=status)
        trial.apply([record])
    else:
        in_the_fleet(trial, said.sentence)
    kept = {k: r for k, r in memory.reservations.items() if k != key}
    decision, _ = decide(trial, memory=msgspec.structs.replace(memory, reservations=kept))
    victims = {k for k, winner in stopped(decision).items() if winner == key}
    return victims == set(said.preempts) and (key in placed(decision) or bool(victims))


def made(w: Workload, field: str, value: str) -> Workload:
    """As `--set FIELD=VALUE` would change the declaration."""

    def demand(**changes: Any) -> Workload:
        return msgspec.structs.replace(w, demand=msgspec.structs.replace(w.demand, **changes))

    match field:
        case "hold":
            return msgspec.structs.replace(w, held=False)
        case "priority":
            return msgspec.structs.replace(w, priority=int(value))
        case "node_labels":
            return msgspec.structs.replace(w, node_labels={})
        case "resources.nodes":
            return msgspec.structs.replace(w, nodes=int(value))
        case "elastic":
            fewest, most = value.split("..")
            return msgspec.structs.replace(w, elastic_nodes=(int(fewest), int(most)))
        case "resources.accelerators":
            model, count = value.split(":")
            return demand(accelerators=(AcceleratorDemand(model, float(count)),))
        case "resources.cpus":
            return demand(cpus=float(value))
        case _:
            number, unit = re.fullmatch(r"(\d+)(\D*)", value).groups()  # type: ignore[union-attr]
            assert field == "resources.memory"
            return demand(memory_bytes=int(number) * UNITS[unit])


def in_the_fleet(state: State, sentence: str) -> None:
    """Make a change that is not the workload's own."""
    fleet = state.fleet
    more = re.fullmatch(r"the fleet had (\d+) more nodes? like (\S+)", sentence)
    lifted = re.fullmatch(r"the quota of team (\S+) were lifted", sentence)
    if more:
        like = next(node for node in fleet.nodes if node.name == more[2])
        added = tuple(msgspec.structs.replace(like, name=f"new-{i}") for i in range(int(more[1])))
        fleet = msgspec.structs.replace(fleet, nodes=fleet.nodes + added)
    else:
        assert lifted, sentence
        fleet = msgspec.structs.replace(fleet, teams=tuple(t for t in fleet.teams if t.name != lifted[1]))
    state.set_nodes(fleet, state.unusable)


def test_what_is_suggested_makes_it_run(record_property: Callable[[str, object], None]) -> None:
    """With every suggestion made in turn, and all others still waiting; the share that comes true is recorded."""
    tried: Counter[bool] = Counter()

    @settings(max_examples=60)
    @given(situations())
    def each(situation: Situation) -> None:
        state, memory = after_a_step(situation)
        for key in list(state.waiting):
            for said in suggestions(state, memory, key):
                tried[comes_true(state, memory, key, said)] += 1

    each()
    record_property("suggestions", tried.total())
    record_property("come_true", tried[True])
    assert tried.total() > 150
    assert tried[True] / tried.total() >= TRUE_MIN


@settings(max_examples=80)
@given(situations())
def test_nothing_is_suggested_for_what_runs_or_will_in_the_next_step(situation: Situation) -> None:
    state, memory = after_a_step(situation)
    decision, _ = decide(state, memory=memory)
    for key in [*state.live, *placed(decision)]:
        assert suggestions(state, memory, key) == ()


@settings(max_examples=80)
@given(situations(waits=SHORT_WAITS_S))
def test_preemption_helps_where_the_highest_priority_would_end_others_and_nowhere_else(
    situation: Situation,
) -> None:
    """The bit of the reason against a step in which the workload has that priority."""
    state, memory = after_a_step(situation)
    decision, memory = decide(state, memory=memory)
    for key, record in state.waiting.items():
        why = decision.reason_for(key)
        if why is not None and why.token in ("ResourcesBusy", "Fragmented") and why.resource != "room":
            alone, _ = decide(_raised(state, record), memory=memory)
            assert why.will_preemption_help == (key in stopped(alone).values())


def _raised(state: State, record: Record) -> State:
    """Alone before the fleet, with the highest priority."""
    trial = state.copy(waiting=())
    workload = msgspec.structs.replace(record.workload, priority=PRIORITY_MAX)
    trial.apply([msgspec.structs.replace(record, workload=workload)])
    return trial
