"""Measured load, as a short history."""

from collections.abc import Sequence
from typing import Protocol

from suanli.domain.observation import AttemptView, NodeSample


class Telemetry(Protocol):
    """Bounded: older samples than the window are dropped."""

    def record(self, at_s: float, samples: Sequence[NodeSample], attempts: Sequence[AttemptView]) -> None:
        """Take in what was just observed."""
        ...

    def node_load(self, window_s: float, now_s: float) -> dict[str, dict[str, float]]:
        """Mean of each node's metrics over the window: node -> metric (`cpu_fraction`, ...) -> value.

        A node without a sample in the window is absent: unknown is not zero.
        """
        ...

    def workload_use(self, window_s: float, now_s: float) -> dict[str, float]:
        """Mean used CPU cores (or accelerator fraction, where it holds one) per workload key over the window."""
        ...

    def series(self, subject: str, metric: str, since_s: float) -> Sequence[tuple[float, float]]:
        """(instant, value) pairs of one node or workload, oldest first."""
        ...

    def subjects(self, metric: str) -> Sequence[str]:
        """Nodes or workloads that have reported that metric."""
        ...
