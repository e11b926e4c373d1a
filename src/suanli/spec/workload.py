"""The workload that a document of the right shape declares, and what only its values together can get wrong."""

import posixpath
from datetime import datetime, timedelta

from suanli.domain.resources import AcceleratorDemand, Demand
from suanli.domain.workload import Dataset, EndCause, IdleRule, Kind, ModelUse, Retry, Workload
from suanli.spec.fields import instant_s
from suanli.spec.pace import Pace, pace_of
from suanli.spec.scope import Path, Scope
from suanli.spec.serve import service_of
from suanli.spec.serve_shape import Serve
from suanli.spec.workload_shape import NODES_MAX, Batch, Resources

SERVICE_RETRIES = 10


def workload_of(shape: Batch | Serve, scope: Scope) -> Workload:
    """The workload of a document of the right shape; whatever else is wrong with it goes to the scope."""
    nodes = _nodes(shape, scope)
    batch = shape if isinstance(shape, Batch) else None
    elastic = _elastic(batch.elastic, nodes, scope) if batch and batch.elastic else None
    workers = _workers_per_node(shape, scope)
    pace = pace_of(batch, scope) if batch else Pace()
    return Workload(
        name=shape.name,
        kind=Kind(shape.kind),
        run=shape.run,
        demand=_demand(shape.resources, workers, scope),
        nodes=nodes or (elastic[0] if elastic else 1),
        elastic_nodes=elastic,
        workers_per_node=workers,
        team=shape.team,
        priority=shape.priority,
        preemptible=shape.preemptible,
        held=shape.hold,
        env=dict(shape.env),
        workdir=_workdir(shape, scope),
        after=shape.after,
        model_from=(shape.model.from_ or "") if shape.model else "",
        model=_model(shape, scope),
        not_before_s=_instant_s(shape.not_before, ("not_before",), scope),
        duration_s=pace.duration_s,
        speeds=pace.speeds,
        work=pace.work,
        deadline_s=_instant_s(batch.deadline, ("deadline",), scope) if batch else None,
        checkpoint_every_s=batch.checkpoint.every if batch and batch.checkpoint else None,
        grace_s=shape.grace,
        processes_max=shape.processes,
        retry=_retry(shape),
        idle=IdleRule(below=shape.idle.below, for_s=shape.idle.for_, then=shape.idle.then)
        if shape.idle
        else None,
        data=tuple(Dataset(uri=item.uri, size_bytes=item.size, at=item.at) for item in shape.data),
        outputs=tuple(batch.outputs) if batch else (),
        node_labels=dict(shape.node_labels),
        service=service_of(shape, scope) if isinstance(shape, Serve) else None,
    )


def _model(shape: Batch | Serve, scope: Scope) -> ModelUse | None:
    model = shape.model
    if model is None or model.ref is None:
        return None
    if model.from_ is not None:
        scope.refuse(("model",), "`from` and `ref` name two models", "Keep one of them.")
    return ModelUse(ref=model.ref)


def _nodes(shape: Batch | Serve, scope: Scope) -> int | None:
    if shape.nodes and shape.resources.nodes and shape.nodes != shape.resources.nodes:
        scope.refuse(
            ("resources", "nodes"),
            f"`nodes` is {shape.nodes} and `resources.nodes` is {shape.resources.nodes}",
            "Keep one of them.",
        )
    return shape.nodes or shape.resources.nodes


def _elastic(elastic: tuple[int, int | None], nodes: int | None, scope: Scope) -> tuple[int, int] | None:
    fewest, most = elastic
    if most is None or fewest < 1 or most > NODES_MAX:
        expected = f"expected a range of nodes with both ends, from 1 to {NODES_MAX:,}"
        scope.refuse(("elastic",), expected, "For example `elastic: 1..4`.")
        return None
    if nodes is not None and not fewest <= nodes <= most:
        field = ("nodes",) if scope.document.has(("nodes",)) else ("resources", "nodes")
        scope.refuse(
            field, f"{nodes} nodes lie outside `elastic: {fewest}..{most}`", "Widen one, or narrow the other."
        )
    return fewest, most


def _workers_per_node(shape: Batch | Serve, scope: Scope) -> int:
    counts = {count for _, count in shape.resources.accelerators}
    workers = shape.workers_per_node
    if workers is None and isinstance(shape, Serve):
        return 1  # all workers of a replica would listen on its one port
    if workers is None:
        if len(counts) > 1:
            scope.refuse(
                ("resources", "accelerators"),
                "the alternatives have different counts, so one worker per accelerator has no one meaning",
                "Set `workers_per_node`.",
            )
        return max(1, int(min(counts, default=1)))
    for count in sorted(counts):
        if workers > 1 and count % workers:
            scope.refuse(
                ("workers_per_node",),
                f"{workers} workers cannot share {count:g} accelerators evenly",
                "Each worker gets the same number of whole accelerators.",
            )
    return workers


def _demand(resources: Resources, workers: int, scope: Scope) -> Demand:
    wanted: dict[str, AcceleratorDemand] = {}
    for index, (name, count) in enumerate(resources.accelerators):
        path: Path = ("resources", "accelerators", index)
        known = scope.accelerator(name, path)
        if known is not None:
            wanted[f"{known.name}:{count}"] = AcceleratorDemand(known.name, count)
    return Demand(
        cpus=float(workers) if resources.cpus is None else resources.cpus,
        memory_bytes=resources.memory,
        disk_bytes=resources.disk,
        network_bps=resources.network,
        accelerators=tuple(wanted.values()),
    )


def _workdir(shape: Batch | Serve, scope: Scope) -> str:
    if shape.workdir is None:
        return scope.document.source.folder
    return posixpath.normpath(scope.absolute(shape.workdir, ("workdir",)))


def _instant_s(when: datetime | timedelta | None, path: Path, scope: Scope) -> float | None:
    if when is None:
        return None
    if isinstance(when, datetime) and when.tzinfo is None:
        scope.warn(
            path,
            f"{when.isoformat(' ', 'minutes')} has no time zone and is read as UTC",
            "Add one: +08:00, Z.",
        )
    at_s = instant_s(when, scope.now_s)
    if at_s < scope.now_s:
        scope.warn(path, "this instant is past")
    return at_s


def _retry(shape: Batch | Serve) -> Retry:
    limit = shape.retry.limit
    if limit is None:
        limit = SERVICE_RETRIES if isinstance(shape, Serve) else Retry().limit
    on = (
        Retry().on
        if shape.retry.on is None
        else tuple(EndCause(cause) for cause in dict.fromkeys(shape.retry.on))
    )
    return Retry(limit=limit, delay_s=shape.retry.delay, on=on)
