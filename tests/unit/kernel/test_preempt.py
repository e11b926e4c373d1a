"""Whom preemption ends, whom it never ends, and that what was vacated goes to whom it was vacated for."""

import msgspec
import pytest
from tests.building import (
    decide,
    fleet,
    node,
    nodes,
    placed,
    running,
    state_of,
    stopped,
    token,
    waiting,
    workload,
)
from tests.cluster import Cluster

from suanli.domain.decision import Memory
from suanli.domain.fleet import Fleet
from suanli.domain.record import Record, Status
from suanli.domain.workload import EndCause

ONE = fleet(node(gpus=4))


def victim(name: str, *devices: int, unsaved_s: float = 600.0, on: str = "n0", **more) -> Record:
    more.setdefault("priority", 20)
    return running(
        workload(name, gpus=len(devices), cpus=0, **more), (on, devices), unsaved_s=unsaved_s, seq=len(name)
    )


def urgent(gpus: float = 4, **more) -> Record:
    more.setdefault("priority", 80)
    return waiting(workload("urgent", gpus=gpus, cpus=0, **more), seq=99)


def ended(of: Fleet, *records: Record, policy: str = "priority+best-fit") -> set[str]:
    decision, memory = decide(state_of(of, *records), policy)
    assert set(stopped(decision).values()) <= {"urgent"}
    assert bool(stopped(decision)) == ("urgent" in memory.reservations)
    return set(stopped(decision))


class TestWhom:
    def test_work_of_lower_priority_is_ended_with_notice_and_the_other_waits_for_its_room(self) -> None:
        decision, memory = decide(state_of(ONE, victim("a", 0, 1, 2, 3, unsaved_s=60.0), urgent()))
        (stop,) = decision.actions
        assert (stop.key, stop.cause, stop.stopped_for, stop.lost_s) == (  # type: ignore[union-attr]
            "a",
            EndCause.PREEMPTED,
            "urgent",
            60.0,
        )
        why = decision.reason_for("urgent")
        assert why is not None
        assert (why.token, why.evidence["stopping"], why.evidence["reserved_on"]) == (
            "ResourcesBusy",
            ("a",),
            ("n0",),
        )
        assert memory.reservations["urgent"].placements[0].node == "n0"

    @pytest.mark.parametrize("priority", [80, 81, 100])
    def test_equal_or_higher_priority_is_never_ended(self, priority: int) -> None:
        assert ended(ONE, victim("a", 0, 1, 2, 3, priority=priority), urgent()) == set()

    def test_what_is_not_preemptible_is_never_ended(self) -> None:
        assert ended(ONE, victim("a", 0, 1, 2, 3, preemptible=False), urgent()) == set()

    def test_nobody_is_ended_where_that_would_not_be_enough(self) -> None:
        held = victim("held", 3, preemptible=False)
        assert ended(ONE, victim("a", 0, 1, 2), held, urgent(4)) == set()
        assert ended(ONE, victim("a", 0, 1, 2), held, urgent(3)) == {"a"}

    def test_nobody_is_ended_on_a_node_that_cannot_be_used(self) -> None:
        state = state_of(ONE, victim("a", 0, 1, 2, 3), urgent(), unusable={"n0": "cordoned"})
        assert stopped(decide(state)[0]) == {}

    def test_nobody_is_ended_where_there_is_room_without(self) -> None:
        of = fleet(node(gpus=4), node("n1", gpus=4))
        assert ended(of, victim("a", 0, 1, 2, 3), urgent()) == set()

    def test_the_least_lost_work_is_ended(self) -> None:
        of = fleet(*nodes(3, gpus=4))
        records = [
            victim("a", 0, 1, 2, 3, unsaved_s=300.0),
            victim("b", 0, 1, 2, 3, unsaved_s=100.0, on="n1"),
            victim("c", 0, 1, 2, 3, unsaved_s=200.0, on="n2"),
        ]
        assert ended(of, *records, urgent()) == {"b"}

    def test_lost_work_counts_the_devices_that_it_was_done_on(self) -> None:
        """400 s on one device are less than 200 s on four."""
        of = fleet(*nodes(2, gpus=4))
        one, four = victim("one", 0, unsaved_s=400.0), victim("four", 0, 1, 2, 3, unsaved_s=200.0, on="n1")
        kept = victim("kept", 1, 2, 3, preemptible=False)
        assert ended(of, one, four, kept, urgent(1)) == {"one"}

    def test_one_large_victim_is_better_than_two_that_lose_more(self) -> None:
        """Taking the cheapest first would end a and b, who lose 3 together; c loses 2.5."""
        of = fleet(node(cpus=4))
        records = [
            running(workload(name, cpus=cpus, priority=20), "n0", unsaved_s=lost / cpus)
            for name, cpus, lost in (("a", 1, 1.0), ("b", 1, 2.0), ("c", 2, 2.5))
        ]
        wants = waiting(workload("urgent", cpus=2, priority=80), seq=9)
        assert ended(of, *records, wants) == {"c"}

    def test_several_small_ones_are_better_than_a_large_one_that_loses_more(self) -> None:
        of = fleet(node(gpus=4))
        small = [victim(f"s{d}", d, unsaved_s=10.0) for d in (0, 1)]
        large = victim("large", 2, 3, unsaved_s=500.0)
        assert ended(of, *small, large, urgent(2)) == {"s0", "s1"}

    def test_whoever_turns_out_not_to_be_needed_is_spared(self) -> None:
        """d is the cheapest, but what is asked needs the other three devices' room in any case."""
        of = fleet(node(cpus=8))
        small = running(workload("small", cpus=1, priority=20), "n0", unsaved_s=1.0)
        large = running(workload("large", cpus=6, priority=20), "n0", unsaved_s=100.0)
        wants = waiting(workload("urgent", cpus=6, priority=80), seq=9)
        assert ended(of, small, large, wants) == {"large"}

    def test_a_gang_that_dies_for_one_node_frees_its_others_too_so_that_nobody_dies_there_in_vain(
        self,
    ) -> None:
        of = fleet(*nodes(2, gpus=2))
        gang = running(
            workload("gang", gpus=1, cpus=0, nodes=2, priority=20),
            ("n0", (0,)),
            ("n1", (0,)),
            unsaved_s=100.0,
        )
        kept = victim("kept", 1, preemptible=False)
        cheap = victim("cheap", 1, on="n1", unsaved_s=1.0)
        assert ended(of, gang, kept, cheap, urgent(1, nodes=2)) == {"gang"}

    def test_no_more_is_cleared_than_elastic_work_needs_at_all(self) -> None:
        of = fleet(*nodes(3, gpus=4))
        records = [victim(f"v{i}", 0, 1, 2, 3, on=f"n{i}", unsaved_s=100.0 - i) for i in range(3)]
        assert ended(of, *records, urgent(elastic_nodes=(1, 3))) == {"v2"}

    def test_of_the_alternatives_the_one_that_loses_less_is_cleared(self) -> None:
        of = fleet(node("h", gpus=1, model="H100"), node("a", gpus=1))
        dear = running(workload("dear", gpus=1, model="H100", priority=20), ("h", (0,)), unsaved_s=900.0)
        cheap = running(workload("cheap", gpus=1, priority=20), ("a", (0,)), unsaved_s=10.0)
        assert ended(of, dear, cheap, urgent(1, model=["H100", "A100-80GB"])) == {"cheap"}

    def test_of_equal_losses_the_lower_priority_is_ended(self) -> None:
        of = fleet(*nodes(2, gpus=4))
        records = [
            victim("higher", 0, 1, 2, 3, priority=40),
            victim("lower", 0, 1, 2, 3, priority=10, on="n1"),
        ]
        assert ended(of, *records, urgent()) == {"lower"}

    def test_what_has_not_started_yet_loses_nothing(self) -> None:
        of = fleet(*nodes(2, gpus=4))
        starting = running(
            workload("starting", gpus=4, cpus=0, priority=20), ("n1", (0, 1, 2, 3)), status=Status.STARTING
        )
        assert ended(of, victim("a", 0, 1, 2, 3, unsaved_s=1.0), starting, urgent()) == {"starting"}

    def test_a_share_is_made_room_for_on_one_device(self) -> None:
        of = fleet(node(gpus=1))
        shares = [
            running(workload(f"s{i}", gpus=0.25, cpus=0, priority=20), ("n0", (0,)), unsaved_s=10.0 + i)
            for i in range(4)
        ]
        assert ended(of, *shares, urgent(0.5)) == {"s0", "s1"}

    def test_nobody_is_ended_twice_for_two(self) -> None:
        of = fleet(*nodes(2, gpus=4))
        records = [victim(f"v{i}", 0, 1, 2, 3, on=f"n{i}") for i in range(2)]
        both = [waiting(workload(f"u{i}", gpus=4, cpus=0, priority=80), seq=50 + i) for i in range(3)]
        decision, memory = decide(state_of(of, *records, *both))
        assert stopped(decision) == {"v0": "u0", "v1": "u1"}
        assert set(memory.reservations) == {"u0", "u1"}
        assert token(decision, "u2") == "ResourcesBusy"


class TestManySearches:
    def test_a_head_of_the_queue_that_cannot_be_helped_does_not_use_up_the_searches(self) -> None:
        """Twenty shapes that no preemption can place, then one that it can."""
        of = fleet(node("big", cpus=64, gpus=8), node("small", cpus=4))
        kept = running(workload("kept", cpus=40, priority=100), "big")
        low = running(workload("low", cpus=4, priority=10), "small")
        hopeless = [waiting(workload(f"h{i}", cpus=30 + i, priority=90), seq=10 + i) for i in range(20)]
        helped = waiting(workload("helped", cpus=4 - 0.5, memory_bytes=1, priority=50), seq=99)
        full = running(workload("full", cpus=24, priority=100), "big")
        decision, _ = decide(state_of(of, kept, low, full, *hopeless, helped))
        assert stopped(decision) == {"low": "helped"}

    def test_what_is_not_searched_for_in_one_step_is_in_the_next(self) -> None:
        of = fleet(*nodes(40, gpus=1))
        cluster = Cluster(of)
        cluster.submit(*(workload(f"low{i}", gpus=1, cpus=0, priority=10, duration_s=9e9) for i in range(40)))
        cluster.run(2)
        cluster.submit(
            *(workload(f"high{i}", gpus=1, cpus=0, memory_bytes=i, priority=90) for i in range(40))
        )
        per_step: list[int] = []
        for _ in range(4):
            cluster.tick()
            per_step.append(len(stopped(cluster.decision)))
        assert per_step == [16, 16, 8, 0]


class TestReservations:
    def cluster(self) -> Cluster:
        cluster = Cluster(fleet(node(gpus=4)))
        cluster.submit(workload("low", gpus=4, cpus=0, priority=20, duration_s=500.0, grace_s=10.0))
        cluster.run(5)
        cluster.submit(workload("high", gpus=4, cpus=0, priority=80, duration_s=50.0))
        cluster.tick()
        assert cluster.status("low") is Status.STOPPING
        return cluster

    def test_what_was_vacated_is_given_to_whom_it_was_vacated_for_and_the_victim_resumes(self) -> None:
        cluster = self.cluster()
        cluster.run(80)
        assert [key for _, key in cluster.starts] == ["low", "high", "low"]
        assert cluster.status("high") is Status.SUCCEEDED
        assert cluster.record("low").preemptions == 1

    def test_nobody_of_lower_priority_takes_it_in_between(self) -> None:
        cluster = self.cluster()
        cluster.submit(workload("thief", gpus=1, cpus=0, priority=79, duration_s=1000.0))
        while cluster.status("high") is Status.WAITING:
            cluster.tick()
            assert cluster.status("thief") is Status.WAITING
            assert token(cluster.decision, "thief") in (
                "ResourcesBusy",
                "ReservedFor",
                "BehindHigherPriority",
            )
        assert cluster.status("high") is Status.STARTING

    def test_a_part_that_is_vacated_early_is_reserved_too_and_says_so(self) -> None:
        of = fleet(*nodes(2, gpus=2))
        quick = victim("quick", 0, 1)
        slow = victim("slow", 0, 1, on="n1")
        gang = waiting(workload("gang", gpus=2, cpus=0, nodes=2, priority=80), seq=50)
        decision, memory = decide(state_of(of, quick, slow, gang))
        assert set(stopped(decision)) == {"quick", "slow"}
        stopping = running(slow.workload, ("n1", (0, 1)), status=Status.STOPPING)
        small = waiting(workload("small", gpus=1, cpus=0, priority=50), seq=60)
        gone = msgspec.structs.replace(quick, status=Status.STOPPED, attempt=None)
        decision, memory = decide(state_of(of, gone, stopping, gang, small), memory=memory)
        assert placed(decision) == {}
        why = decision.reason_for("small")
        assert why is not None
        assert (why.token, why.evidence["reserved_for"]) == ("ReservedFor", ("gang",))
        assert set(memory.reservations) == {"gang"}

    @pytest.mark.parametrize("how", ["stopped", "held"])
    def test_a_preemptor_that_goes_away_leaves_the_room_to_others(self, how: str) -> None:
        cluster = self.cluster()
        cluster.submit(workload("other", gpus=4, cpus=0, priority=10, duration_s=5.0))
        if how == "stopped":
            cluster.request_stop("high")
        else:
            held = msgspec.structs.replace(cluster.record("high"), status=Status.HELD)
            cluster.state.apply([held])
        cluster.tick()
        assert cluster.memory.reservations.keys() <= {"low", "other"}
        cluster.run(15)
        assert cluster.status("high") is not Status.RUNNING
        assert "low" in [key for _, key in cluster.starts[1:]] or "other" in [k for _, k in cluster.starts]

    def test_a_preemptor_that_may_no_longer_start_leaves_the_room_to_others(self) -> None:
        cluster = self.cluster()
        waits = msgspec.structs.replace(
            cluster.record("high"),
            workload=msgspec.structs.replace(cluster.record("high").workload, after=("never",)),
        )
        cluster.state.apply([waits])
        cluster.tick()
        assert "high" not in cluster.memory.reservations
        assert token(cluster.decision, "high") == "DependsOn"

    def test_a_new_submission_of_the_same_name_does_not_inherit_room_of_another_size(self) -> None:
        cluster = self.cluster()
        cluster.request_stop("high")
        cluster.submit(workload("high", gpus=2, cpus=0, priority=80, duration_s=50.0))
        cluster.run(15)
        attempt = cluster.record("high").attempt
        assert attempt is not None
        assert len(attempt.placements[0].share.devices) == 2

    def test_room_elsewhere_is_taken_at_once(self) -> None:
        """Its victim clings to life; meanwhile another node has become free."""
        of = fleet(*nodes(2, gpus=4))
        stuck = victim("stuck", 0, 1, 2, 3)
        busy = victim("busy", 0, 1, 2, 3, on="n1", priority=90)
        decision, memory = decide(state_of(of, stuck, busy, urgent()))
        assert stopped(decision) == {"stuck": "urgent"}
        stopping = running(stuck.workload, ("n0", (0, 1, 2, 3)), status=Status.STOPPING)
        decision, memory = decide(state_of(of, stopping, urgent()), memory=memory)
        assert placed(decision) == {"urgent": ("n1",)}
        assert memory.reservations == {}

    def test_a_reserved_node_that_cannot_be_used_any_more_is_given_up(self) -> None:
        _, memory = decide(state_of(ONE, victim("a", 0, 1, 2, 3), urgent()))
        stopping = running(workload("a", gpus=4, cpus=0), ("n0", (0, 1, 2, 3)), status=Status.STOPPING)
        decision, after = decide(state_of(ONE, stopping, urgent(), unusable={"n0": "down"}), memory=memory)
        assert after.reservations == {}
        assert token(decision, "urgent") == "NodeUnhealthy"

    def test_of_reservations_that_cannot_all_be_had_any_more_some_are_given_up(self) -> None:
        """The node came back with half its devices: two halves of four do not fit, and neither may block the other."""
        wide = fleet(node(gpus=4))
        records = [victim("a", 0, 1), victim("bb", 2, 3)]
        wants = [waiting(workload(f"u{i}", gpus=2, cpus=0, priority=80), seq=50 + i) for i in range(2)]
        _, memory = decide(state_of(wide, *records, *wants))
        assert len(memory.reservations) == 2
        moved = {
            k: msgspec.structs.replace(r, placements=memory.reservations["u0"].placements)
            for k, r in memory.reservations.items()
        }
        memory = Memory(reservations=moved)
        decision, after = decide(state_of(fleet(node(gpus=2)), *wants), memory=memory)
        assert list(placed(decision)) == ["u0"]
        assert after.reservations == {}

    def test_room_that_is_being_vacated_anyway_is_used_before_anybody_else_is_ended(self) -> None:
        of = fleet(*nodes(2, gpus=4))
        leaving = running(
            workload("leaving", gpus=4, cpus=0, priority=90), ("n0", (0, 1, 2, 3)), status=Status.STOPPING
        )
        other = victim("other", 0, 1, 2, 3, on="n1", unsaved_s=0.0)
        decision, memory = decide(state_of(of, leaving, other, urgent()))
        assert stopped(decision) == {}
        assert memory.reservations["urgent"].placements[0].node == "n0"


class TestNoLivelock:
    def test_a_victim_does_not_preempt_back(self) -> None:
        cluster = Cluster(fleet(node(gpus=1)))
        cluster.submit(workload("low", gpus=1, cpus=0, priority=20, duration_s=300.0, checkpoint_every_s=5.0))
        cluster.run(10)
        cluster.submit(workload("high", gpus=1, cpus=0, priority=80, duration_s=3000.0, grace_s=1.0))
        cluster.run(2000, every_s=10.0)
        assert [key for _, key in cluster.starts] == ["low", "high"]

    @pytest.mark.parametrize(("policy", "preemptions_max"), [("priority", 1), ("fifo", 12)])
    def test_what_waited_its_way_to_the_front_is_not_stopped_by_what_it_overtook(
        self, policy: str, preemptions_max: int
    ) -> None:
        """A steady stream of work of priority 50, and one job of priority 20: after three hours it is left in peace.

        By priority it is not even started before; fifo starts it each time that the machine is free, in vain.
        """
        cluster = Cluster(fleet(node(gpus=1)), policy)
        cluster.submit(
            workload("old", gpus=1, cpus=0, priority=20, duration_s=3600.0, checkpoint_every_s=60.0)
        )
        for i in range(20):
            cluster.submit(workload(f"new{i}", gpus=1, cpus=0, priority=50, duration_s=900.0, grace_s=5.0))
            cluster.run(900, every_s=30.0)
        assert cluster.status("old") is Status.SUCCEEDED
        assert cluster.record("old").preemptions <= preemptions_max

    def test_once_it_has_waited_long_enough_only_a_higher_standing_ends_it(self) -> None:
        """Priority 20 and four hours of waiting stand at 60."""
        record = victim("old", 0, 1, 2, 3, priority=20)
        waited = msgspec.structs.replace(record, wait_s=4 * 3600.0)
        assert ended(ONE, waited, urgent(priority=59)) == set()
        assert ended(ONE, waited, urgent(priority=60)) == set()
        assert ended(ONE, waited, urgent(priority=61)) == {"old"}

    def test_waiting_gives_no_right_to_end_others(self) -> None:
        record = msgspec.structs.replace(urgent(priority=20), waiting_since_s=0.0, submitted_s=0.0)
        assert ended(ONE, victim("a", 0, 1, 2, 3, priority=20), record) == set()
