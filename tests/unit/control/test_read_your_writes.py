"""Who changes the nodes and then asks for them is told of the change, whether or not a cycle came in between."""

from pathlib import Path

from suanli.control import requests
from suanli.control.controller import Controller, Ports
from suanli.control.requests import Asked
from suanli.control.snapshot import take
from suanli.domain.fleet import Fleet, Node
from suanli.ports.clock import VirtualClock
from suanli.ports.fake_engine import FakeEngine
from suanli.ports.memory_store import MemoryStore
from suanli.ports.scripted_telemetry import ScriptedTelemetry

NODES = (Node(name="big", cpus=8, memory_bytes=2**34), Node(name="small", cpus=4, memory_bytes=2**34))


def _controller() -> Controller:
    clock = VirtualClock(0.0)
    controller = Controller(
        Ports(MemoryStore(), FakeEngine(clock, NODES), clock, ScriptedTelemetry()),
        holder="test",
        home=Path("home"),
    )
    controller.cycle()
    return controller


def test_a_cordoned_node_is_cordoned_at_once() -> None:
    controller = _controller()
    requests.cordon(controller, "big", actor="test")
    assert take(controller).unusable == {"big": "cordoned"}
    requests.cordon(controller, "big", actor="test", drain=True)
    assert take(controller).unusable == {"big": "draining"}
    requests.uncordon(controller, "big", actor="test")
    assert take(controller).unusable == {}


def test_a_declared_fleet_is_the_fleet_at_once() -> None:
    controller = _controller()
    requests.apply(controller, Asked(fleet=Fleet(name="lab", nodes=NODES[:1])), actor="test")
    assert [node.name for node in take(controller).fleet.nodes] == ["big"]
