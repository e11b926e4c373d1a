"""Rebalancing: a node that stays hot sheds the work that is cheapest to move to a cool one."""

from collections.abc import Mapping

HOT_FRACTION = 0.90
COOL_FRACTION = 0.60
HOT_FOR_S = 60.0
MOVE_AGAIN_AFTER_S = 900.0
BALANCED_METRICS = ("cpu_fraction", "accelerator_fraction", "network_fraction")


def hot_since(
    before: Mapping[str, float], load: Mapping[str, Mapping[str, float]], now_s: float
) -> dict[str, float]:
    """Since when each node has been hot: enters above 90 %, leaves below 60 %, keeps its state when unmeasured."""
    since: dict[str, float] = {}
    for node, metrics in load.items():
        peak = hottest(metrics)
        if peak >= HOT_FRACTION or (node in before and peak >= COOL_FRACTION):
            since[node] = before.get(node, now_s)
    since.update({node: at for node, at in before.items() if node not in load})
    return since


def hottest(metrics: Mapping[str, float]) -> float:
    """The highest of the balanced metrics' fractions; 0 where none is measured."""
    return max((metrics.get(name, 0.0) for name in BALANCED_METRICS), default=0.0)
