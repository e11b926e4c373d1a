"""Scaling the fleet itself: nodes are added when the queue has been short of them, removed when empty for long."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec
import numpy as np

from suanli.domain.fleet import NodeScaling
from suanli.policies.table import Ask, NodeTable


class Short(msgspec.Struct, frozen=True, eq=False):
    """What waits for want of `missing` nodes: its alternatives, as a table of template nodes understands them."""

    asks: tuple[Ask, ...]
    missing: int


def nodes_wanted(scaling: NodeScaling, present: int, short: Iterable[Short]) -> int:
    """How many more nodes would hold what is short, each whole or not at all, first fit. O(short · nodes_max).

    `present` nodes have been added already. What no template node can hold, or what would need more of them than may
    still be added, wants none.
    """
    most = scaling.nodes_max - present
    if most <= 0:
        return 0
    template = scaling.template
    pool = NodeTable([msgspec.structs.replace(template, name=f"{template.name}-{i}") for i in range(most)])
    used: set[int] = set()
    for what in short:
        for ask in what.asks:
            room = np.flatnonzero(pool.fitting(ask))[: what.missing].tolist()
            if len(room) == what.missing:
                pool.take([pool.placement(i, ask) for i in room])
                used.update(room)
                break
    return len(used)


def names_to_add(scaling: NodeScaling, wanted: int, present: Iterable[str]) -> tuple[str, ...]:
    """The first free names `template-0`, `template-1`, ... so that asking twice is asking once."""
    taken = {name for name in present if is_scaled(scaling, name)}
    free = [name for i in range(scaling.nodes_max) if (name := f"{scaling.template.name}-{i}") not in taken]
    return tuple(free[: max(0, min(wanted, scaling.nodes_max - len(taken)))])


def is_scaled(scaling: NodeScaling, name: str) -> bool:
    """Whether a node of that name was added by scaling."""
    prefix, _, number = name.rpartition("-")
    return prefix == scaling.template.name and number.isdigit()


def empty_since(before: Mapping[str, float], empty: Sequence[str], now_s: float) -> dict[str, float]:
    """Since when each node has held nothing."""
    return {name: before.get(name, now_s) for name in empty}
