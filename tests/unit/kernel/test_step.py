"""Admission, order, gangs, quotas: what a step starts."""

import msgspec
import pytest
from tests.building import (
    NOW_S,
    decide,
    fleet,
    node,
    nodes,
    placed,
    running,
    state_of,
    stopped,
    succeeded,
    token,
    waiting,
    workload,
)

from suanli.domain.decision import Memory
from suanli.domain.fleet import Team
from suanli.domain.record import Status
from suanli.domain.workload import Kind
from suanli.kernel.invariants import violations

H100 = "H100"


def test_a_gang_starts_whole_on_distinct_nodes_or_not_at_all() -> None:
    of = fleet(*nodes(3, gpus=8))
    state = state_of(of, waiting(workload("gang", nodes=3, gpus=2)))
    assert placed(decide(state)[0]) == {"gang": ("n0", "n1", "n2")}
    state = state_of(of, waiting(workload("gang", nodes=4, gpus=2)))
    assert placed(decide(state)[0]) == {}


def test_what_does_not_fit_lets_what_does_go_past() -> None:
    of = fleet(node(gpus=4))
    large = waiting(workload("large", gpus=5, priority=90), seq=1)
    small = waiting(workload("small", gpus=4, priority=10), seq=2)
    assert placed(decide(state_of(of, large, small))[0]) == {"small": ("n0",)}


def test_any_of_the_alternatives_will_do_and_the_first_that_fits_is_taken() -> None:
    of = fleet(node("a", gpus=4), node("h", gpus=4, model=H100))
    either = waiting(workload("either", gpus=4, model=[H100, "A100-80GB"]), seq=2)
    decision, _ = decide(state_of(of, either))
    assert placed(decision) == {"either": ("h",)}
    held = running(workload("held", gpus=1, model=H100), ("h", (0,)))
    decision, _ = decide(state_of(of, held, either))
    assert placed(decision) == {"either": ("a",)}


def test_elastic_work_gets_as_many_nodes_as_there_are_and_more_nodes_go_before_a_better_accelerator() -> None:
    of = fleet(node("h", gpus=1, model=H100), *nodes(3, gpus=1))
    elastic = workload("elastic", gpus=1, model=[H100, "A100-80GB"], nodes=1, elastic_nodes=(1, 5))
    decision, _ = decide(state_of(of, waiting(elastic)))
    assert placed(decision) == {"elastic": ("n0", "n1", "n2")}


def test_an_elastic_range_without_end_costs_no_more_than_a_short_one() -> None:
    of = fleet(*nodes(2, gpus=1))
    elastic = workload("elastic", gpus=1, elastic_nodes=(1, 100_000))
    assert placed(decide(state_of(of, waiting(elastic)))[0]) == {"elastic": ("n0", "n1")}


@pytest.mark.parametrize("why", ["cordoned", "draining", "down", "not seen yet"])
def test_nothing_is_placed_on_a_node_that_cannot_be_used(why: str) -> None:
    state = state_of(fleet(*nodes(2)), waiting(workload("w")), unusable={"n0": why})
    assert placed(decide(state)[0]) == {"w": ("n1",)}


def test_labels_and_places_narrow_the_choice() -> None:
    of = fleet(
        node("a", zone="east"), node("b", zone="west", labels={"disk": "nvme"}), node("c", zone="west")
    )
    wants = waiting(workload("w", node_labels={"zone": "west", "disk": "nvme"}))
    assert placed(decide(state_of(of, wants))[0]) == {"w": ("b",)}
    assert placed(decide(state_of(of, waiting(workload("w", node_labels={"name": "c"}))))[0]) == {"w": ("c",)}


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (waiting(workload("w", held=True)), "Held"),
        (waiting(workload("w", after=("x",))), "DependsOn"),
        (waiting(workload("w", model_from="x")), "DependsOn"),
        (waiting(workload("w", not_before_s=NOW_S + 1)), "BeforeStartTime"),
        (waiting(workload("w"), not_before_s=NOW_S + 1), "BeforeStartTime"),
    ],
)
def test_what_may_not_start_is_not_started_on_an_empty_fleet(record, expected: str) -> None:
    decision, _ = decide(state_of(fleet(node()), record))
    assert placed(decision) == {}
    assert token(decision, "w") == expected


@pytest.mark.parametrize(
    ("dependency", "helps"),
    [("running", True), ("waiting", True), ("failed", False), ("stopped", False), ("none", True)],
)
def test_a_dependency_holds_until_it_has_succeeded_and_hopeless_ones_are_told(
    dependency: str, helps: bool
) -> None:
    others = {
        "running": [running(workload("x"), "n0")],
        "waiting": [waiting(workload("x", held=True))],
        "failed": [msgspec.structs.replace(succeeded(workload("x")), status=Status.FAILED)],
        "stopped": [msgspec.structs.replace(succeeded(workload("x")), status=Status.STOPPED)],
        "none": [],
    }[dependency]
    after = waiting(workload("w", after=("x",)), seq=2)
    decision, _ = decide(state_of(fleet(node()), *others, after))
    assert token(decision, "w") == "DependsOn"
    assert decision.reason_for("w").will_waiting_help is helps  # type: ignore[union-attr]
    done, _ = decide(state_of(fleet(node()), succeeded(workload("x")), after))
    assert placed(done) == {"w": ("n0",)}


def test_a_start_time_that_has_come_holds_nothing() -> None:
    record = waiting(workload("w", not_before_s=NOW_S), not_before_s=NOW_S)
    assert placed(decide(state_of(fleet(node()), record))[0]) == {"w": ("n0",)}


def test_attempts_are_numbered_on() -> None:
    decision, _ = decide(state_of(fleet(node()), waiting(workload("w"), attempts_made=4)))
    assert decision.actions[0].number == 5  # type: ignore[union-attr]


class TestQuota:
    @staticmethod
    def of(**quota: float):
        return fleet(*nodes(4, gpus=4), teams=(Team(name="nlp", quota=quota),))

    def test_a_team_never_holds_more_than_its_quota(self) -> None:
        wants = [waiting(workload(f"w{i}", gpus=2, team="nlp"), seq=i) for i in range(4)]
        decision, _ = decide(state_of(self.of(**{"A100-80GB": 5}), *wants))
        assert list(placed(decision)) == ["w0", "w1"]
        assert token(decision, "w2") == "QuotaUsed"

    def test_what_it_holds_already_counts(self) -> None:
        held = running(workload("held", cpus=3, team="nlp"), "n0")
        wants = waiting(workload("w", cpus=2, team="nlp"), seq=2)
        assert token(decide(state_of(self.of(cpus=4), held, wants))[0], "w") == "QuotaUsed"
        assert placed(decide(state_of(self.of(cpus=5), held, wants))[0]) == {"w": ("n0",)}

    def test_other_teams_are_not_held_back_by_it(self) -> None:
        mine = waiting(workload("mine", gpus=4, team="nlp"), seq=1)
        yours = waiting(workload("yours", gpus=4, team="vision"), seq=2)
        decision, _ = decide(state_of(self.of(**{"A100-80GB": 2}), mine, yours))
        assert placed(decision) == {"yours": ("n0",)}
        assert token(decision, "mine") == "ExceedsQuota"

    def test_an_alternative_that_the_quota_does_not_allow_is_not_taken(self) -> None:
        of = fleet(
            node("h", gpus=4, model=H100), node("a", gpus=4), teams=(Team(name="nlp", quota={H100: 1}),)
        )
        either = workload("w", gpus=2, model=[H100, "A100-80GB"], team="nlp")
        assert placed(decide(state_of(of, waiting(either)))[0]) == {"w": ("a",)}

    def test_elastic_work_gets_no_more_nodes_than_the_quota_allows(self) -> None:
        elastic = workload("w", gpus=2, team="nlp", elastic_nodes=(1, 4))
        decision, _ = decide(state_of(self.of(**{"A100-80GB": 5}), waiting(elastic)))
        assert placed(decision) == {"w": ("n0", "n1")}

    def test_rounding_errors_do_not_count(self) -> None:
        wants = [waiting(workload(f"w{i}", cpus=0.1, team="nlp"), seq=i) for i in range(3)]
        assert len(placed(decide(state_of(self.of(cpus=0.3), *wants))[0])) == 3

    def test_memory_counts_and_a_resource_that_is_not_asked_does_not(self) -> None:
        wants = [waiting(workload(f"w{i}", memory_bytes=6, team="nlp"), seq=i) for i in range(2)]
        none = waiting(workload("none", team="nlp"), seq=3)
        decision, _ = decide(state_of(self.of(memory_bytes=10, H100=0), *wants, none))
        assert list(placed(decision)) == ["w0", "none"]

    def test_room_that_is_being_made_counts_for_the_team(self) -> None:
        """Else a colleague could take the quota meanwhile, and what was vacated would stand empty."""
        of = fleet(node("n0", gpus=4), node("n1", gpus=4), teams=(Team(name="nlp", quota={"A100-80GB": 4}),))
        victims = [
            running(workload(f"v{i}", gpus=4, priority=10, team="b"), (f"n{i}", (0, 1, 2, 3)))
            for i in range(2)
        ]
        first = waiting(workload("first", gpus=4, priority=80, team="nlp"), seq=3)
        second = waiting(workload("second", gpus=4, priority=70, team="nlp"), seq=4)
        decision, memory = decide(state_of(of, *victims, first, second))
        assert stopped(decision) == {"v1": "first"} or stopped(decision) == {"v0": "first"}
        assert token(decision, "second") == "QuotaUsed"
        assert set(memory.reservations) == {"first"}


class TestStrangeFleets:
    def test_a_fleet_without_nodes_holds_everything_and_says_why(self) -> None:
        decision, _ = decide(state_of(fleet(), waiting(workload("w")), waiting(workload("g", gpus=1), seq=2)))
        assert (token(decision, "w"), token(decision, "g")) == ("ExceedsFleet", "NoSuchAccelerator")

    def test_an_empty_queue_needs_no_decision(self) -> None:
        decision, memory = decide(state_of(fleet()))
        assert (decision.actions, decision.waiting, memory) == ((), {}, Memory())

    @pytest.mark.parametrize(
        "absurd",
        [
            {"cpus": 1e300},
            {"memory_bytes": 10**300},
            {"gpus": 1e9},
            {"nodes": 100_000},
            {"network_bps": 1e99},
        ],
    )
    def test_absurd_demands_are_refused_like_any_other(self, absurd: dict) -> None:
        decision, _ = decide(state_of(fleet(node(gpus=8)), waiting(workload("w", **absurd))))
        assert token(decision, "w") == "ExceedsFleet"

    def test_a_job_that_asks_for_no_cpu_runs_on_a_node_that_has_none_free(self) -> None:
        full = running(workload("full", cpus=8), "n0")
        light = waiting(workload("light", cpus=0), seq=2)
        assert placed(decide(state_of(fleet(node(cpus=8)), full, light))[0]) == {"light": ("n0",)}

    def test_a_gang_that_asks_for_nothing_still_needs_distinct_nodes(self) -> None:
        gang = waiting(workload("gang", cpus=0, nodes=3))
        decision, _ = decide(state_of(fleet(*nodes(2)), gang))
        assert token(decision, "gang") == "ExceedsFleet"
        assert placed(decide(state_of(fleet(*nodes(3)), gang))[0]) == {"gang": ("n0", "n1", "n2")}

    def test_work_on_a_node_that_has_left_the_fleet_is_no_trouble(self) -> None:
        gone = running(workload("gone", cpus=4), "elsewhere")
        decision, _ = decide(state_of(fleet(node()), gone, waiting(workload("w"), seq=2)))
        assert placed(decision) == {"w": ("n0",)}

    def test_a_node_that_turned_out_smaller_than_what_it_holds_takes_nothing_more(self) -> None:
        state = state_of(fleet(node(gpus=4)), running(workload("w", gpus=4, cpus=6), ("n0", (0, 1, 2, 3))))
        state.set_nodes(fleet(node(gpus=2, cpus=4)), {})
        state.apply([waiting(workload("more", gpus=1), seq=2)])
        decision, _ = decide(state)
        assert placed(decision) == {}
        assert violations(state, decision) == ()
        assert token(decision, "more") == "ResourcesBusy"

    def test_shares_of_one_device_add_up_to_one(self) -> None:
        wants = [waiting(workload(f"w{i}", cpus=0, gpus=0.3), seq=i) for i in range(8)]
        assert len(placed(decide(state_of(fleet(node(gpus=2)), *wants))[0])) == 6


def test_a_service_replica_is_placed_like_any_other_work() -> None:
    chat = workload("chat", kind=Kind.SERVE, cpus=5)
    replicas = [waiting(chat, seq=i, key=f"chat/{i}", replica=i) for i in range(3)]
    assert placed(decide(state_of(fleet(*nodes(2)), *replicas))[0]) == {"chat/0": ("n0",), "chat/1": ("n1",)}
