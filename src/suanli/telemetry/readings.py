"""From what was observed to named numbers. The names are the ones alert rules, reports and `/metrics` use."""

import math
from collections.abc import Mapping, Sequence

from suanli.domain.fleet import Node
from suanli.domain.observation import AttemptView, NodeSample, Progress

NODE_METRICS: Mapping[str, str] = {
    "cpu_fraction": "CPU in use, of the whole node.",
    "memory_used_bytes": "Memory in use.",
    "memory_fraction": "Memory in use, of the whole node.",
    "disk_fraction": "Disk space in use where the working folder lies.",
    "disk_bytes_per_s": "Read from and written to disks.",
    "network_bytes_per_s": "Received and sent.",
    "network_fraction": "The fuller direction of the network, of its speed where that is known.",
    "accelerator_fraction": "Accelerators in use, mean over the node's devices.",
    "accelerator_memory_bytes": "Accelerator memory in use, sum over the node's devices.",
    "power_w": "Power drawn by the node's accelerators.",
}
"""Metrics of nodes; all others are of workloads. So a node and a workload of the same name don't mix."""

WORKLOAD_METRICS: Mapping[str, str] = {
    "cpu_cores": "CPU cores in use, sum over the workers.",
    "rss_bytes": "Resident memory, sum over the workers.",
    "held_accelerator_fraction": "Use of the accelerators held, mean over the workers that hold one.",
    "held_accelerator_memory_bytes": "Memory in use on the accelerators held, sum over the workers.",
    "step": "The step last reported.",
    "steps_per_s": "Steps per second between the last two reports; falls once the next is overdue.",
    "metric:NAME": "What the program itself reports under that name, such as `metric:loss`.",
}


def of_node(sample: NodeSample, node: Node | None) -> dict[str, float]:
    """Metrics of one sample. Fractions of memory and network need to know what the node has."""
    received, sent = sample.network_received_bytes_per_s, sample.network_sent_bytes_per_s
    metrics = {
        "cpu_fraction": sample.cpu_fraction,
        "memory_used_bytes": float(sample.memory_used_bytes),
        "disk_fraction": sample.disk_used_fraction,
        "disk_bytes_per_s": sample.disk_read_bytes_per_s + sample.disk_write_bytes_per_s,
        "network_bytes_per_s": received + sent,
    }
    if node and node.memory_bytes:
        metrics["memory_fraction"] = sample.memory_used_bytes / node.memory_bytes
    if node and node.network_bps:
        metrics["network_fraction"] = (
            max(received, sent) * 8 / node.network_bps
        )  # full duplex: the fuller way
    if sample.accelerator_fraction:
        metrics["accelerator_fraction"] = _mean(sample.accelerator_fraction)
    if sample.accelerator_memory_bytes:
        metrics["accelerator_memory_bytes"] = float(sum(sample.accelerator_memory_bytes))
    if sample.power_w is not None:
        metrics["power_w"] = sample.power_w
    return metrics


def of_workers(view: AttemptView) -> dict[str, float]:
    """What the processes of an attempt use. The accelerator's fraction is the mean over workers that hold one."""
    metrics = {
        "cpu_cores": sum(worker.cpu_fraction for worker in view.workers),
        "rss_bytes": float(sum(worker.rss_bytes for worker in view.workers)),
    }
    fractions = [w.accelerator_fraction for w in view.workers if w.accelerator_fraction is not None]
    memories = [w.accelerator_memory_bytes for w in view.workers if w.accelerator_memory_bytes is not None]
    if fractions:
        metrics["held_accelerator_fraction"] = _mean(fractions)
    if memories:
        metrics["held_accelerator_memory_bytes"] = float(sum(memories))
    return metrics


class ProgressReader:
    """Follows one attempt's reports.

    Its step rate is that of the last two reports, and falls as soon as the next one is overdue: so a stalled program
    is seen, while one that reports rarely but steadily shows a steady rate.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self._told_at_s: float | None = None
        self._stepped: Progress | None = None  # the newest report of a new step
        self._stepped_seen_s = 0.0
        self._steps = 0
        self._interval_s = 0.0

    def take(self, progress: Progress, now_s: float) -> dict[str, float]:
        """`step`, `steps_per_s`, and, once per report, the program's own metrics as `metric:NAME`."""
        metrics = {"step": float(progress.step)}
        if progress.at_s != self._told_at_s:
            self._told_at_s = progress.at_s
            metrics |= {f"metric:{name}": v for name, v in progress.metrics.items() if math.isfinite(v)}
        if self._stepped is None or progress.step != self._stepped.step:
            self._step(progress, now_s)
        if self._steps:
            metrics["steps_per_s"] = self._steps / max(self._interval_s, now_s - self._stepped_seen_s)
        return metrics

    def _step(self, progress: Progress, now_s: float) -> None:
        before = self._stepped
        self._steps = 0
        if before and progress.step > before.step:  # else the program has only begun, or begun anew
            self._steps = progress.step - before.step
            told_s, seen_s = progress.at_s - before.at_s, now_s - self._stepped_seen_s
            self._interval_s = told_s if told_s > 0 else max(seen_s, 1e-3)  # its wall clock may have jumped
        self._stepped, self._stepped_seen_s = progress, now_s


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
