"""How many nodes would help, and what they are called."""

import pytest
from tests.building import node, workload

from suanli.domain.fleet import NodeScaling
from suanli.policies.scale import Short, empty_since, is_scaled, names_to_add, nodes_wanted
from suanli.policies.table import NodeTable

TEMPLATE = node("burst", cpus=8, gpus=4)


def scaling(nodes_max: int = 4) -> NodeScaling:
    return NodeScaling(template=TEMPLATE, nodes_max=nodes_max)


def short(missing: int = 1, **what: float) -> Short:
    demand = workload(**what).demand  # type: ignore[arg-type]
    table = NodeTable([TEMPLATE])
    asks = tuple(table.ask(demand, a, {}) for a in demand.accelerators or (None,))
    return Short(asks, missing)


@pytest.mark.parametrize(
    ("waiting", "wanted"),
    [
        ([], 0),
        ([short(gpus=1)], 1),
        ([short(gpus=1)] * 4, 1),
        ([short(gpus=1)] * 5, 2),
        ([short(gpus=4)] * 3, 3),
        ([short(gpus=4)] * 9, 4),  # never above the most
        ([short(3, gpus=4)], 3),
        ([short(5, gpus=4)], 0),  # a gang that would not be whole is not begun
        ([short(gpus=5)], 0),
        ([short(gpus=4), short(gpus=5), short(cpus=8)], 2),
        ([short(gpus=0.5)] * 8, 1),  # two to a device, four devices
        ([short(gpus=0.5)] * 9, 2),
        ([short(gpus=0.75)] * 5, 2),
        ([short(cpus=2, gpus=0.25)] * 5, 2),  # four to a node by its CPUs
    ],
)
def test_as_many_nodes_as_would_hold_what_is_short(waiting: list[Short], wanted: int) -> None:
    assert nodes_wanted(scaling(), 0, waiting) == wanted


def test_nodes_that_are_there_leave_less_to_add() -> None:
    assert nodes_wanted(scaling(4), 3, [short(gpus=4)] * 3) == 1
    assert nodes_wanted(scaling(4), 3, [short(2, gpus=4)]) == 0
    assert nodes_wanted(scaling(4), 4, [short(gpus=4)]) == 0


def test_any_alternative_that_the_template_can_hold_counts() -> None:
    demand = workload(gpus=2, model=["H100", "A100-80GB"]).demand
    table = NodeTable([TEMPLATE])
    asks = tuple(table.ask(demand, a, {}) for a in demand.accelerators)
    assert nodes_wanted(scaling(), 0, [Short(asks, 1)]) == 1


def test_names_are_the_first_free_ones_so_that_asking_twice_is_asking_once() -> None:
    assert names_to_add(scaling(), 2, ["n0"]) == ("burst-0", "burst-1")
    assert names_to_add(scaling(), 2, ["n0"]) == ("burst-0", "burst-1")
    assert names_to_add(scaling(), 2, ["burst-1", "n0"]) == ("burst-0", "burst-2")
    assert names_to_add(scaling(), 9, ["burst-1"]) == ("burst-0", "burst-2", "burst-3")
    assert names_to_add(scaling(), 1, [f"burst-{i}" for i in range(4)]) == ()


@pytest.mark.parametrize(
    ("name", "scaled"),
    [("burst-0", True), ("burst-12", True), ("burst", False), ("burst-x", False), ("other-0", False)],
)
def test_a_scaled_node_is_known_by_its_name(name: str, scaled: bool) -> None:
    assert is_scaled(scaling(), name) is scaled


def test_the_clock_of_emptiness_starts_once_and_stops_when_it_is_used() -> None:
    first = empty_since({}, ["a", "b"], 10.0)
    assert empty_since(first, ["a", "c"], 20.0) == {"a": 10.0, "c": 20.0}
