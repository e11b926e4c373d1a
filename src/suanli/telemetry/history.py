"""The last two hours' load of nodes and workloads, in memory."""

import threading
from collections.abc import Iterable, Sequence

from suanli.domain.fleet import Node
from suanli.domain.observation import AttemptView, NodeSample, Phase
from suanli.telemetry.points import Points
from suanli.telemetry.readings import NODE_METRICS, ProgressReader, of_node, of_workers

_MEASURED = (Phase.RUNNING, Phase.READY, Phase.STOPPING)


class History:
    """The Telemetry port, safe from any thread.

    Rows carry the controller's instant: the clocks of nodes may differ. A node's sample counts once, however often it
    is seen; a node or agent that went silent leaves a gap, not zeros. Metrics are named in `readings`.
    """

    def __init__(self, keep_s: float = 7200.0, points_max: int = 600) -> None:
        """Subjects silent for `keep_s` are forgotten; of each at most `points_max` rows are held."""
        self._keep_s = keep_s
        self._points_max = points_max
        self._lock = threading.Lock()
        self._machines: dict[str, Node] = {}
        self._nodes: dict[str, Points] = {}
        self._workloads: dict[str, Points] = {}
        self._sampled_at_s: dict[str, float] = {}
        self._progress: dict[str, ProgressReader] = {}
        self._newest_s = self._swept_s = 0.0

    def describe(self, nodes: Iterable[Node]) -> None:
        """Say what the sampled machines have, so that memory and network can be told as fractions."""
        with self._lock:
            self._machines.update((node.name, node) for node in nodes)

    def record(self, at_s: float, samples: Sequence[NodeSample], attempts: Sequence[AttemptView]) -> None:
        with self._lock:
            self._newest_s = max(self._newest_s, at_s)
            for sample in samples:
                self._record_node(at_s, sample)
            for view in attempts:
                if view.phase in _MEASURED:
                    self._record_attempt(at_s, view)
            if at_s - self._swept_s > self._keep_s / 10:
                self._forget_silent()

    def node_load(self, window_s: float, now_s: float) -> dict[str, dict[str, float]]:
        with self._lock:
            means = {node: points.means(now_s - window_s) for node, points in self._nodes.items()}
        return {node: load for node, load in means.items() if load}

    def workload_use(self, window_s: float, now_s: float) -> dict[str, float]:
        with self._lock:
            means = {key: points.means(now_s - window_s) for key, points in self._workloads.items()}
        return {
            key: use.get("held_accelerator_fraction", use["cpu_cores"]) for key, use in means.items() if use
        }

    def series(self, subject: str, metric: str, since_s: float) -> Sequence[tuple[float, float]]:
        with self._lock:
            points = self._table(metric).get(subject)
            since_s = max(since_s, self._newest_s - self._keep_s)
            return points.series(metric, since_s) if points else []

    def subjects(self, metric: str) -> Sequence[str]:
        with self._lock:
            return [subject for subject, points in self._table(metric).items() if metric in points.metrics]

    def _table(self, metric: str) -> dict[str, Points]:
        return self._nodes if metric in NODE_METRICS else self._workloads

    def _record_node(self, at_s: float, sample: NodeSample) -> None:
        if self._sampled_at_s.get(sample.node) == sample.at_s:
            return
        self._sampled_at_s[sample.node] = sample.at_s
        metrics = of_node(sample, self._machines.get(sample.node))
        self._append(self._nodes, sample.node, at_s, metrics)

    def _record_attempt(self, at_s: float, view: AttemptView) -> None:
        metrics = of_workers(view)
        if view.progress:
            reader = self._progress.get(view.key)
            if reader is None or reader.number != view.number:
                reader = self._progress[view.key] = ProgressReader(view.number)
            metrics |= reader.take(view.progress, at_s)
        self._append(self._workloads, view.key, at_s, metrics)

    def _append(self, table: dict[str, Points], subject: str, at_s: float, metrics: dict[str, float]) -> None:
        points = table.get(subject)
        if points is None:
            points = table[subject] = Points(self._points_max, self._keep_s)
        points.append(at_s, metrics)

    def _forget_silent(self) -> None:
        self._swept_s = self._newest_s
        for table in (self._nodes, self._workloads):
            for subject in [
                s for s, points in table.items() if points.newest_s < self._newest_s - self._keep_s
            ]:
                del table[subject]
        for memory, table in ((self._sampled_at_s, self._nodes), (self._progress, self._workloads)):
            for subject in memory.keys() - table.keys():
                del memory[subject]
