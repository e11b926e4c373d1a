"""One situation for each reason that can be reached today: its evidence to the number, and the sentence people read."""

from typing import Any

import msgspec
import pytest
from tests.building import (
    GIB,
    NOW_S,
    decide,
    fleet,
    node,
    nodes,
    running,
    state_of,
    succeeded,
    waiting,
    workload,
)

from suanli.domain.fleet import NodeScaling, Team
from suanli.domain.reasons import Reason, ReasonCode
from suanli.domain.record import Status
from suanli.domain.workload import Kind
from suanli.kernel.state import State
from suanli.reports.sentences import sentence

QUOTA = (Team(name="nlp", quota={"A100-80GB": 4}),)


def why(state: State, key: str = "w", memory: Any = None) -> Reason:
    decision, _ = decide(state, memory=memory)
    found = decision.reason_for(key)
    assert found is not None, f"{key} has no reason; {decision.actions}"
    return found


def held(name: str, on: str, *devices: int, **more: Any):
    return running(workload(name, gpus=len(devices), cpus=0, **more), (on, devices))


SITUATIONS: dict[str, tuple[State, dict[str, Any], str, tuple[bool, bool]]] = {
    "Held": (
        state_of(fleet(node()), waiting(workload("w", held=True))),
        {"by": "its owner"},
        "held by its owner; release it with `suanli release`",
        (False, False),
    ),
    "DependsOn": (
        state_of(fleet(node()), waiting(workload("w", after=("x", "gone"))), running(workload("x"), "n0")),
        {"on": "x", "state": "running"},
        "waits for x to succeed; it is running now",
        (True, False),
    ),
    "DependsOn, of nobody": (
        state_of(fleet(node()), waiting(workload("w", after=("x",)))),
        {"on": "x", "state": "not submitted"},
        "waits for x, which has not been submitted",
        (True, False),
    ),
    "BeforeStartTime": (
        state_of(fleet(node()), waiting(workload("w", not_before_s=NOW_S + 90))),
        {"starts_s": NOW_S + 90, "wait_s": 90.0, "because": "declared"},
        "its declared start is in 1m30s",
        (True, False),
    ),
    "BeforeStartTime, for a retry": (
        state_of(fleet(node()), waiting(workload("w"), not_before_s=NOW_S + 5)),
        {"starts_s": NOW_S + 5, "wait_s": 5.0, "because": "retry"},
        "it is tried again in 5s",
        (True, False),
    ),
    "NoSuchAccelerator": (
        state_of(fleet(*nodes(2, gpus=8)), waiting(workload("w", gpus=4, model="H100"))),
        {"asked": "H100", "asked_count": 4, "in_fleet": ("A100-80GB",)},
        "asks for 4 H100 per node; the fleet has A100-80GB",
        (False, False),
    ),
    "ExceedsFleet, one node": (
        state_of(fleet(*nodes(2, gpus=8)), waiting(workload("w", gpus=9))),
        {
            "asked": 9,
            "nodes": 1,
            "nodes_with_enough": 0,
            "largest_node_has": 8.0,
            "nodes_in_fleet": 2,
        },
        "asks for 9 A100-80GB on one node; the largest has 8 A100-80GB",
        (False, False),
    ),
    "ExceedsFleet, too many nodes": (
        state_of(fleet(*nodes(2)), waiting(workload("w", nodes=3))),
        {"asked": 1.0, "nodes": 3, "nodes_with_enough": 2, "largest_node_has": 8.0, "nodes_in_fleet": 2},
        "asks for 3 nodes; the fleet has 2",
        (False, False),
    ),
    "ExceedsFleet, too few large ones": (
        state_of(
            fleet(node(), node("big", memory_bytes=256 * GIB)),
            waiting(workload("w", memory_bytes=100 * GIB, nodes=2)),
        ),
        {
            "asked": 100.0 * GIB,
            "nodes": 2,
            "nodes_with_enough": 1,
            "largest_node_has": 256.0 * GIB,
            "nodes_in_fleet": 2,
        },
        "asks for 100GiB of memory on 2 nodes; only 1 have that much",
        (False, False),
    ),
    "ExceedsQuota": (
        state_of(fleet(*nodes(2, gpus=8), teams=QUOTA), waiting(workload("w", gpus=8, team="nlp"))),
        {"team": "nlp", "asked": 8, "limit": 4},
        "asks for 8 A100-80GB; team nlp may hold 4 A100-80GB",
        (False, False),
    ),
    "ConstraintUnsatisfiable": (
        state_of(
            fleet(node("a", cpus=64, zone="east"), node("b", gpus=8, zone="west")),
            waiting(workload("w", cpus=2, gpus=1, node_labels={"zone": "east"})),
        ),
        {"nodes": 1, "nodes_with_all": 0, "together": ("A100-80GB", "zone=east")},
        "no 1 node(s) have all of A100-80GB, zone=east together",
        (False, False),
    ),
    "ConstraintUnsatisfiable, a label alone": (
        state_of(fleet(node()), waiting(workload("w", node_labels={"disk": "nvme"}))),
        {"nodes": 1, "nodes_with_all": 0, "together": ("disk=nvme",)},
        "no 1 node(s) have all of disk=nvme together",
        (False, False),
    ),
    "QuotaUsed": (
        state_of(
            fleet(*nodes(2, gpus=8), teams=QUOTA),
            held("x", "n0", 0, 1, 2, team="nlp"),
            waiting(workload("w", gpus=2, team="nlp"), seq=2),
        ),
        {"team": "nlp", "asked": 2, "used": 3.0, "limit": 4, "holders": ("x",)},
        "team nlp holds 3 A100-80GB of its 4 A100-80GB; this asks for 2 A100-80GB more",
        (True, False),
    ),
    "ResourcesBusy": (
        state_of(
            fleet(*nodes(2, gpus=4)),
            held("x", "n0", 0, 1, 2),
            held("y", "n1", 0, 1, 2, 3),
            waiting(workload("w", gpus=2), seq=3),
        ),
        {
            "asked": 2,
            "nodes": 1,
            "nodes_with_enough": 0,
            "free": 1.0,
            "largest_free": 1.0,
            "held_by": ("y", "x"),
        },
        "needs 2 A100-80GB; the best node has 1 A100-80GB free (held by y, x)",
        (True, True),
    ),
    "ResourcesBusy, of CPU beside free accelerators": (
        state_of(
            fleet(node("gpu", cpus=8, gpus=4), node("cpu", cpus=64)),
            running(workload("x", cpus=7), "gpu"),
            running(workload("y", cpus=60, priority=100), "cpu"),
            waiting(workload("w", cpus=4, gpus=1), seq=3),
        ),
        {
            "asked": 4.0,
            "nodes": 1,
            "nodes_with_enough": 0,
            "free": 1.0,
            "largest_free": 1.0,
            "held_by": ("x",),
        },
        "needs 4 cpus; the best node has 1 cpu free (held by x)",
        (True, True),
    ),
    "ResourcesBusy, where its labels allow": (
        state_of(
            fleet(node("a", zone="east"), node("b", zone="west")),
            running(workload("x", cpus=8, preemptible=False), "a"),
            waiting(workload("w", cpus=2, node_labels={"zone": "east"}), seq=3),
        ),
        {
            "asked": 2.0,
            "nodes": 1,
            "nodes_with_enough": 0,
            "free": 0.0,
            "largest_free": 0.0,
            "held_by": ("x",),
        },
        "needs 2 cpus; the best node has 0 cpus free (held by x)",
        (True, False),
    ),
    "Fragmented": (
        state_of(
            fleet(*nodes(3, gpus=4)),
            *(held(f"x{i}", f"n{i}", *range(2 + i % 2)) for i in range(3)),
            waiting(workload("w", gpus=4), seq=3),
        ),
        {"asked": 4, "nodes": 1, "nodes_with_enough": 0, "free": 5.0, "largest_free": 2.0},
        (
            "needs 4 A100-80GB on 1 node(s); 5 A100-80GB is free in all, but only 0 node(s) have enough together "
            "(largest free: 2 A100-80GB)"
        ),
        (True, True),
    ),
    "Fragmented, a gang": (
        state_of(
            fleet(*nodes(3, cpus=8)),
            *(running(workload(f"x{i}", cpus=5, priority=100), f"n{i}") for i in (1, 2)),
            waiting(workload("w", cpus=5, nodes=2), seq=3),
        ),
        {"asked": 5.0, "nodes": 2, "nodes_with_enough": 1, "free": 14.0, "largest_free": 8.0},
        (
            "needs 5 cpus on 2 node(s); 14 cpus is free in all, but only 1 node(s) have enough together "
            "(largest free: 8 cpus)"
        ),
        (True, False),
    ),
    "Fragmented, of parts of devices": (
        state_of(
            fleet(node(gpus=2)),
            *(running(workload(f"x{d}", cpus=0, gpus=0.5), ("n0", (d,))) for d in (0, 1)),
            waiting(workload("w", gpus=1), seq=3),
        ),
        {"asked": 1, "nodes": 1, "nodes_with_enough": 0, "free": 1.0, "largest_free": 0.0},
        (
            "needs 1 A100-80GB on 1 node(s); 1 A100-80GB is free in all, but only 0 node(s) have enough together "
            "(largest free: 0 A100-80GB)"
        ),
        (True, True),
    ),
    "BehindHigherPriority": (
        state_of(
            fleet(node("a", gpus=4), node("c", cpus=64)),
            waiting(workload("elsewhere", cpus=64, priority=99), seq=1),
            waiting(workload("first", gpus=4, priority=80), seq=2),
            waiting(workload("w", gpus=1, priority=50), seq=3),
            waiting(workload("after", cpus=1, gpus=0, memory_bytes=64 * GIB, priority=10), seq=4),
        ),
        {"ahead": ("first",), "ahead_count": 1},
        "first went first in this cycle and took the room",
        (True, False),
    ),
    "NodeUnhealthy": (
        state_of(
            fleet(*nodes(3, gpus=4), node("cpu", cpus=64)),
            waiting(workload("w", gpus=4, nodes=2)),
            unusable={"n0": "down", "n2": "cordoned", "cpu": "draining"},
        ),
        {
            "unusable": ("n0", "n2"),
            "unusable_count": 2,
            "because": "cordoned, down",
            "nodes": 2,
            "nodes_usable": 1,
        },
        "needs 2 node(s) like n0, n2, which cannot be used now (cordoned, down); 1 can",
        (True, False),
    ),
    "LoadingModel": (
        state_of(
            fleet(node()),
            running(workload("w", kind=Kind.SERVE), "n0", ready=False),
        ),
        {"attempt": 1, "since_s": 7300.0, "nodes": ("n0",)},
        "runs on n0 and has not answered its health check for 2h01m",
        (True, False),
    ),
    "WaitingForGang": (
        state_of(
            fleet(*nodes(2)),
            running(workload("w", nodes=2, workers_per_node=2), "n0", "n1", status=Status.STARTING),
        ),
        {"attempt": 1, "since_s": 7300.0, "nodes": ("n0", "n1"), "workers": 4},
        "4 workers are coming up on n0, n1 since 2h01m",
        (True, False),
    ),
    "Starting": (
        state_of(fleet(node()), running(workload("w"), "n0", status=Status.STARTING)),
        {"attempt": 1, "since_s": 7300.0, "nodes": ("n0",), "workers": 1},
        "is coming up on n0 since 2h01m",
        (True, False),
    ),
}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_the_reason_its_evidence_and_its_sentence(situation: str) -> None:
    state, evidence, words, helps = SITUATIONS[situation]
    found = why(state)
    assert found.token == situation.partition(",")[0]
    assert found.evidence == evidence
    assert sentence(found) == words
    assert (found.will_waiting_help, found.will_preemption_help) == helps


def test_room_that_is_being_made_says_who_is_leaving_it() -> None:
    victim = held("low", "n0", 0, 1, priority=10)
    found = why(state_of(fleet(node(gpus=2)), victim, waiting(workload("w", gpus=2), seq=2)))
    assert (found.token, found.resource) == ("ResourcesBusy", "room")
    assert found.evidence == {"stopping": ("low",), "reserved_on": ("n0",)}
    assert sentence(found) == "room is being made on n0: low is stopping"
    assert (found.will_waiting_help, found.will_preemption_help) == (True, False)


def test_only_those_who_keep_the_room_that_would_do_are_named() -> None:
    of = fleet(node("a", gpus=2), node("b", gpus=2, model="H100"))
    first = waiting(workload("first", gpus=2, priority=90), seq=1)
    second = waiting(workload("second", gpus=2, model="H100", priority=90), seq=2)
    victims = [
        held("v", "a", 0, priority=10),
        running(workload("u", cpus=0, gpus=1, model="H100", priority=10), ("b", (0,))),
    ]
    found = why(state_of(of, *victims, first, second, waiting(workload("w", gpus=1), seq=3)))
    assert (found.token, found.evidence) == ("ReservedFor", {"reserved_for": ("first",), "reserved_count": 1})
    assert sentence(found) == "the room is reserved for first"


def test_every_reason_that_is_reachable_today_is_in_the_table() -> None:
    elsewhere = {"ReservedFor", "BehindFairShare"}  # above; `test_sharing`
    later = {"Invalid", "Unauthorised", "ModelNotReady", "BudgetExhausted", "PowerCap"}
    told = {situation.partition(",")[0] for situation in SITUATIONS}
    assert told | elsewhere | later == {code.token for code in ReasonCode}


class TestPrecedence:
    def test_not_eligible_goes_before_never_fits_before_waiting(self) -> None:
        of = fleet(node(gpus=1), teams=(Team(name="nlp", quota={"A100-80GB": 0}),))
        everything = workload("w", gpus=9, team="nlp", after=("x",), held=True, not_before_s=NOW_S + 9)
        state = state_of(of, waiting(everything))
        tokens: list[str] = []
        for released in (
            {"held": False},
            {"after": ()},
            {"not_before_s": None},
            {"team": "b"},
            {"demand": workload(gpus=1).demand},
        ):
            tokens.append(why(state).token)
            everything = msgspec.structs.replace(everything, **released)
            state = state_of(of, waiting(everything, seq=9), held("x1", "n0", 0, preemptible=False))
        assert [*tokens, why(state).token] == [
            "Held",
            "DependsOn",
            "BeforeStartTime",
            "ExceedsQuota",
            "ExceedsFleet",
            "ResourcesBusy",
        ]

    def test_of_alternatives_the_one_that_is_nearest_to_running_is_told(self) -> None:
        of = fleet(node(gpus=2), node("v", gpus=1, model="V100"))
        wants = workload("w", gpus=2, model=["H100", "V100", "A100-80GB"])
        found = why(state_of(of, held("x", "n0", 0), waiting(wants, seq=2)))
        assert (found.token, found.resource) == ("ResourcesBusy", "A100-80GB")
        found = why(state_of(of, waiting(workload("w", gpus=3, model=["H100", "A100-80GB"]))))
        assert (found.token, found.resource) == ("ExceedsFleet", "A100-80GB")

    def test_a_busy_fleet_is_not_blamed_on_a_node_that_is_down_unless_it_must_be(self) -> None:
        of = fleet(*nodes(2, gpus=1))
        state = state_of(
            of, held("x", "n0", 0), waiting(workload("w", gpus=1), seq=2), unusable={"n1": "down"}
        )
        assert why(state).token == "ResourcesBusy"


class TestAFleetThatMayGrow:
    GROWING = NodeScaling(template=node("burst", gpus=4), nodes_max=2)

    def test_what_a_node_to_come_could_hold_is_not_told_that_it_never_fits(self) -> None:
        state = state_of(fleet(scaling=self.GROWING), waiting(workload("w", gpus=4, nodes=2)))
        found = why(state)
        assert (found.token, found.resource) == ("ResourcesBusy", "A100-80GB")
        assert (found.evidence["nodes_with_enough"], found.evidence["free"]) == (0, 0.0)
        assert sentence(found).startswith(
            "needs 4 A100-80GB on each of 2 nodes; the best node has 0 A100-80GB free"
        )
        assert found.will_waiting_help

    @pytest.mark.parametrize("too_much", [{"gpus": 5}, {"gpus": 4, "nodes": 3}, {"gpus": 1, "model": "H100"}])
    def test_what_no_node_to_come_could_hold_is(self, too_much: dict[str, Any]) -> None:
        found = why(state_of(fleet(node(), scaling=self.GROWING), waiting(workload("w", **too_much))))
        assert found.token in ("ExceedsFleet", "NoSuchAccelerator")

    def test_nodes_that_have_been_added_already_leave_fewer_to_come(self) -> None:
        of = fleet(node("burst-0", gpus=4), node("burst-1", gpus=4), scaling=self.GROWING)
        assert why(state_of(of, waiting(workload("w", gpus=4, nodes=3)))).token == "ExceedsFleet"

    def test_even_a_gang_that_asks_for_nothing_has_a_sentence(self) -> None:
        state = state_of(fleet(node(), scaling=self.GROWING), waiting(workload("w", cpus=0, nodes=3)))
        assert sentence(why(state))


def test_reasons_are_shared_by_all_of_one_shape() -> None:
    alike = [waiting(workload(f"w{i}", gpus=9), seq=i) for i in range(50)]
    decision, _ = decide(state_of(fleet(node(gpus=8)), *alike))
    assert (len(decision.waiting), len(decision.reasons)) == (50, 1)


def test_a_finished_workload_has_no_reason() -> None:
    decision, _ = decide(state_of(fleet(node()), succeeded(workload("w"))))
    assert decision.reason_for("w") is None
