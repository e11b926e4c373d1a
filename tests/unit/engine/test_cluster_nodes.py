"""The cluster's nodes as Suanli sees them."""

from typing import Any

from suanli.domain.fleet import Node
from suanli.engine.ray.cluster_nodes import living_by_name, views


def row(id_: str, host: str = "h", *, alive: bool = True, **labels: str) -> dict[str, Any]:
    return {
        "NodeID": id_,
        "Alive": alive,
        "NodeManagerHostname": host,
        "NodeManagerAddress": f"10.0.0.{id_}",
        "Resources": {"CPU": 4.0, "GPU": 2.0, "memory": 1024.0},
        "Labels": {name.replace("_", "-"): value for name, value in labels.items()},
    }


def test_a_node_is_called_by_its_label_or_else_by_its_host() -> None:
    assert set(living_by_name([row("1", suanli_node="a"), row("2", host="b")])) == {"a", "b"}


def test_a_node_that_came_back_under_its_name_is_alive() -> None:
    (view,) = views([row("1", alive=False), row("2")], {})
    assert (view.name, view.alive, view.address) == ("h", True, "10.0.0.2")


def test_a_name_whose_only_nodes_are_dead_is_shown_dead() -> None:
    (view,) = views([row("1", alive=False)], {})
    assert not view.alive


def test_what_an_agent_measured_counts_unless_the_node_declares_its_make() -> None:
    measured = Node(name="h", cpus=64, memory_bytes=1)
    assert views([row("1")], {"1": measured})[0].seen == measured
    declared = views([row("1", suanli_accelerator="A100-80GB")], {"1": measured})[0].seen
    assert declared == Node(name="h", cpus=4, memory_bytes=1024, accelerators=("A100-80GB",) * 2)
