"""A Telemetry whose loads are set by hand, so that a hot node or an idle workload needs no machine."""

from collections import deque
from collections.abc import Sequence

from suanli.domain.observation import AttemptView, NodeSample, Phase

_POINTS_MAX = 1_000
_MEASURED = (Phase.RUNNING, Phase.READY, Phase.STOPPING)

_Points = dict[str, dict[str, deque[tuple[float, float]]]]


class ScriptedTelemetry:
    """Every `record` takes in what was observed, overruled by what was set.

    It measures less than the real one: of nodes CPU, disk and accelerator fractions, of workloads what they use and
    what the program reports. Any other metric can be set.
    """

    def __init__(self) -> None:
        self._nodes: _Points = {}
        self._workloads: _Points = {}
        self._set_nodes: dict[str, dict[str, float]] = {}
        self._set_workloads: dict[str, dict[str, float]] = {}

    def set_node(self, node: str, **metrics: float) -> None:
        """From the next record on the node measures this, sampled or not."""
        self._set_nodes.setdefault(node, {}).update(metrics)

    def set_workload(self, key: str, **metrics: float) -> None:
        """The same for a workload. Its use is `held_accelerator_fraction` where that is known, else `cpu_cores`."""
        self._set_workloads.setdefault(key, {}).update(metrics)

    def record(self, at_s: float, samples: Sequence[NodeSample], attempts: Sequence[AttemptView]) -> None:
        seen = {sample.node: _of_node(sample) for sample in samples}
        _append(self._nodes, at_s, seen, self._set_nodes)
        running = {view.key: _of_attempt(view) for view in attempts if view.phase in _MEASURED}
        _append(self._workloads, at_s, running, self._set_workloads)

    def node_load(self, window_s: float, now_s: float) -> dict[str, dict[str, float]]:
        return _means(self._nodes, now_s - window_s)

    def workload_use(self, window_s: float, now_s: float) -> dict[str, float]:
        means = _means(self._workloads, now_s - window_s)
        used = {key: m.get("held_accelerator_fraction", m.get("cpu_cores")) for key, m in means.items()}
        return {key: value for key, value in used.items() if value is not None}

    def series(self, subject: str, metric: str, since_s: float) -> Sequence[tuple[float, float]]:
        points = [
            point
            for table in (self._nodes, self._workloads)
            for point in table.get(subject, {}).get(metric, ())
        ]
        return [point for point in points if point[0] >= since_s]

    def subjects(self, metric: str) -> Sequence[str]:
        return [
            subject
            for table in (self._nodes, self._workloads)
            for subject, metrics in table.items()
            if metric in metrics
        ]


def _of_node(sample: NodeSample) -> dict[str, float]:
    metrics = {"cpu_fraction": sample.cpu_fraction, "disk_fraction": sample.disk_used_fraction}
    if sample.accelerator_fraction:
        metrics["accelerator_fraction"] = _mean(sample.accelerator_fraction)
    return metrics


def _of_attempt(view: AttemptView) -> dict[str, float]:
    metrics = {"cpu_cores": sum(worker.cpu_fraction for worker in view.workers)}
    accelerators = [w.accelerator_fraction for w in view.workers if w.accelerator_fraction is not None]
    if accelerators:
        metrics["held_accelerator_fraction"] = _mean(accelerators)
    reported = view.progress.metrics if view.progress else {}
    return metrics | {f"metric:{name}": value for name, value in reported.items()}


def _append(
    table: _Points, at_s: float, seen: dict[str, dict[str, float]], overruling: dict[str, dict[str, float]]
) -> None:
    for subject in seen.keys() | overruling.keys():
        for metric, value in (seen.get(subject, {}) | overruling.get(subject, {})).items():
            points = table.setdefault(subject, {}).setdefault(metric, deque(maxlen=_POINTS_MAX))
            points.append((at_s, value))


def _means(table: _Points, since_s: float) -> dict[str, dict[str, float]]:
    means: dict[str, dict[str, float]] = {}
    for subject, metrics in table.items():
        recent = {m: [v for t, v in points if t >= since_s] for m, points in metrics.items()}
        if any(recent.values()):
            means[subject] = {metric: _mean(values) for metric, values in recent.items() if values}
    return means


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
