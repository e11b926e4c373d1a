"""Each way in which a decision could be wrong is noticed."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from tests.building import decide, fleet, node, nodes, running, state_of, waiting, workload

from suanli.domain.decision import Decision, Place, RemoveNode, Stop
from suanli.domain.fleet import Team
from suanli.domain.record import Placement, Status
from suanli.domain.resources import Share
from suanli.domain.workload import EndCause
from suanli.kernel.invariants import violations
from suanli.kernel.state import State

GPU = "A100-80GB"


def situation() -> tuple[State, Decision]:
    """A gang of two goes to n1 and n3; `large` waits for a node that is down."""
    state = state_of(
        fleet(*nodes(4, gpus=4)),
        running(workload("low", cpus=1, gpus=4, priority=10), ("n0", (0, 1, 2, 3)), seq=1),
        running(workload("kept", cpus=1, priority=10, preemptible=False), "n0", seq=2),
        running(workload("leaving", cpus=1, priority=10), "n0", seq=3, status=Status.STOPPING),
        waiting(workload("gang", cpus=1, gpus=2, nodes=2), seq=4),
        waiting(workload("large", cpus=1, gpus=4, nodes=4, priority=90), seq=5),
        waiting(workload("held", held=True), seq=6),
        unusable={"n2": "down"},
    )
    decision, _ = decide(state)
    assert [type(action).__name__ for action in decision.actions] == ["Place"]
    assert violations(state, decision) == ()
    return state, decision


def on(name: str, *devices: int, cpus: float = 1.0, model: str = GPU) -> Placement:
    return Placement(name, Share(cpus=cpus, accelerator=model, devices=devices))


def place(*placements: Placement, key: str = "gang", number: int = 1) -> Callable[[Decision], Decision]:
    return lambda d: msgspec.structs.replace(
        d, actions=(Place(key=key, number=number, placements=placements),)
    )


def also(*actions: Any) -> Callable[[Decision], Decision]:
    return lambda d: msgspec.structs.replace(d, actions=(*d.actions, *actions))


def stop(key: str, number: int = 1, **more: Any) -> Stop:
    return Stop(key=key, number=number, cause=more.pop("cause", EndCause.PREEMPTED), **more)


def waits(**changes: int | None) -> Callable[[Decision], Decision]:
    def change(d: Decision) -> Decision:
        waiting = {**d.waiting, **changes}
        return msgspec.structs.replace(d, waiting={k: i for k, i in waiting.items() if i is not None})

    return change


GOOD = on("n3", 0, 1)

WRONG: dict[str, tuple[Callable[[Decision], Decision], str]] = {
    "half a gang": (place(GOOD), "not a whole gang"),
    "twice on one node": (place(GOOD, on("n3", 2, 3)), "not a whole gang"),
    "on what is held": (place(on("n0", 0, 1), GOOD), "not free"),
    "on a node that is down": (place(GOOD, on("n2", 0, 1)), "not free"),
    "on a node that is not there": (place(GOOD, on("nowhere", 0, 1)), "not free"),
    "on devices that are not there": (place(GOOD, on("n1", 3, 4)), "not free"),
    "one device twice": (place(GOOD, on("n1", 1, 1)), "something else"),
    "fewer devices than asked": (place(GOOD, on("n1", 0)), "something else"),
    "less CPU than asked": (place(GOOD, on("n1", 0, 1, cpus=0.5)), "something else"),
    "another model": (place(GOOD, on("n1", 0, 1, model="H100")), "something else"),
    "an attempt out of turn": (place(GOOD, on("n1", 0, 1), number=2), "does not follow 0"),
    "held work": (place(GOOD, key="held"), "does not wait"),
    "running work": (place(GOOD, key="low"), "does not wait"),
    "unknown work": (place(GOOD, key="nobody"), "does not wait"),
    "stopping what is not there": (also(stop("nobody")), "not running"),
    "stopping another attempt": (also(stop("low", 2, stopped_for="large")), "not running"),
    "stopping what waits": (also(stop("large")), "not running"),
    "stopping twice": (also(*[stop("low", cause=EndCause.DRAINED)] * 2), "stopped twice"),
    "stopping what is stopping": (also(stop("leaving", cause=EndCause.IDLE)), "stopped twice"),
    "preempting for nobody": (also(stop("low")), "may not be preempted for nobody"),
    "preempting the protected": (also(stop("kept", stopped_for="large")), "may not be preempted"),
    "removing a node in use": (also(RemoveNode(name="n0")), "n0 is removed but low is on it"),
    "removing a node that gets used": (also(RemoveNode(name="n1")), "n1 is removed but gang is on it"),
    "no reason": (waits(large=None), "large is waiting without a reason"),
    "a reason for what is placed": (waits(gang=0), "gang is both placed and waiting"),
    "a reason that is not there": (waits(large=99), "reason 99"),
    "a reason for nobody": (waits(nobody=0), "neither waits nor starts"),
    "an unknown reason": (
        lambda d: msgspec.structs.replace(
            d, reasons=tuple(msgspec.structs.replace(why, token="Whim") for why in d.reasons)
        ),
        "no reason Whim",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_each_wrong_decision_is_told_from_a_good_one(wrong: str) -> None:
    state, decision = situation()
    change, told = WRONG[wrong]
    assert told in "; ".join(violations(state, change(decision)))


def test_preempting_what_has_the_same_priority_is_noticed() -> None:
    state = state_of(
        fleet(node()), running(workload("a", cpus=8), "n0"), waiting(workload("b", cpus=8), seq=2)
    )
    decision, _ = decide(state)
    assert violations(state, also(stop("a", stopped_for="b"))(decision)) == ("a may not be preempted for b",)


def test_a_team_beyond_its_quota_is_noticed() -> None:
    state = state_of(
        fleet(*nodes(2, gpus=4), teams=(Team(name="nlp", quota={GPU: 4}),)),
        running(workload("x", cpus=1, gpus=2, team="nlp"), ("n0", (0, 1))),
        waiting(workload("w", cpus=1, gpus=4, team="nlp"), seq=2),
    )
    decision, _ = decide(state)
    beyond = place(on("n1", 0, 1, 2, 3), key="w")(decision)
    beyond = msgspec.structs.replace(beyond, waiting={})
    assert violations(state, beyond) == (f"w takes team nlp beyond its quota of {GPU}",)


def test_two_on_one_device_are_noticed_though_each_alone_would_do() -> None:
    state = state_of(
        fleet(node(gpus=1)),
        waiting(workload("a", cpus=1, gpus=1), seq=1),
        waiting(workload("b", cpus=1, gpus=1), seq=2),
    )
    both = Decision(
        policy="",
        at_s=0.0,
        actions=tuple(Place(key=key, number=1, placements=(on("n0", 0),)) for key in "ab"),
    )
    assert violations(state, both) == ("b is placed on what is not free",)


def test_a_team_that_holds_more_than_a_quota_that_was_lowered_is_no_violation() -> None:
    state = state_of(
        fleet(*nodes(2, gpus=4), teams=(Team(name="nlp", quota={GPU: 1}),)),
        running(workload("x", gpus=4, team="nlp"), ("n0", (0, 1, 2, 3))),
        waiting(workload("w", cpus=1, team="nlp"), seq=2),
    )
    decision, _ = decide(state)
    assert len(decision.actions) == 1
    assert violations(state, decision) == ()
