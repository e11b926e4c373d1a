"""Placement by the room that is left over."""

import numpy as np

from suanli.policies.table import Ask, Floats, Indices, NodeTable


def first_fit(table: NodeTable, ask: Ask, candidates: Indices, nodes: int) -> Indices:
    """The first nodes in fleet order that have room. O(1) after the fit test."""
    return candidates[:nodes]


def best_fit(table: NodeTable, ask: Ask, candidates: Indices, nodes: int) -> Indices:
    """The nodes with the least left over, so that large free blocks stay whole. O(N log N).

    Left over is the mean free fraction of the resources that the node has, devices counted once more than the rest
    (they are what is scarce); ties go to the first in fleet order, consistently (random ties cost best fit its gain).
    """
    return _lowest(_left_over(table, ask, candidates), candidates, nodes)


def spread(table: NodeTable, ask: Ask, candidates: Indices, nodes: int) -> Indices:
    """The emptiest nodes, so that load and the harm of losing a node are spread. O(N log N)."""
    return _lowest(-_left_over(table, ask, candidates), candidates, nodes)


def _lowest(score: Floats, candidates: Indices, nodes: int) -> Indices:
    return candidates[np.argsort(score, kind="stable")[:nodes]]


def _left_over(table: NodeTable, ask: Ask, candidates: Indices) -> Floats:
    capacity = table.capacity[candidates]
    left = (table.free[candidates] - ask.vector) / np.where(capacity > 0, capacity, 1.0)
    plain = left.sum(axis=1)
    weights = (capacity > 0).sum(axis=1).astype(np.float64)
    if table.device_free.shape[1]:
        devices = (table.device_model[candidates] >= 0).sum(axis=1)
        free = table.device_free[candidates].sum(axis=1) - (ask.count if ask.model >= 0 else 0.0)
        plain = plain + 2.0 * np.where(devices > 0, free / np.maximum(devices, 1), 0.0)
        weights = weights + 2.0 * (devices > 0)
    return _rounded(plain / np.maximum(weights, 1.0))


def _rounded(score: Floats) -> Floats:
    """To nine digits, so that equal room is an equal score whatever the order of additions."""
    return np.asarray(np.round(score, 9), dtype=np.float64)
