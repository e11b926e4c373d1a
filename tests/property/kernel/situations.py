"""Random fleets with work on them and a queue before them, as they could have come about."""

from typing import Any

import msgspec
import numpy as np
from hypothesis import strategies as st
from tests.building import GIB, NOW_S, decide, fleet, happened, node, waiting, workload

from suanli.domain import events as ev
from suanli.domain.decision import Memory
from suanli.domain.fleet import Fleet, Team
from suanli.domain.record import Record, Status
from suanli.domain.workload import EndCause, Kind, Workload
from suanli.kernel.outcome import carried_out
from suanli.kernel.state import State

MODELS = ("A100-80GB", "H100")
HOUR_S = 3600.0
SHORT_WAITS_S = (0.0, 60.0, HOUR_S - 1)
WAITS_S = (*SHORT_WAITS_S, HOUR_S, 9 * HOUR_S)
"""Those of an hour and more may have nodes set aside, which the step does not report."""


class Situation(msgspec.Struct):
    """A state with something to decide, and what was decided before it."""

    state: State
    memory: Memory


class Dice:
    """Choices from one number, the first options for small ones: drawing it is cheap, and shrinking it simplifies."""

    def __init__(self, number: int) -> None:
        self._number = number

    def pick(self, *options: Any) -> Any:
        self._number, i = divmod(self._number, len(options))
        return options[i]


DICE = st.integers(0, 2**52).map(Dice)


@st.composite
def situations(draw: st.DrawFn, *, waits: tuple[float, ...] = WAITS_S) -> Situation:
    """Work that was placed by an earlier step, in every stage of its life; and a queue."""
    of = draw_fleet(draw(DICE), draw(st.lists(DICE, min_size=1, max_size=5)))
    state = State(of)
    first = [
        draw_workload(dice, f"r{i}", (10, 50)) for i, dice in enumerate(draw(st.lists(DICE, max_size=12)))
    ]
    state.apply([waiting(w, seq=i + 1, waited_s=7300.0) for i, w in enumerate(first) if not w.held])
    decision, _ = decide(state, "fifo+spread", now_s=NOW_S - 7200)
    stages = draw(DICE)
    placed = carried_out(state, decision, NOW_S - 7200).live.values()
    state = State(of)
    state.apply([draw_life(stages, record) for record in placed])
    state.set_nodes(
        of, {n.name: why for n in of.nodes if (why := stages.pick(*[""] * 8, "down", "draining"))}
    )
    dice = draw(st.lists(DICE, min_size=1, max_size=10))
    state.apply([draw_waiting(d, i, waits) for i, d in enumerate(dice)])
    return Situation(state, Memory())


def draw_fleet(dice: Dice, members: list[Dice]) -> Fleet:
    quota = dice.pick({}, {}, {}, {"cpus": 2.0}, {"cpus": 6.0}, {MODELS[0]: 2.0})
    return fleet(
        *[
            node(
                f"n{i}",
                cpus=d.pick(8.0, 4.0, 2.0),
                gpus=d.pick(4, 4, 2, 1, 0),
                model=d.pick(MODELS[0], MODELS[0], MODELS[1]),
                zone=d.pick("east", "west"),
                memory_bytes=16 * GIB,
            )
            for i, d in enumerate(members)
        ],
        teams=(Team(name="a", quota=quota),),
    )


def draw_workload(dice: Dice, name: str, priorities: tuple[int, ...] = (50, 90, 10)) -> Workload:
    count, elastic = dice.pick(*[(1, None)] * 5, (2, None), (2, None), (3, None), (1, (1, 3)), (2, (2, 3)))
    return workload(
        name,
        cpus=dice.pick(1.0, 2.0, 0.1, 4.0, 0.0),
        gpus=dice.pick(0, 1, 1, 2, 2, 4, 0.5, 0.3),
        model=dice.pick(MODELS[0], MODELS[0], MODELS[0], MODELS[1], MODELS),
        memory_bytes=dice.pick(0, 2 * GIB, 8 * GIB),
        nodes=count,
        elastic_nodes=elastic,
        priority=dice.pick(*priorities),
        preemptible=dice.pick(True, True, True, False),
        team=dice.pick("b", "a"),
        kind=dice.pick(Kind.TRAIN, Kind.TRAIN, Kind.SERVE),
        node_labels=dice.pick(*[{}] * 7, {"zone": "east"}),
        held=dice.pick(*[False] * 19, True),
    )


def draw_waiting(dice: Dice, i: int, waits: tuple[float, ...] = WAITS_S) -> Record:
    return waiting(draw_workload(dice, f"w{i}"), seq=100 + i, waited_s=dice.pick(*waits))


def draw_life(dice: Dice, record: Record) -> Record:
    """Just placed, running since a while and saved some time ago, or being stopped."""
    stage = dice.pick(Status.RUNNING, Status.RUNNING, Status.STARTING, Status.STOPPING)
    if stage is Status.STARTING:
        return record
    record = happened(record, ev.Started(key=record.key, number=1), at_s=NOW_S - 7100)
    saved_s = dice.pick(300.0, 1.0, 10.0, 7000.0)
    record = happened(record, ev.Checkpointed(key=record.key, number=1, step=1), at_s=NOW_S - saved_s)
    if stage is Status.STOPPING:
        cause = dice.pick(EndCause.PREEMPTED, EndCause.DRAINED, EndCause.STOPPED)
        record = happened(record, ev.StopBegun(key=record.key, number=1, cause=cause))
    return record


def snapshot(state: State) -> list[object]:
    """All of a state that a step may read, to compare."""
    arrays = ("free", "device_free", "device_left", "whole_free", "largest_share", "usable")
    return [
        msgspec.json.encode(
            [state.fleet, state.records, state.waiting, state.live, state.by_name, state.team_use]
        ),
        *[np.array(getattr(state.table, name)).tolist() for name in arrays],
        dict(state.unusable),
    ]
