"""How things would go on, as they are and with something changed, worked out by hand."""

import pytest
from tests.building import NOW_S, fleet, node, running, state_of, workload

from suanli.control.what_if import Changes, WhatIf, changed_fleet, changes_of, compare
from suanli.domain.decision import Memory
from suanli.domain.errors import UsageError
from suanli.domain.fleet import Fleet
from suanli.domain.record import Record
from suanli.domain.workload import Kind, Service, Workload
from suanli.policies.registry import parse

RAN_S = 7200.0
"""What `running` says that it has run."""

TWO = fleet(*(node(f"g-{i}", gpus=1, price_per_hour=3.6) for i in range(2)))


def asked(
    *workloads: Workload, what_if: tuple[str, ...], live: tuple[Record, ...] = (), on: Fleet = TWO
) -> WhatIf:
    changes = changes_of(what_if)
    policies = parse("fifo"), parse(changes.policy or "fifo")
    return compare(state_of(on, *live), Memory(), policies, (workloads, workloads), changes, NOW_S)


def takes(name: str, seconds: float | None, **more: object) -> Workload:
    return workload(name, gpus=1, duration_s=seconds, run=(name,), **more)  # pyright: ignore[reportArgumentType]


def times(told: WhatIf) -> tuple[list[tuple[float | None, float | None]], ...]:
    return tuple([(going.start_s, going.end_s) for going in side.workloads] for side in (told.now, told.then))


def test_one_node_more_lets_the_third_start_at_once() -> None:
    jobs = takes("a", 1000), takes("b", 500), takes("c", 300)
    told = asked(*jobs, what_if=("fleet.nodes.g.count=+1",))
    now, then = times(told)  # each takes 2 s to come up
    assert now == [(0, 1002), (0, 502), (502, 804)]
    assert then == [(0, 1002), (0, 502), (0, 302)]
    assert (told.now.starts_now, told.then.starts_now) == (2, 3)
    assert (told.now.nodes, told.then.nodes) == (2, 3)
    assert told.now.mean_end_s == pytest.approx((1002 + 502 + 804) / 3, abs=0.1)
    assert told.now.all_ended_s == told.then.all_ended_s == 1002
    assert told.now.cost == told.then.cost == pytest.approx(3.6 * (1002 + 502 + 302) / 3600)
    assert (told.now.fleet_per_hour, told.then.fleet_per_hour) == pytest.approx((7.2, 10.8))


def test_what_runs_already_goes_on_and_those_after_it_wait_for_its_end() -> None:
    busy = [running(takes(f"busy{i}", RAN_S + 100 * (i + 1)), (f"g-{i}", (0,))) for i in range(2)]
    told = asked(takes("next", 50), what_if=("fleet.nodes.g.count=1",), live=tuple(busy))
    (now,), (then,) = times(told)
    assert now == (100, 152)
    assert then[0] is not None
    assert then[0] >= 100  # busy1 lost its node and waits too


def test_another_policy_and_what_nobody_knows() -> None:
    long, short, unknown = takes("long", 900), takes("short", 30), takes("unknown", None)
    on = fleet(node("g", gpus=1))
    told = asked(long, short, unknown, what_if=("policy=sjf",), on=on)
    assert told.assumed == ("unknown",)
    assert [going.start_s for going in told.now.workloads] == [0, 902, 934]
    assert [going.start_s for going in told.then.workloads] == [32, 0, 934]
    assert told.then.policy == "sjf+as-requested+best-fit"


def test_what_never_starts_is_counted_and_services_never_end() -> None:
    wide = workload("wide", gpus=2, duration_s=10)
    service = workload("api", gpus=1, kind=Kind.SERVE, service=Service())
    told = asked(wide, service, what_if=("fleet.nodes.g.count=0",))
    assert (told.now.never, told.then.never) == (1, 2)
    assert times(told)[0] == [(None, None), (0, None)]
    assert told.now.mean_end_s is None
    assert told.now.cost == 0


def test_rounds_end_where_only_services_are_left_and_what_has_no_room_beside_them() -> None:
    service = workload("api", gpus=1, kind=Kind.SERVE, service=Service())
    told = asked(service, takes("job", 400), takes("gang", 60, nodes=2), what_if=("policy=max-min",))
    assert times(told) == ([(0, None), (0, 402), (None, None)],) * 2
    assert (told.then.never, told.then.beyond_s) == (1, None)


def test_what_saves_nothing_is_not_made_to_take_turns() -> None:
    pair = [takes(name, 3600, kind=Kind.JOB) for name in "ab"]
    told = asked(*pair, what_if=("policy=max-min",), on=fleet(node("g", gpus=1)))
    assert times(told)[1] == times(told)[0] == [(0, 3602), (3602, 7204)]


def test_what_takes_very_many_turns_is_given_up_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("suanli.control.what_if.STEPS_MAX", 5)
    pair = [takes(name, 36_000) for name in "ab"]
    told = asked(*pair, what_if=("policy=max-min",), on=fleet(node("g", gpus=1)))
    assert told.now.beyond_s is None
    assert told.then.beyond_s is not None
    assert [end_s for _, end_s in times(told)[1]] == [None, None]


def test_numbers_of_nodes_are_more_fewer_or_so_many_and_the_last_go_first() -> None:
    three = fleet(node("x"), *(node(f"g-{i}") for i in range(3)))

    def names(spelled: str) -> list[str]:
        of = changed_fleet(three, changes_of([f"fleet.nodes.g.count={spelled}"]))
        return [member.name for member in of.nodes]

    assert names("+2") == ["x", "g-0", "g-1", "g-2", "g-3", "g-4"]
    assert names("-1") == ["x", "g-0", "g-1"]
    assert names("1") == ["x", "g-0"]
    assert names("0") == ["x"]


@pytest.mark.parametrize(
    ("text", "said"),
    [("fleet.nodes.gg.count=+1", "Did you mean g"), ("fleet.nodes.g.count=-3", "There are 2 now")],
)
def test_what_cannot_be_changed_so_is_refused_with_what_there_is(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        changed_fleet(TWO, changes_of([text]))
    assert said in caught.value.remedy


@pytest.mark.parametrize("text", ["nonsense", "fleet.name=x", "fleet.nodes.g.count=two", "policy="])
def test_what_is_no_change_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="Cannot tell"):
        changes_of([text])


def test_changes_of_fields_are_overrides() -> None:
    assert changes_of(["gpt:nodes=2", "priority=70"]) == Changes(
        said=("gpt:nodes=2", "priority=70"), overrides=("gpt:nodes=2", "priority=70")
    )
