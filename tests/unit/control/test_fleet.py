"""The fleet that decisions count with."""

from typing import Any

import pytest

from suanli.control.fleet import capacity
from suanli.domain.fleet import Fleet, Node, NodeScaling
from suanli.domain.observation import NodeView
from suanli.policies.scale import names_to_add

DECLARED = Node(name="declared", cpus=4, memory_bytes=2**30)
TEMPLATE = Node(name="extra", cpus=8, memory_bytes=2**30)
SCALING = NodeScaling(template=TEMPLATE, nodes_max=1)
FLEET = Fleet(name="grows", nodes=(DECLARED,), scaling=SCALING)


def test_a_declared_node_that_is_lost_stays_and_says_so():
    here = capacity(FLEET, [NodeView(name="declared", seen=DECLARED, alive=False)], {})
    assert [node.name for node in here.fleet.nodes] == ["declared"]
    assert here.unusable == {"declared": "down"}


def test_a_node_added_by_scaling_counts_while_it_lives_and_can_be_added_anew_once_it_is_lost_or_given_back():
    extra = NodeView(name="extra-0", seen=TEMPLATE)
    grown = capacity(FLEET, [extra], {}).fleet
    assert [node.name for node in grown.nodes] == ["declared", "extra-0"]
    shrunk = capacity(FLEET, [NodeView(name="extra-0", seen=TEMPLATE, alive=False)], {}).fleet
    assert names_to_add(SCALING, 1, [node.name for node in shrunk.nodes]) == ("extra-0",)


def view(name: str, *, alive: bool = True, **seen: Any) -> NodeView:
    seen.setdefault("cpus", 8)
    seen.setdefault("memory_bytes", 2**34)
    return NodeView(name=name, seen=Node(name=name, **seen), alive=alive)


def test_without_a_declared_fleet_it_is_what_was_found():
    here = capacity(None, [view("a"), view("b", alive=False)], {"a": False})
    assert [(node.name, node.cpus) for node in here.fleet.nodes] == [("a", 8), ("b", 8)]
    assert here.unusable == {"a": "cordoned", "b": "down"}


def test_a_declared_node_never_counts_for_more_than_was_found():
    declared = Node(
        name="a",
        cpus=16,
        memory_bytes=2**35,
        disk_bytes=2**40,
        network_bps=1e9,
        accelerators=("H100",) * 8,
        labels={"disk": "nvme"},
    )
    found = view("a", disk_bytes=2**38, network_bps=25e9, accelerators=("H100",) * 4)
    (node,) = capacity(Fleet(name="lab", nodes=(declared,)), [found], {}).fleet.nodes
    assert (node.cpus, node.memory_bytes, node.disk_bytes) == (8, 2**34, 2**38)
    assert (node.network_bps, len(node.accelerators), node.labels) == (1e9, 4, {"disk": "nvme"})


def test_and_a_fleet_that_declares_less_gets_less():
    (node,) = capacity(Fleet(name="lab", nodes=(DECLARED,)), [view("declared")], {}).fleet.nodes
    assert (node.cpus, node.memory_bytes) == (4, 2**30)


def test_what_is_not_declared_of_a_node_is_what_was_found():
    bare = Node(name="a", cpus=4, memory_bytes=0)
    found = view("a", disk_bytes=2**38, network_bps=25e9)
    (node,) = capacity(Fleet(name="lab", nodes=(bare,)), [found], {}).fleet.nodes
    assert (node.memory_bytes, node.disk_bytes, node.network_bps) == (2**34, 2**38, 25e9)


@pytest.mark.parametrize(
    ("found", "cordoned", "why"),
    [
        ([], {}, "not seen yet"),
        ([view("declared", alive=False)], {"declared": True}, "down"),
        ([view("declared")], {"declared": False}, "cordoned"),
        ([view("declared")], {"declared": True}, "draining"),
    ],
)
def test_a_node_that_cannot_be_used_says_why(found: list[NodeView], cordoned: dict[str, bool], why: str):
    assert capacity(FLEET, found, cordoned).unusable == {"declared": why}


def test_nodes_that_are_neither_declared_nor_added_are_not_used():
    here = capacity(FLEET, [view("declared"), view("stranger"), view("extra"), view("extra-x")], {})
    assert [node.name for node in here.fleet.nodes] == ["declared"]


def test_an_added_node_is_what_the_template_says_but_never_more_than_was_found():
    here = capacity(FLEET, [view("extra-0", cpus=2), view("extra-1", cpus=99)], {"extra-1": False})
    assert [(node.name, node.cpus) for node in here.fleet.nodes[1:]] == [("extra-0", 2), ("extra-1", 8)]
    assert here.unusable == {"declared": "not seen yet", "extra-1": "cordoned"}
