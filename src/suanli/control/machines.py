"""The engine of a controller, by what the settings call it, and the probe that measures its nodes."""

import functools
from collections.abc import Callable, Sequence

import msgspec

from suanli.catalog.accelerators import load
from suanli.control.home import Home
from suanli.domain.fleet import Node
from suanli.domain.observation import NodeSample
from suanli.engine.ray.cluster import connect, start_or_adopt, stop
from suanli.engine.ray.engine import RayEngine
from suanli.engine.ray.nodes import RayNodes
from suanli.ports.clock import Clock
from suanli.ports.engine import Engine, Nodes
from suanli.ports.fake_engine import FakeEngine, FakeNodes
from suanli.telemetry.discover import discover
from suanli.telemetry.sampling import sample_node

EMBEDDED, FAKE = "embedded", "fake"
THIS_NODE = "local"


class Machines(msgspec.Struct, frozen=True):
    """Where work runs. `end` stops the cluster itself where it was started for this controller."""

    engine: Engine
    nodes: Nodes | None
    end: Callable[[], None]


def machines(name: str, home: Home, clock: Clock, fake_nodes: Sequence[Node]) -> Machines:
    """`embedded`, `fake`, or the address of a Ray cluster. Raises Unavailable."""
    if name == FAKE:
        fake = FakeEngine(clock, fake_nodes)
        return Machines(fake, FakeNodes(fake, clock), lambda: None)
    if name == EMBEDDED:
        handle = start_or_adopt(home.ray, discover(THIS_NODE, catalogue_name))
        return Machines(RayEngine(handle, probe=probe), RayNodes(handle), lambda: stop(handle))
    return Machines(RayEngine(connect(name), probe=probe), None, lambda: None)


def probe(node: str) -> tuple[Node, NodeSample]:
    """What the machine that this runs on has, and how busy it is."""
    return _machine(node), sample_node(node)


@functools.cache
def _machine(name: str) -> Node:
    """Looked at once: free disk changes with every look, and with it every plan that was shown would go stale."""
    return discover(name, catalogue_name)


def catalogue_name(product: str) -> str:
    """The catalogue's name of an accelerator as its driver calls it; the driver's own where there is none."""
    known = load().lookup(product)
    return known.name if known else product
