"""What would make a workload run: the least change of each kind, tried, and nothing that would not."""

import numpy as np
from tests.building import (
    GIB,
    NOW_S,
    decide,
    fleet,
    node,
    nodes,
    running,
    state_of,
    waiting,
    workload,
)

from suanli.domain.decision import Memory
from suanli.domain.fleet import Team
from suanli.domain.record import Record
from suanli.kernel.outcome import carried_out
from suanli.kernel.relax import Relaxation, would_run_if
from suanli.kernel.state import State
from suanli.policies.registry import parse


def answers(state: State, key: str = "w") -> tuple[Relaxation, ...]:
    """After one step, carried out."""
    decision, memory = decide(state)
    after = carried_out(state, decision, NOW_S)
    return would_run_if(after, parse(""), memory, key, NOW_S, np.random.default_rng(0))


def spelled(state: State, key: str = "w") -> list[str]:
    return [relaxation.change or relaxation.sentence for relaxation in answers(state, key)]


def full(name: str, on: str, *, cpus: float = 8, **more) -> Record:
    more.setdefault("preemptible", False)
    return running(workload(name, cpus=cpus, **more), on)


def test_nothing_is_suggested_for_what_runs_or_is_about_to() -> None:
    state = state_of(fleet(node()), running(workload("w"), "n0"))
    assert answers(state) == ()
    state = state_of(fleet(node()), waiting(workload("w")))
    assert answers(state) == ()
    assert would_run_if(state, parse(""), Memory(), "w", NOW_S, np.random.default_rng(0)) == ()
    assert would_run_if(state, parse(""), Memory(), "nobody", NOW_S, np.random.default_rng(0)) == ()


def test_what_is_held_would_run_if_it_were_released() -> None:
    assert spelled(state_of(fleet(node()), waiting(workload("w", held=True)))) == ["hold=false"]
    assert spelled(state_of(fleet(node()), waiting(workload("w", held=True, cpus=9)))) == []


def test_what_waits_for_others_would_run_without_them_but_not_without_its_model() -> None:
    assert spelled(state_of(fleet(node()), waiting(workload("w", after=("x",))))) == ["after=[]"]
    (answer,) = answers(state_of(fleet(node()), waiting(workload("w", model_from="x"))))
    assert (answer.change, answer.sentence) == ("", "it did not have to wait for x")


def test_what_waits_for_its_time_would_run_without_it() -> None:
    assert spelled(state_of(fleet(node()), waiting(workload("w", not_before_s=NOW_S + 9)))) == ["not_before="]
    (answer,) = answers(state_of(fleet(node()), waiting(workload("w"), not_before_s=NOW_S + 9)))
    assert (answer.change, answer.sentence) == ("", "the pause before its retry were over")


def test_of_fewer_nodes_the_most_that_fit() -> None:
    state = state_of(fleet(*nodes(4)), full("x", "n3"), waiting(workload("w", cpus=8, nodes=8), seq=2))
    assert spelled(state) == ["resources.nodes=2", "the fleet had 5 more nodes like n0"]
    state = state_of(fleet(*nodes(4)), full("x", "n3"), waiting(workload("w", cpus=8, nodes=4), seq=2))
    assert spelled(state) == ["resources.nodes=3", "the fleet had 1 more node like n0"]


def test_of_an_elastic_range_the_lower_end() -> None:
    wants = waiting(workload("w", cpus=8, nodes=3, elastic_nodes=(3, 5)), seq=2)
    state = state_of(fleet(*nodes(3)), full("x", "n2"), wants)
    assert spelled(state)[0] == "elastic=2..5"


def test_of_fewer_accelerators_the_most_that_fit_or_another_model() -> None:
    of = fleet(node("a", gpus=8), node("h", gpus=8, model="H100"))
    held = running(workload("x", gpus=2, preemptible=False), ("a", (0, 1)))
    state = state_of(of, held, waiting(workload("w", gpus=8), seq=2))
    assert spelled(state) == [
        "resources.accelerators=A100-80GB:4",
        "resources.accelerators=H100:8",
        "the fleet had 1 more node like a",
    ]


def test_as_much_of_a_plain_resource_as_there_is_where_all_else_fits() -> None:
    of = fleet(
        node("gpu", cpus=8, gpus=4, memory_bytes=64 * GIB, network_bps=10e9, disk_bytes=2**40),
        node("cpu", cpus=128, memory_bytes=512 * GIB, network_bps=100e9),
    )
    held = running(
        workload("x", cpus=1.5, memory_bytes=int(1.5 * GIB), network_bps=4.5e9, preemptible=False), "gpu"
    )

    def first(**asked: float) -> str:
        return spelled(state_of(of, held, waiting(workload("w", gpus=1, **asked), seq=2)))[0]  # type: ignore[arg-type]

    assert first(cpus=8) == "resources.cpus=6"
    assert first(memory_bytes=64 * GIB) == "resources.memory=62GiB"
    assert first(network_bps=10e9) == "resources.network=5Gbps"
    assert first(disk_bytes=2**41) == "resources.disk=1024GiB"


def test_less_than_a_unit_is_spelled_in_the_next() -> None:
    held = full("x", "n0", cpus=1, memory_bytes=64 * GIB - 700 * 2**20)
    state = state_of(fleet(node()), held, waiting(workload("w", memory_bytes=GIB), seq=2))
    assert spelled(state)[0] == "resources.memory=700MiB"


def test_a_label_that_stands_in_the_way() -> None:
    of = fleet(node("a", zone="east"), node("b", zone="west"))
    state = state_of(of, full("x", "a"), waiting(workload("w", node_labels={"zone": "east"}), seq=2))
    assert spelled(state) == ["node_labels={}", "the fleet had 1 more node like a"]


def test_the_lowest_priority_that_would_do_and_who_would_pay() -> None:
    of = fleet(*nodes(2))
    records = [
        running(workload("cheap", cpus=8, priority=60), "n0", unsaved_s=10.0),
        running(workload("dear", cpus=8, priority=60), "n1", unsaved_s=900.0),
    ]
    found = answers(state_of(of, *records, waiting(workload("w", cpus=8), seq=3)))
    priority = next(answer for answer in found if answer.change.startswith("priority"))
    assert priority == Relaxation(
        change="priority=61",
        sentence="its priority were 61 instead of 50",
        preempts=("cheap",),
        lost_s=10.0,
    )


def test_no_priority_where_none_would_do() -> None:
    state = state_of(fleet(node()), full("x", "n0"), waiting(workload("w", cpus=8), seq=2))
    assert not any("priority" in change for change in spelled(state))


def test_room_that_was_given_away_in_the_same_step_is_not_offered_again() -> None:
    """Two that each need a node of their own, and one node."""
    first = waiting(workload("first", cpus=8), seq=1)
    state = state_of(fleet(node()), first, waiting(workload("w", cpus=8), seq=2))
    assert spelled(state) == ["priority=51", "the fleet had 1 more node like n0"]


def test_nodes_that_somebody_ahead_would_take_do_not_help() -> None:
    ahead = waiting(workload("ahead", cpus=8, priority=90), seq=1)
    held = full("x", "n0")
    state = state_of(fleet(node()), held, ahead, waiting(workload("w", cpus=8), seq=2))
    assert spelled(state, "ahead") == ["the fleet had 1 more node like n0"]
    assert spelled(state) == []


def test_room_that_is_set_aside_for_a_long_waiter_is_not_offered() -> None:
    long = waiting(workload("long", cpus=8), seq=1, waited_s=7200.0)
    held = full("x", "n0", cpus=4)
    state = state_of(fleet(node()), held, long, waiting(workload("w", cpus=5, priority=40), seq=2))
    assert "resources.cpus=4" not in spelled(state)


def test_a_quota_that_stands_in_the_way() -> None:
    of = fleet(*nodes(2), teams=(Team(name="nlp", quota={"cpus": 8}),))
    held = full("x", "n0", cpus=4, team="nlp")
    state = state_of(of, held, waiting(workload("w", cpus=8, team="nlp"), seq=2))
    assert spelled(state) == ["the quota of team nlp were lifted"]


def test_one_more_node_is_of_a_kind_that_could_hold_it() -> None:
    others = [node(f"small{i}", cpus=1 + i) for i in range(6)]
    of = fleet(*others, node("big", cpus=64))
    held = full("x", "big", cpus=64)
    state = state_of(of, held, waiting(workload("w", cpus=32), seq=2))
    assert spelled(state)[-1] == "the fleet had 1 more node like big"


def test_the_question_changes_nothing() -> None:
    state = state_of(fleet(node()), full("x", "n0"), waiting(workload("w", cpus=8), seq=2))
    before = (state.table.free.copy(), dict(state.records), dict(state.waiting), state.fleet)
    answers(state)
    assert (state.records, state.waiting, state.fleet) == before[1:]
    assert (state.table.free == before[0]).all()
