"""The cluster's nodes as Suanli sees them. Pure: rows of `ray.nodes()` in, views out."""

from collections.abc import Mapping, Sequence
from typing import Any

from suanli.domain.fleet import Node
from suanli.domain.observation import NodeView
from suanli.engine.ray.names import ACCELERATOR_LABEL, NODE_LABEL

NodeRow = Mapping[str, Any]


def name_of(row: NodeRow) -> str:
    """Suanli's label, else the host's name."""
    return row["Labels"].get(NODE_LABEL) or row["NodeManagerHostname"]


def living_by_name(rows: Sequence[NodeRow]) -> dict[str, NodeRow]:
    """A name that two living nodes claim goes to the one that Ray lists first."""
    living: dict[str, NodeRow] = {}
    for row in rows:
        if row["Alive"]:
            living.setdefault(name_of(row), row)
    return living


def views(rows: Sequence[NodeRow], measured: Mapping[str, Node]) -> tuple[NodeView, ...]:
    """One view per name. `measured`, by node id, is what agents saw; a node that declares its make is believed."""
    living = living_by_name(rows)
    latest = {name_of(row): row for row in rows} | living
    return tuple(
        NodeView(
            name=name,
            seen=_declared(name, row) if ACCELERATOR_LABEL in row["Labels"] else _seen(name, row, measured),
            alive=name in living,
            address=row["NodeManagerAddress"],
        )
        for name, row in latest.items()
    )


def _seen(name: str, row: NodeRow, measured: Mapping[str, Node]) -> Node:
    return measured.get(row["NodeID"]) or _declared(name, row)


def _declared(name: str, row: NodeRow) -> Node:
    resources: Mapping[str, float] = row["Resources"]
    model = row["Labels"].get(ACCELERATOR_LABEL) or row["Labels"].get("ray.io/accelerator-type", "")
    return Node(
        name=name,
        cpus=resources.get("CPU", 0.0),
        memory_bytes=int(resources.get("memory", 0)),
        accelerators=(model,) * int(resources.get("GPU", 0)) if model else (),
    )
