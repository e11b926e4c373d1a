"""Evaluations as a gate: whether a model has shown what a service asks of it, before a revision with it is accepted and
while it takes over."""

from collections.abc import Iterator, Sequence

import msgspec

from suanli.domain.errors import Conflict, NotFound
from suanli.domain.model import Evaluation, ModelVersion, Reference
from suanli.domain.service import Phase, ServiceRecord
from suanli.domain.workload import Gate, ModelUse, Workload
from suanli.domain.world import World
from suanli.models.evaluation.names import lower_is_better
from suanli.ports.model_index import ModelIndex


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """A gate and what became of it. `measured` is the version's latest figure, None where it has none."""

    service: str
    model: str
    suite: str
    metric: str
    passed: bool
    measured: float | None
    sentence: str
    remedy: str = ""


def checked(index: ModelIndex, world: World, workloads: Sequence[Workload]) -> tuple[Checked, ...]:
    """Every gate of the workloads, whose models are resolved."""
    return tuple(
        _checked(index, world, workload, gate, workload.model)
        for workload in workloads
        if workload.service is not None and workload.model is not None
        for gate in workload.service.update.gates
    )


def require(gates: Sequence[Checked]) -> None:
    """Raises Conflict where one is not passed: what was measured, what is asked, and what to do."""
    failed = [gate for gate in gates if not gate.passed]
    if not failed:
        return
    more = f" So do {len(failed) - 1} other gates." if len(failed) > 1 else ""
    raise Conflict(
        f"{failed[0].service} keeps {failed[0].model} out: {failed[0].sentence}.{more}",
        remedy=failed[0].remedy,
        evidence={"gates": [msgspec.to_builtins(gate) for gate in failed]},
        code="SL-MODEL-GATE",
    )


def against(index: ModelIndex, world: World, service: ServiceRecord) -> str:
    """What has been measured by now that keeps the version out which is taking over; empty where nothing does."""
    target = service.revision(service.target)
    if target is None or service.phase is not Phase.UPDATING or not service.service.update.gates:
        return ""
    try:
        gates = checked(index, world, [target.workload])
    except NotFound:  # it was deleted nonetheless
        return ""
    return next((gate.sentence for gate in gates if not gate.passed), "")


def _checked(index: ModelIndex, world: World, workload: Workload, gate: Gate, use: ModelUse) -> Checked:
    version = index.version(Reference(name=use.name, number=use.number))
    found = _latest(version, gate)
    wrong, remedy = _lacks(version, gate)
    if found is not None:
        wrong, remedy = _below(gate, found.metrics[gate.metric]), ""
        if not wrong and gate.worse_max is not None:
            wrong, remedy = _worse(gate, found, _serving(index, world, workload), version)
    measured = None if found is None else found.metrics[gate.metric]
    return Checked(
        service=workload.name,
        model=version.reference,
        suite=gate.suite,
        metric=gate.metric,
        passed=not wrong,
        measured=measured,
        sentence=wrong or f"{gate.metric} on {gate.suite} is {measured:.6g}, {_asked(gate)} is asked",
        remedy=remedy or (_evaluate_again(version) if wrong else ""),
    )


def _latest(version: ModelVersion, gate: Gate, data_sha256: str = "") -> Evaluation | None:
    """The latest evaluation on that suite with that figure; with a digest, only one of the same data."""
    for evaluation in reversed(version.evaluations):
        same = not data_sha256 or evaluation.data_sha256 == data_sha256
        if evaluation.suite == gate.suite and gate.metric in evaluation.metrics and same:
            return evaluation
    return None


def _below(gate: Gate, measured: float) -> str:
    """What is wrong by the gate's own bounds, empty for nothing. A figure that is no number passes none."""
    least_holds = gate.at_least is None or measured >= gate.at_least
    most_holds = gate.at_most is None or measured <= gate.at_most
    if least_holds and most_holds:
        return ""
    return f"{gate.metric} on {gate.suite} is {measured:.6g}, {_asked(gate)} is asked"


def _worse(
    gate: Gate, found: Evaluation, serving: ModelVersion | None, version: ModelVersion
) -> tuple[str, str]:
    """What is wrong against the version that serves, and the remedy where that one lacks an evaluation."""
    if serving is None or (serving.name, serving.number) == (version.name, version.number):
        return "", ""
    other = _latest(serving, gate, found.data_sha256)
    if other is None:
        return _lacks(serving, gate)
    allowed, measured, theirs = gate.worse_max or 0.0, found.metrics[gate.metric], other.metrics[gate.metric]
    falls = measured - theirs if lower_is_better(gate.metric) else theirs - measured
    if falls <= allowed * abs(theirs):
        return "", ""
    told = (
        f"{gate.metric} on {gate.suite} is {measured:.6g}, {serving.reference} that serves has {theirs:.6g}"
    )
    return f"{told}; at most {allowed:.3g} of that worse is asked", ""


def _serving(index: ModelIndex, world: World, workload: Workload) -> ModelVersion | None:
    """The version that the service serves now, None where it serves none of the registry's."""
    service = world.services.get(workload.name)
    if service is None or service.phase is Phase.ENDED:
        return None
    revision = service.revision(service.settled or service.target)
    use = revision.workload.model if revision else None
    if use is None or not use.number:
        return None
    try:
        return index.version(Reference(name=use.name, number=use.number))
    except NotFound:  # deleted since: there is nothing to be held against
        return None


def _lacks(version: ModelVersion, gate: Gate) -> tuple[str, str]:
    return (
        f"{version.reference} has no {gate.metric} on {gate.suite}",
        f"Evaluate it: `suanli models evaluate {version.reference} --data {gate.suite}.jsonl`.",
    )


def _evaluate_again(version: ModelVersion) -> str:
    again = f"`suanli models evaluate {version.reference} --data FILE`"
    return f"Serve another version, or ask less. {again} measures it again."


def _asked(gate: Gate) -> str:
    return " and ".join(_bounds(gate)) or f"at most {gate.worse_max:.3g} worse than what serves"


def _bounds(gate: Gate) -> Iterator[str]:
    if gate.at_least is not None:
        yield f"at least {gate.at_least:g}"
    if gate.at_most is not None:
        yield f"at most {gate.at_most:g}"
