"""Placement by the room that is left over."""

import numpy as np

from suanli.policies.table import Ask, Floats, Indices, NodeTable

DEVICE_WEIGHT = 2.0
"""Devices count twice among the resources of a node: they are what is scarce."""


def first_fit(table: NodeTable, ask: Ask, candidates: Indices, nodes: int) -> Indices:
    """The first nodes in fleet order that have room. O(1) after the fit test."""
    return candidates[:nodes]


def best_fit(table: NodeTable, ask: Ask, candidates: Indices, nodes: int) -> Indices:
    """The nodes with the least left over, so that large free blocks stay whole. O(N), for a gang O(N log N).

    Left over is the mean free fraction of the resources that the node has, devices counted once more than the rest
    (they are what is scarce); ties go to the first in fleet order, consistently (random ties cost best fit its gain).
    """
    return _lowest(_left_over(table, ask, candidates), candidates, nodes)


def spread(table: NodeTable, ask: Ask, candidates: Indices, nodes: int) -> Indices:
    """The emptiest nodes, so that load and the harm of losing a node are spread. O(N), for a gang O(N log N)."""
    return _lowest(-_left_over(table, ask, candidates), candidates, nodes)


def _lowest(score: Floats, candidates: Indices, nodes: int) -> Indices:
    if nodes == 1:
        first = int(np.argmin(score))
        return candidates[first : first + 1]
    return candidates[np.argsort(score, kind="stable")[:nodes]]


def _left_over(table: NodeTable, ask: Ask, candidates: Indices) -> Floats:
    """float[candidates]: the weighted mean of free fractions after the placement, 0 full to 1 empty."""
    total = np.zeros(len(candidates))
    weights = table.kind_count[candidates].astype(np.float64)
    for r in table.kinds:
        total += (table.free[candidates, r] - ask.amounts[r]) * table.inverse_capacity[candidates, r]
    devices = table.device_count[candidates]
    if devices.any():
        left = table.device_left[candidates] - (ask.count if ask.model >= 0 else 0.0)
        total += DEVICE_WEIGHT * left / np.maximum(devices, 1) * (devices > 0)
        weights += DEVICE_WEIGHT * (devices > 0)
    return _rounded(total / np.maximum(weights, 1.0))


def _rounded(score: Floats) -> Floats:
    """To nine digits, so that equal room is an equal score whatever the order of additions."""
    return np.asarray(np.round(score, 9), dtype=np.float64)
