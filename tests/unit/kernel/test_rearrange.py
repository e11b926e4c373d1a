"""Moving off hot nodes, draining, giving back what lies idle, growing, shrinking: to the instant, and never twice."""

from typing import Any

import msgspec
import pytest
from tests.building import (
    NOW_S,
    decide,
    fleet,
    happened,
    node,
    nodes,
    placed,
    running,
    state_of,
    stopped,
    succeeded,
    waiting,
    workload,
)

from suanli.domain.decision import AddNodes, Decision, Memory, RemoveNode, Stop, WarnIdle
from suanli.domain.fleet import Fleet, NodeScaling
from suanli.domain.record import Record, Status
from suanli.domain.workload import EndCause, IdleRule
from suanli.kernel.invariants import violations
from suanli.kernel.state import State
from suanli.policies.balance import HOT_FOR_S, MOVE_AGAIN_AFTER_S
from suanli.policies.idle import WARN_AGAIN_AFTER_S

from suanli.domain import events as ev  # isort: skip


def steps(state: State, *instants: float, memory: Memory | None = None) -> tuple[Decision, Memory]:
    """Decide at each instant after NOW_S in turn; the last decision."""
    decision, memory = decide(state, memory=memory, now_s=NOW_S + instants[0])
    for instant in instants[1:]:
        decision, memory = decide(state, memory=memory, now_s=NOW_S + instant)
    return decision, memory


def work(name: str, on: str, *, unsaved_s: float = 600.0, cpus: float = 2, **more: Any) -> Record:
    return running(workload(name, cpus=cpus, **more), on, unsaved_s=unsaved_s)


HOT_AND_COOL = {"n0": 0.95, "n1": 0.30}


class TestRebalancing:
    def test_a_node_that_stays_hot_sheds_what_is_cheapest_to_move_to_a_cool_one(self) -> None:
        records = [work("dear", "n0", unsaved_s=500.0), work("cheap", "n0", unsaved_s=5.0)]
        state = state_of(fleet(*nodes(3)), *records, load={**HOT_AND_COOL, "n2": 0.70})
        decision, memory = steps(state, 0.0, HOT_FOR_S)
        (stop,) = decision.actions
        assert isinstance(stop, Stop)
        assert (stop.key, stop.cause) == ("cheap", EndCause.REBALANCED)
        assert memory.reservations["cheap"].placements[0].node == "n1"
        assert memory.moved_s == {"cheap": NOW_S + HOT_FOR_S}

    def test_not_an_instant_before_it_was_hot_for_so_long(self) -> None:
        state = state_of(fleet(*nodes(2)), work("w", "n0"), load=HOT_AND_COOL)
        assert stopped(steps(state, 0.0, HOT_FOR_S - 0.001)[0]) == {}
        assert stopped(steps(state, 0.0, HOT_FOR_S)[0]) == {"w": "rebalanced"}

    @pytest.mark.parametrize("dip", [0.59, None])
    def test_a_dip_below_the_lower_mark_starts_the_clock_anew(self, dip: float | None) -> None:
        state = state_of(fleet(*nodes(2)), work("w", "n0"), load=HOT_AND_COOL)
        _, memory = steps(state, 0.0, 30.0)
        state.load = {"n0": {"cpu_fraction": 0.59}, "n1": {"cpu_fraction": 0.3}}
        _, memory = decide(state, memory=memory, now_s=NOW_S + 40)
        state.load = {"n0": {"cpu_fraction": 0.95}, "n1": {"cpu_fraction": 0.3}}
        assert stopped(steps(state, 50.0, 50 + HOT_FOR_S - 1, memory=memory)[0]) == {}

    def test_work_that_waits_does_not_stop_the_clock(self) -> None:
        """Else a node that had cooled down meanwhile would count as hot ever since."""
        never = waiting(workload("never", cpus=99), seq=9)
        state = state_of(fleet(*nodes(2)), work("w", "n0"), load=HOT_AND_COOL)
        _, memory = decide(state, now_s=NOW_S)
        state.apply([never])
        state.load = {"n0": {"cpu_fraction": 0.1}, "n1": {"cpu_fraction": 0.3}}
        _, memory = decide(state, memory=memory, now_s=NOW_S + 30)
        assert memory.hot_since_s == {}

    def test_it_must_still_be_hot_when_it_is_relieved(self) -> None:
        state = state_of(fleet(*nodes(2)), work("w", "n0"), load=HOT_AND_COOL)
        _, memory = decide(state, now_s=NOW_S)
        state.load = {"n0": {"cpu_fraction": 0.70}, "n1": {"cpu_fraction": 0.3}}
        assert stopped(steps(state, HOT_FOR_S, memory=memory)[0]) == {}
        state.load = {"n1": {"cpu_fraction": 0.3}}  # not measured any more
        assert stopped(steps(state, HOT_FOR_S, memory=memory)[0]) == {}

    @pytest.mark.parametrize("load", [{"n1": 0.60}, {"n1": 0.95}, {}])
    def test_nothing_is_moved_to_a_node_that_is_not_known_to_be_cool(self, load: dict[str, float]) -> None:
        state = state_of(fleet(*nodes(2)), work("w", "n0"), load={"n0": 0.95, **load})
        assert stopped(steps(state, 0.0, HOT_FOR_S)[0]) == {}

    @pytest.mark.parametrize(
        "record",
        [
            work("w", "n0", preemptible=False),
            work("w", "n0", node_labels={"name": "n0"}),
            work("w", "n0", cpus=8),
            running(workload("w", nodes=2), "n0", "n2"),
            running(workload("w"), "n0", status=Status.STARTING),
        ],
        ids=["not preemptible", "bound by label", "no room", "gang", "starting"],
    )
    def test_what_cannot_be_moved_stays(self, record: Record) -> None:
        full = work("full", "n1", cpus=1)
        state = state_of(fleet(*nodes(3)), record, full, load={**HOT_AND_COOL, "n2": 0.95})
        assert "w" not in stopped(steps(state, 0.0, HOT_FOR_S)[0])

    def test_room_that_something_waits_for_is_not_used_for_moving(self) -> None:
        large = waiting(workload("large", cpus=8, priority=10), seq=9)
        records = [work("w", "n0"), work("x", "n1")]
        state = state_of(fleet(*nodes(2)), *records, large, load=HOT_AND_COOL)
        assert stopped(steps(state, 0.0, HOT_FOR_S)[0]) == {}

    def test_what_can_never_fit_does_not_stop_it(self) -> None:
        never = waiting(workload("never", cpus=99), seq=9)
        state = state_of(fleet(*nodes(2)), work("w", "n0"), never, load=HOT_AND_COOL)
        assert stopped(steps(state, 0.0, HOT_FOR_S)[0]) == {"w": "rebalanced"}

    def test_nothing_is_moved_twice_within_its_cool_down(self) -> None:
        state = state_of(fleet(*nodes(2)), work("w", "n0"), load=HOT_AND_COOL)
        moved = Memory(moved_s={"w": NOW_S + HOT_FOR_S - MOVE_AGAIN_AFTER_S + 1})
        assert stopped(steps(state, 0.0, HOT_FOR_S, memory=moved)[0]) == {}
        assert stopped(steps(state, 0.0, HOT_FOR_S + 1, memory=moved)[0]) == {"w": "rebalanced"}

    def test_one_move_at_a_time_and_then_the_node_has_time_to_cool(self) -> None:
        records = [work(f"w{i}", "n0") for i in range(3)]
        state = state_of(fleet(*nodes(2)), *records, load=HOT_AND_COOL)
        decision, memory = steps(state, 0.0, HOT_FOR_S)
        assert len(decision.actions) == 1
        decision, _ = steps(state, HOT_FOR_S + 1, 2 * HOT_FOR_S, memory=memory)
        assert decision.actions == ()

    def test_the_room_on_the_cool_node_is_kept_until_it_arrives(self) -> None:
        moving = work("w", "n0", cpus=6)
        state = state_of(fleet(*nodes(2)), moving, load=HOT_AND_COOL)
        decision, memory = steps(state, 0.0, HOT_FOR_S)
        assert stopped(decision) == {"w": "rebalanced"}
        stop = ev.StopBegun(key="w", number=1, cause=EndCause.REBALANCED)
        moving = happened(moving, stop)
        state.apply([moving, waiting(workload("thief", cpus=6, priority=100), seq=9)])
        decision, memory = decide(state, memory=memory, now_s=NOW_S + HOT_FOR_S + 1)
        assert placed(decision) == {}
        why = decision.reason_for("thief")
        assert why is not None
        assert why.evidence == {"stopping": ("w",), "reserved_on": ("n0",)}  # it gets what the other leaves
        state.apply([happened(moving, ev.Ended(key="w", number=1, cause=EndCause.REBALANCED))])
        decision, memory = decide(state, memory=memory, now_s=NOW_S + HOT_FOR_S + 2)
        assert placed(decision) == {"w": ("n1",), "thief": ("n0",)}
        assert memory.reservations == {}

    def test_room_for_what_ended_instead_of_moving_is_given_up(self) -> None:
        state = state_of(fleet(*nodes(2)), work("w", "n0"), load=HOT_AND_COOL)
        _, memory = steps(state, 0.0, HOT_FOR_S)
        state.apply([succeeded(workload("w"))])
        _, memory = decide(state, memory=memory, now_s=NOW_S + HOT_FOR_S + 1)
        assert memory.reservations == {}


class TestIdleReclaim:
    @staticmethod
    def idle(then: str, use: dict[str, float] | None = None) -> State:
        record = running(workload("w", idle=IdleRule(below=0.05, for_s=60.0, then=then)), "n0")
        return state_of(fleet(node()), record, use={"w": 0.01} if use is None else use)

    def test_unused_work_is_stopped_at_the_exact_instant(self) -> None:
        assert steps(self.idle("stop"), 0.0, 59.999)[0].actions == ()
        decision, _ = steps(self.idle("stop"), 0.0, 60.0)
        assert stopped(decision) == {"w": "idle"}

    def test_or_its_owner_is_warned_once_an_hour(self) -> None:
        decision, memory = steps(self.idle("warn"), 0.0, 60.0)
        assert decision.actions == (WarnIdle(key="w", used_fraction=0.01, idle_s=60.0),)
        decision, memory = steps(self.idle("warn"), 61.0, 60 + WARN_AGAIN_AFTER_S - 1, memory=memory)
        assert decision.actions == ()
        decision, _ = steps(self.idle("warn"), 60 + WARN_AGAIN_AFTER_S, memory=memory)
        assert isinstance(decision.actions[0], WarnIdle)

    def test_without_a_measurement_there_is_no_verdict(self) -> None:
        assert steps(self.idle("stop", {}), 0.0, 60.0, 9e6)[0].actions == ()

    def test_what_is_told_to_stop_already_is_not_told_again(self) -> None:
        """Two stops of one attempt in one decision could not be recorded: nothing would ever be done again."""
        record = running(
            workload("w", cpus=8, priority=10, idle=IdleRule(below=0.5, for_s=0.0, then="stop")), "n0"
        )
        urgent = waiting(workload("urgent", cpus=8, priority=90), seq=9)
        state = state_of(fleet(node()), record, urgent, use={"w": 0.0})
        decision, _ = decide(state)
        assert [action.key for action in decision.actions] == ["w"]  # type: ignore[union-attr]
        assert violations(state, decision) == ()


class TestDraining:
    def test_what_runs_on_a_draining_node_is_moved_and_comes_back_elsewhere(self) -> None:
        record = work("w", "n0")
        state = state_of(fleet(*nodes(2)), record, unusable={"n0": "draining"})
        decision, memory = decide(state)
        assert stopped(decision) == {"w": "drained"}
        ended = happened(
            record,
            ev.StopBegun(key="w", number=1, cause=EndCause.DRAINED),
            ev.Ended(key="w", number=1, cause=EndCause.DRAINED),
        )
        state.apply([ended])
        assert placed(decide(state, memory=memory)[0]) == {"w": ("n1",)}

    def test_a_gang_with_one_foot_on_it_is_moved_whole(self) -> None:
        gang = running(workload("gang", nodes=2), "n0", "n1")
        state = state_of(fleet(*nodes(3)), gang, unusable={"n0": "draining"})
        assert stopped(decide(state)[0]) == {"gang": "drained"}

    @pytest.mark.parametrize("why", ["cordoned", "down", "not seen yet"])
    def test_only_draining_moves_anything(self, why: str) -> None:
        state = state_of(fleet(*nodes(2)), work("w", "n0"), unusable={"n0": why})
        assert decide(state)[0].actions == ()

    def test_what_must_not_be_preempted_ends_by_itself(self) -> None:
        state = state_of(fleet(*nodes(2)), work("w", "n0", preemptible=False), unusable={"n0": "draining"})
        assert decide(state)[0].actions == ()

    def test_each_is_told_once(self) -> None:
        hot = {"n0": 0.99, "n1": 0.1}
        record = work("w", "n0", idle=IdleRule(below=0.5, for_s=0.0, then="stop"))
        state = state_of(fleet(*nodes(2)), record, unusable={"n0": "draining"}, load=hot, use={"w": 0.0})
        decision, _ = steps(state, 0.0, HOT_FOR_S)
        assert stopped(decision) == {"w": "drained"}
        assert len(decision.actions) == 1
        stopping = happened(record, ev.StopBegun(key="w", number=1, cause=EndCause.DRAINED))
        state.apply([stopping])
        assert decide(state)[0].actions == ()


class TestNodeScaling:
    SCALING = NodeScaling(template=node("burst", gpus=4), nodes_max=3, add_after_s=60.0, remove_after_s=600.0)

    def of(self, *members: Any) -> Fleet:
        return fleet(node("base", cpus=2), *members, scaling=self.SCALING)

    def burst(self, *numbers: int) -> list[Any]:
        return [node(f"burst-{i}", gpus=4) for i in numbers]

    def test_nodes_are_added_once_they_have_been_missing_for_so_long(self) -> None:
        wants = [waiting(workload(f"w{i}", gpus=4), seq=i) for i in range(2)]
        state = state_of(self.of(), *wants)
        assert steps(state, 0.0, 59.999)[0].actions == ()
        decision, memory = steps(state, 0.0, 60.0)
        assert decision.actions == (AddNodes(names=("burst-0", "burst-1")),)
        assert memory.short_since_s is None

    def test_until_they_come_the_same_ones_are_asked_for_again_and_not_more(self) -> None:
        state = state_of(self.of(), waiting(workload("w", gpus=4)))
        _, memory = steps(state, 0.0, 60.0)
        decision, memory = steps(state, 61.0, 120.0, memory=memory)
        assert decision.actions == ()
        decision, _ = steps(state, 121.0, memory=memory)
        assert decision.actions == (AddNodes(names=("burst-0",)),)

    def test_a_gap_in_the_shortage_starts_the_clock_anew(self) -> None:
        record = waiting(workload("w", gpus=4))
        state = state_of(self.of(), record)
        _, memory = steps(state, 0.0, 50.0)
        state.apply([msgspec.structs.replace(record, status=Status.HELD)])
        _, memory = steps(state, 55.0, memory=memory)
        state.apply([record])
        assert steps(state, 60.0, 119.0, memory=memory)[0].actions == ()
        assert steps(state, 60.0, 120.0, memory=memory)[0].actions != ()

    def test_never_more_than_the_most(self) -> None:
        wants = [waiting(workload(f"w{i}", gpus=4), seq=i) for i in range(9)]
        decision, _ = steps(state_of(self.of(), *wants), 0.0, 60.0)
        assert decision.actions == (AddNodes(names=("burst-0", "burst-1", "burst-2")),)
        full = [running(workload(f"r{i}", gpus=4), (f"burst-{i}", (0, 1, 2, 3))) for i in range(3)]
        decision, _ = steps(state_of(self.of(*self.burst(0, 1, 2)), *full, *wants), 0.0, 60.0)
        assert decision.actions == ()

    def test_only_what_a_gang_lacks_is_added(self) -> None:
        gang = waiting(workload("gang", gpus=4, nodes=3))
        decision, _ = steps(state_of(self.of(*self.burst(0, 1)), gang), 0.0, 60.0)
        assert decision.actions == (AddNodes(names=("burst-2",)),)

    @pytest.mark.parametrize("hopeless", [{"gpus": 5}, {"gpus": 4, "nodes": 4}, {"cpus": 99}])
    def test_nothing_is_added_for_what_it_would_not_help(self, hopeless: dict[str, Any]) -> None:
        decision, _ = steps(state_of(self.of(), waiting(workload("w", **hopeless))), 0.0, 60.0)
        assert decision.actions == ()

    def test_for_an_alternative_too(self) -> None:
        wants = waiting(workload("w", gpus=4, model=["H100", "A100-80GB"]))
        decision, _ = steps(state_of(self.of(), wants), 0.0, 60.0)
        assert decision.actions == (AddNodes(names=("burst-0",)),)

    def test_an_empty_node_is_removed_after_so_long(self) -> None:
        state = state_of(self.of(*self.burst(0)))
        assert steps(state, 0.0, 599.999)[0].actions == ()
        assert steps(state, 0.0, 600.0)[0].actions == (RemoveNode(name="burst-0"),)

    def test_a_node_that_is_used_is_never_removed_and_neither_is_a_declared_one(self) -> None:
        state = state_of(self.of(*self.burst(0)), running(workload("w", gpus=1), ("burst-0", (0,))))
        assert steps(state, 0.0, 9e6)[0].actions == ()
        assert steps(state_of(self.of()), 0.0, 9e6)[0].actions == ()

    def test_what_runs_on_it_stops_the_clock(self) -> None:
        state = state_of(self.of(*self.burst(0)))
        _, memory = steps(state, 0.0, 500.0)
        record = running(workload("w", gpus=1), ("burst-0", (0,)))
        state.apply([record])
        _, memory = steps(state, 510.0, memory=memory)
        state.apply([succeeded(workload("w"))])
        assert steps(state, 520.0, 1119.0, memory=memory)[0].actions == ()
        assert steps(state, 520.0, 1120.0, memory=memory)[0].actions == (RemoveNode(name="burst-0"),)

    def test_a_node_on_which_something_is_placed_in_this_very_step_is_kept(self) -> None:
        state = state_of(self.of(*self.burst(0)))
        _, memory = steps(state, 0.0, 599.0)
        state.apply([waiting(workload("w", gpus=1))])
        decision, _ = steps(state, 600.0, memory=memory)
        assert placed(decision) == {"w": ("burst-0",)}
        assert len(decision.actions) == 1

    def test_a_node_that_is_kept_for_what_is_moving_there_is_kept(self) -> None:
        of = fleet(node("hot", cpus=2), *self.burst(0), scaling=self.SCALING)
        state = state_of(of, work("w", "hot"), load={"hot": 0.95, "burst-0": 0.0})
        _, memory = steps(state, 0.0, 570.0)
        moving = happened(work("w", "hot"), ev.StopBegun(key="w", number=1, cause=EndCause.REBALANCED))
        state.apply([moving])
        decision, memory = steps(state, 600.0, 700.0, memory=memory)
        assert "w" in memory.reservations
        assert decision.actions == ()
        assert memory.empty_since_s == {}

    def test_what_can_never_fit_does_not_keep_empty_nodes(self) -> None:
        never = waiting(workload("never", gpus=5))
        decision, _ = steps(state_of(self.of(*self.burst(0)), never), 0.0, 600.0)
        assert decision.actions == (RemoveNode(name="burst-0"),)

    def test_a_shortage_keeps_empty_nodes(self) -> None:
        gang = waiting(workload("gang", gpus=4, nodes=3))
        decision, _ = steps(state_of(self.of(*self.burst(0, 1)), gang), 0.0, 30.0, 600.0)
        assert not any(isinstance(action, RemoveNode) for action in decision.actions)
