"""Nodes that fail and come back, by seed."""

import msgspec
import numpy as np

from suanli.domain.fleet import Fleet


class Fault(msgspec.Struct, frozen=True):
    """A node that is lost, or is back, at an instant."""

    at_s: float
    node: str
    back: bool


def node_failures(
    fleet: Fleet, until_s: float, mean_up_s: float, mean_down_s: float, rng: np.random.Generator
) -> tuple[Fault, ...]:
    """Each node by itself up and down for exponential times; what is down at `until_s` comes back after it. Sorted."""
    faults: list[Fault] = []
    for node in fleet.nodes:
        at_s = float(rng.exponential(mean_up_s))
        while at_s < until_s:
            back_s = at_s + float(rng.exponential(mean_down_s))
            faults += [Fault(at_s, node.name, False), Fault(back_s, node.name, True)]
            at_s = back_s + float(rng.exponential(mean_up_s))
    return tuple(sorted(faults, key=lambda fault: (fault.at_s, fault.node)))
