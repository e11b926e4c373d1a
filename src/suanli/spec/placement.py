"""The placement problem that a document declares, and what only its values together can get wrong."""

from collections.abc import Sequence
from math import ceil

import msgspec

from suanli.domain.problem import (
    MAX_UTILISATION,
    MIN_COMPLETION_TIME,
    MIN_COST,
    Gang,
    NodeClass,
    Objective,
    Option,
    PlacementProblem,
)
from suanli.spec.placement_shape import ProblemNodeShape, ProblemShape, ProblemWorkloadShape
from suanli.spec.problems import nearest
from suanli.spec.scope import Path, Scope

RESOURCES = ("cpus", "memory_bytes", "disk_bytes", "network_bps", "accelerators")
NODES_MAX = 100_000
OBJECTIVES = {
    "min-cost": MIN_COST,
    "min-completion-time": MIN_COMPLETION_TIME,
    "max-utilisation": MAX_UTILISATION,
}


class _Nodes(msgspec.Struct, frozen=True):
    """A class with what its domain value leaves out."""

    node_class: NodeClass
    accelerator: str
    price_per_hour: float


def problem_of(shape: ProblemShape, scope: Scope) -> PlacementProblem:
    """The problem of a document of the right shape; whatever else is wrong goes to the scope."""
    _unique([node.name for node in shape.nodes], "nodes", scope)
    _unique([workload.name for workload in shape.workloads], "workloads", scope)
    if sum(node.count for node in shape.nodes) > NODES_MAX:
        scope.refuse(("nodes",), f"a problem has at most {NODES_MAX:,} nodes")
    nodes = [_nodes(node, ("nodes", index), scope) for index, node in enumerate(shape.nodes)]
    totals = [
        sum(each.node_class.count * each.node_class.capacity[r] for each in nodes)
        for r in range(len(RESOURCES))
    ]
    gangs = tuple(
        _gang(workload, ("workloads", index), nodes, totals, scope)
        for index, workload in enumerate(shape.workloads)
    )
    return PlacementProblem(
        name=shape.name,
        resources=RESOURCES,
        classes=tuple(each.node_class for each in nodes),
        gangs=gangs,
        objective=_objective(shape, scope),
    )


def _unique(names: Sequence[str], field: str, scope: Scope) -> None:
    for index, name in enumerate(names):
        if name in names[:index]:
            scope.refuse((field, index, "name"), f"there are two {field} called {name!r}", "Rename one.")


def _objective(shape: ProblemShape, scope: Scope) -> Objective:
    said = shape.weights
    if said is None:
        return OBJECTIVES[shape.objective]
    if scope.document.has(("objective",)):
        scope.refuse(("weights",), "`weights` take the place of `objective`", "Keep one of them.")
    if said.cost == said.hours == said.value == 0:
        scope.refuse(("weights",), "all weights are 0", "For example `weights: {cost: 1, hours: 20}`.")
        return MIN_COST
    return Objective(cost_weight=said.cost, time_weight=said.hours / 3600, value_weight=said.value)


def _nodes(shape: ProblemNodeShape, path: Path, scope: Scope) -> _Nodes:
    name, count, price = "", 0.0, None
    if len(shape.accelerators) > 1:
        scope.refuse((*path, "accelerators"), "a node has accelerators of one kind here", "Keep one of them.")
    elif shape.accelerators:
        written, count = shape.accelerators[0]
        known = scope.accelerator(written, (*path, "accelerators"))
        if known is not None:
            name, price = known.name, known.price_per_hour_usd
            if price is None and shape.price is None:
                scope.warn(
                    (*path, "accelerators"),
                    f"no price is known for {name}; it counts as free",
                    "Set `price`.",
                )
    if shape.price is not None:
        amount, per = shape.price
        price_per_hour = amount * count if per == "accelerator" else amount
    else:
        price_per_hour = (price or 0.0) * count
    node_class = NodeClass(
        name=shape.name,
        count=shape.count,
        capacity=(shape.cpus, float(shape.memory), float(shape.disk), shape.network, count),
        opening_usd=shape.opening,
    )
    return _Nodes(node_class, name, price_per_hour)


def _gang(
    shape: ProblemWorkloadShape, path: Path, nodes: Sequence[_Nodes], totals: Sequence[float], scope: Scope
) -> Gang:
    wanted: dict[str, float] = {}
    for index, (written, count) in enumerate(shape.resources.accelerators):
        known = scope.accelerator(written, (*path, "resources", "accelerators", index))
        if known is not None:
            wanted.setdefault(known.name, count)
    durations = _by_class(shape.duration, (*path, "duration"), nodes, scope)
    costs = _by_class(shape.cost, (*path, "cost"), nodes, scope)
    size = shape.resources.nodes or shape.nodes
    options: list[Option] = []
    for c, each in enumerate(nodes):
        if c not in durations or (shape.resources.accelerators and each.accelerator not in wanted):
            continue
        demand = _demand(shape, wanted.get(each.accelerator, 0.0))
        duration_s = max(1, ceil(durations[c]))
        paid = costs.get(c, each.price_per_hour * _largest_share(demand, each.node_class) * duration_s / 3600)
        options.append(
            Option(
                node_class=c,
                demand=demand,
                duration_s=duration_s,
                cost_usd=size * paid,
                value=_share_of_all(demand, size, totals) if shape.value is None else shape.value,
            )
        )
    return Gang(name=shape.name, nodes=size, options=tuple(options))


def _demand(shape: ProblemWorkloadShape, accelerators: float) -> tuple[float, ...]:
    """What it holds on a node; a core for each worker, of which there is one per accelerator, unless it says."""
    asked = shape.resources
    cpus = max(1.0, float(int(accelerators))) if asked.cpus is None else asked.cpus
    return (cpus, float(asked.memory), float(asked.disk), asked.network, accelerators)


def _largest_share(demand: Sequence[float], node_class: NodeClass) -> float:
    shares = (d / c for d, c in zip(demand, node_class.capacity, strict=True) if c > 0)
    return min(1.0, max(shares, default=0.0))


def _share_of_all(demand: Sequence[float], size: int, totals: Sequence[float]) -> float:
    """The mean, over the resources that there are, of what it holds of all nodes': 1 if it used up everything."""
    shares = [size * d / total for d, total in zip(demand, totals, strict=True) if total > 0]
    return sum(shares) / len(shares) if shares else 0.0


def _by_class(given: dict[str, float], path: Path, nodes: Sequence[_Nodes], scope: Scope) -> dict[int, float]:
    """By place of the class: what is said of its name, else of its accelerator, else of all (`*`)."""
    keys = {key: _key(key, nodes, scope) for key in given if key != "*"}
    for key, found in keys.items():
        if not found:
            names = [each.node_class.name for each in nodes] + [each.accelerator for each in nodes]
            near = nearest(key, filter(None, names))
            known = ", ".join(dict.fromkeys(filter(None, names)))
            remedy = f"Did you mean `{near}`?" if near else f"There are {known[:200]}."
            scope.refuse((*path, key), f"no nodes and no accelerator of theirs are called {key!r}", remedy)
    by_name = {c: given[key] for key, found in keys.items() for c in found}
    if "*" in given:
        by_name = dict.fromkeys(range(len(nodes)), given["*"]) | by_name
    for key in keys:  # a name says more than an accelerator
        for c, each in enumerate(nodes):
            if each.node_class.name == key:
                by_name[c] = given[key]
    return by_name


def _key(key: str, nodes: Sequence[_Nodes], scope: Scope) -> list[int]:
    known = scope.catalog.lookup(key)
    return [
        c
        for c, each in enumerate(nodes)
        if each.node_class.name == key or (known is not None and each.accelerator == known.name)
    ]
