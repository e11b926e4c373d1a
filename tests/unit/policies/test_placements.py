"""On which nodes, against tables solved by hand."""

import pytest
from tests.building import decide, fleet, node, nodes, placed, running, state_of, waiting, workload

from suanli.kernel.asks import Shapes, find_room
from suanli.policies.registry import parse
from suanli.policies.table import NodeTable


def chosen(place: str, table: NodeTable, gpus: float, count: int = 1, cpus: float = 0.0) -> list[str]:
    policy = parse(place)
    wants = Shapes(table, policy).of(waiting(workload(gpus=gpus, cpus=cpus, nodes=count)))
    return [placement.node for placement in find_room(table, wants, policy) or ()]


def table_with(**free_gpus: int) -> NodeTable:
    """Nodes of 8 GPUs (and nothing else), so many of them free."""
    table = NodeTable([node(name, gpus=8, cpus=0, memory_bytes=0) for name in free_gpus])
    for name, free in free_gpus.items():
        held = running(workload(gpus=8 - free, cpus=0), (name, tuple(range(free, 8))))
        if held.attempt and free < 8:
            table.take(held.attempt.placements)
    return table


@pytest.mark.parametrize(
    ("place", "gpus", "count", "expected"),
    [
        ("first-fit", 1, 1, ["a"]),
        ("best-fit", 1, 1, ["d"]),
        ("spread", 1, 1, ["a"]),
        ("first-fit", 4, 1, ["a"]),
        ("best-fit", 4, 1, ["c"]),  # exactly full
        ("spread", 4, 1, ["a"]),
        ("first-fit", 2, 3, ["a", "b", "c"]),
        ("best-fit", 2, 3, ["d", "c", "b"]),
        ("spread", 2, 3, ["a", "e", "b"]),
        ("best-fit", 6, 2, ["b", "a"]),
        ("best-fit", 0, 2, ["d", "c"]),  # fullest first, whatever is asked
    ],
)
def test_the_table_solved_by_hand(place: str, gpus: int, count: int, expected: list[str]) -> None:
    assert chosen(place, table_with(a=8, b=6, c=4, d=2, e=8), gpus, count) == expected


@pytest.mark.parametrize("place", ["first-fit", "best-fit", "spread"])
def test_ties_go_to_the_first_in_fleet_order(place: str) -> None:
    table = NodeTable(nodes(5, gpus=2))
    assert chosen(place, table, 1, 3, cpus=1) == ["n0", "n1", "n2"]


def test_cores_and_devices_weigh_the_same_by_what_the_largest_node_has() -> None:
    """a has half of the largest node left and no device, b a quarter and one device of four."""
    table = NodeTable(
        [node("a", gpus=1, cpus=9), node("b", gpus=2, cpus=5), node("largest", gpus=4, cpus=16)]
    )
    assert chosen("best-fit", table, 1, cpus=1) == ["a"]
    assert chosen("spread", table, 1, cpus=1) == ["largest"]
    assert chosen("best-fit", table, 2, cpus=1) == ["b"]


def test_a_resource_that_a_node_has_not_does_not_count_for_it() -> None:
    table = NodeTable([node("bare", cpus=8, memory_bytes=0), node("rich", cpus=8, disk_bytes=2**40)])
    assert chosen("best-fit", table, 0, cpus=4) == ["bare"]


def test_a_node_that_is_full_of_everything_but_what_is_asked_is_the_best_fit() -> None:
    of = fleet(*nodes(2, gpus=4, cpus=16))
    held = running(workload("cpu", cpus=15), "n1")
    decision, _ = decide(state_of(of, held, waiting(workload("gpu", cpus=1, gpus=1), seq=2)))
    assert placed(decision) == {"gpu": ("n1",)}


def test_best_fit_leaves_whole_nodes_where_spread_leaves_fragments() -> None:
    """Four small jobs, then one that needs a whole node: only best fit still has one."""
    of = fleet(*nodes(4, gpus=4))
    small = [waiting(workload(f"s{i}", gpus=1), seq=i) for i in range(4)]
    large = waiting(workload("large", gpus=4), seq=9)
    packed, _ = decide(state_of(of, *small, large), "best-fit")
    scattered, _ = decide(state_of(of, *small, large), "spread")
    assert placed(packed)["large"] == ("n1",)
    assert "large" not in placed(scattered)
    assert len({node for where in placed(scattered).values() for node in where}) == 4


def test_spread_puts_replicas_on_different_nodes() -> None:
    of = fleet(*nodes(3, cpus=8))
    replicas = [waiting(workload("chat", cpus=2), seq=i, key=f"chat/{i}", replica=i) for i in range(3)]
    decision, _ = decide(state_of(of, *replicas), "spread")
    assert set(placed(decision).values()) == {("n0",), ("n1",), ("n2",)}
