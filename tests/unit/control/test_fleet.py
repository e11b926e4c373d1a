"""The fleet that decisions count with."""

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
