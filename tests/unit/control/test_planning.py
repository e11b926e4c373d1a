"""A plan says what a step would do, changes nothing, and is the same wherever it is made."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.building import NOW_S, fleet, node, nodes, running, state_of, workload

from suanli.control.planning import Plan, plan
from suanli.domain.decision import Memory
from suanli.domain.fleet import Fleet, Team
from suanli.domain.record import Record, Status
from suanli.domain.workload import Kind, Service, Workload
from suanli.kernel.services import beginning
from suanli.kernel.state import State
from suanli.policies.registry import parse

GPU = "A100-80GB"


def planned(*workloads: Workload, of: Fleet, records: tuple[Record, ...] = (), policy: str = "") -> Plan:
    return plan(state_of(of, *records), Memory(), parse(policy), workloads, NOW_S)[0]


def where(answer: Plan) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for p in answer.placements:
        found.setdefault(p.workload if p.replica is None else f"{p.workload}/{p.replica}", []).append(p.node)
    return found


def test_placements_say_what_is_held_from_when_and_for_how_much() -> None:
    of = fleet(*nodes(2, gpus=8, price_per_hour=16.0))
    answer = planned(workload("gang", gpus=4, cpus=2, nodes=2), of=of)
    assert where(answer) == {"gang": ["n0", "n1"]}
    first = answer.placements[0]
    assert (first.resources["devices"], first.resources["accelerator"], first.start) == (
        (0, 1, 2, 3),
        GPU,
        0.0,
    )
    assert (first.price_per_hour, answer.cost_per_hour) == (8.0, 16.0)
    assert answer.policy == "priority+as-requested+best-fit"


def test_a_service_becomes_its_replicas() -> None:
    chat = workload("chat", kind=Kind.SERVE, cpus=4, service=Service(replicas_min=2, replicas_max=4))
    assert beginning(chat, {}) == (("chat/0", 0), ("chat/1", 1))
    assert where(planned(chat, of=fleet(*nodes(2, cpus=4)))) == {"chat/0": ["n0"], "chat/1": ["n1"]}


def test_work_that_takes_the_place_of_other_work_starts_after_its_grace_and_says_what_that_costs() -> None:
    low = running(workload("low", cpus=8, priority=10, grace_s=30.0), "n0", unsaved_s=120.0)
    answer = planned(workload("high", cpus=8, priority=90), of=fleet(node()), records=(low,))
    assert [(p.node, p.start) for p in answer.placements] == [("n0", 30.0)]
    assert [(s.workload, s.stopped_for, s.lost_s) for s in answer.stops] == [("low", "high", 120.0)]
    assert answer.waiting == ()


def test_work_that_gets_what_is_being_vacated_anyway_waits_for_that() -> None:
    leaving = running(workload("x", cpus=8, grace_s=15.0), "n0", status=Status.STOPPING)
    answer = planned(workload("w", cpus=8), of=fleet(node()), records=(leaving,))
    assert [(p.node, p.start) for p in answer.placements] == [("n0", 15.0)]
    assert answer.stops == ()


def test_what_waits_says_why_and_what_would_make_it_run() -> None:
    kept = running(workload("kept", cpus=6, preemptible=False), "n0")
    answer = planned(workload("w", cpus=4), of=fleet(node()), records=(kept,))
    (wait,) = answer.waiting
    assert (wait.reason, wait.resource, wait.never_fits) == ("ResourcesBusy", "cpus", False)
    assert wait.evidence["largest_free"] == 2.0
    assert (wait.will_waiting_help, wait.will_preemption_help) == (True, False)
    assert [r.change or r.sentence for r in wait.would_run_if] == [
        "resources.cpus=2",
        "the fleet had 1 more node like n0",
    ]


@pytest.mark.parametrize(
    ("asked", "never"),
    [({"gpus": 9}, True), ({"gpus": 1, "model": "H100"}, True), ({"cpus": 1, "held": True}, False)],
)
def test_what_can_never_fit_is_told_from_what_only_waits(asked: dict[str, Any], never: bool) -> None:
    answer = planned(workload("w", **asked), of=fleet(node(gpus=8)))
    assert answer.waiting[0].never_fits is never


def test_what_is_not_a_priority_of_the_work_itself_is_not_mixed_up_between_shapes() -> None:
    """Two that differ in their labels alone do not share what would make them run."""
    of = fleet(node("a", zone="east", cpus=2), node("b", zone="west", cpus=8))
    full = running(workload("x", cpus=2, preemptible=False), "a")
    east = workload("east", cpus=2, node_labels={"zone": "east"})
    west = workload("west", cpus=9, node_labels={"zone": "west"})
    nowhere = workload("nowhere", cpus=2, node_labels={"zone": "north"})
    answer = planned(nowhere, east, west, of=of, records=(full,))
    spelled = {w.workload: [r.change or r.sentence for r in w.would_run_if] for w in answer.waiting}
    assert spelled == {
        "nowhere": ["node_labels={}"],
        "east": ["node_labels={}", "the fleet had 1 more node like a"],
        "west": ["resources.cpus=8"],
    }


def test_room_that_the_same_plan_gives_away_is_not_offered() -> None:
    answer = planned(workload("a", cpus=5, priority=60), workload("b", cpus=4), of=fleet(node()))
    (wait,) = answer.waiting
    assert [r.change for r in wait.would_run_if if r.change] == ["resources.cpus=3", "priority=61"]


def test_at_most_fifty_shapes_are_tried() -> None:
    many = [workload(f"w{i}", cpus=1 + i / 100, held=True) for i in range(60)]
    alike = [workload(f"v{i}", cpus=1.0, held=True) for i in range(60)]
    answer = planned(*many, *alike, of=fleet(node()))
    assert len(answer.waiting) == 120
    assert sum(bool(wait.would_run_if) for wait in answer.waiting) == 50 + 60


def test_a_plan_changes_nothing() -> None:
    low = running(workload("low", cpus=8, priority=10), "n0")
    state = state_of(fleet(*nodes(2)), low)
    before = msgspec.json.encode(
        [state.fleet, state.records, state.waiting, state.team_use, sorted(state.live)]
    )
    tables = [state.table.free.copy(), state.table.device_free.copy(), state.table.usable.copy()]
    memory = Memory(hot_since_s={"n0": 1.0})
    for _ in range(2):
        plan(state, memory, parse(""), [workload("w", cpus=8, priority=90, nodes=2)], NOW_S)
    after = msgspec.json.encode(
        [state.fleet, state.records, state.waiting, state.team_use, sorted(state.live)]
    )
    assert after == before
    now = [state.table.free, state.table.device_free, state.table.usable]
    assert all((a == b).all() for a, b in zip(tables, now, strict=True))
    assert memory == Memory(hot_since_s={"n0": 1.0})
    assert state.waiting == {}


class TestPlanId:
    OF = fleet(*nodes(2, gpus=4), teams=(Team(name="nlp", quota={GPU: 4}),))
    ASKED = (workload("a", gpus=4, env={"x": "1", "y": "2"}, node_labels={}), workload("b", gpus=8))

    def test_the_same_question_with_the_same_answer_has_the_same_id(self) -> None:
        first, second = planned(*self.ASKED, of=self.OF), planned(*self.ASKED, of=self.OF)
        assert first == second
        assert first.plan_id.startswith("plan-")

    def test_the_instant_is_no_part_of_it(self) -> None:
        later, _ = plan(State(self.OF), Memory(), parse(""), self.ASKED, NOW_S + 3600)
        assert later.plan_id == planned(*self.ASKED, of=self.OF).plan_id

    @pytest.mark.parametrize(
        "other",
        [
            {"of": fleet(*nodes(3, gpus=4))},
            {"of": fleet(*nodes(2, gpus=4))},  # without the quota
            {"policy": "spread"},
            {"records": (running(workload("x", gpus=1), ("n0", (0,))),)},
            {"records": (running(workload("x", gpus=4), ("n0", (0, 1, 2, 3))),)},
        ],
        ids=["another fleet", "another quota", "another policy", "other devices", "another node"],
    )
    def test_another_fleet_policy_or_answer_has_another(self, other: dict[str, Any]) -> None:
        same = planned(*self.ASKED, of=self.OF).plan_id
        assert planned(*self.ASKED, **{"of": self.OF, **other}).plan_id != same

    def test_another_question_has_another(self) -> None:
        same = planned(*self.ASKED, of=self.OF).plan_id
        changed = msgspec.structs.replace(self.ASKED[0], run=("other",))
        assert planned(changed, self.ASKED[1], of=self.OF).plan_id != same

    def test_work_that_saves_meanwhile_does_not_make_it_stale(self) -> None:
        def plan_while(unsaved_s: float) -> Plan:
            low = running(workload("low", cpus=8, priority=10), "n0", unsaved_s=unsaved_s)
            return planned(workload("w", cpus=8, priority=90), of=fleet(node()), records=(low,))

        assert plan_while(10.0).stops != plan_while(20.0).stops
        assert plan_while(10.0).plan_id == plan_while(20.0).plan_id

    def test_it_is_the_same_in_any_process_whatever_its_hash_seed(self) -> None:
        program = (
            "import sys; sys.path.insert(0, sys.argv[1])\n"
            "from tests.unit.control.test_planning import TestPlanId, planned\n"
            "print(planned(*TestPlanId.ASKED, of=TestPlanId.OF).plan_id)"
        )
        root = str(Path(__file__).parents[3])
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", program, root],
                env={**os.environ, "PYTHONHASHSEED": seed},
                stdout=subprocess.PIPE,
                text=True,
            )
            for seed in ("0", "4242")
        ]
        ids = {process.communicate(timeout=60)[0].strip() for process in processes}
        assert ids == {planned(*self.ASKED, of=self.OF).plan_id}
