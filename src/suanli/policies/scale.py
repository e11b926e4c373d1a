"""Scaling the fleet itself: nodes are added when the queue has been short of them, removed when empty for long."""

from collections.abc import Iterable, Mapping, Sequence

from suanli.domain.fleet import NodeScaling
from suanli.policies.table import Ask, NodeTable


def nodes_wanted(scaling: NodeScaling, short: Iterable[tuple[Ask, int]]) -> int:
    """How many template nodes would hold what is short, gang by gang, first fit; what cannot fit one is left out."""
    most = scaling.nodes_max
    pool = NodeTable([scaling.template] * most)
    used: set[int] = set()
    for ask, size in short:
        room = [int(i) for i in pool.fitting(ask).nonzero()[0]][:size]
        if len(room) == size:
            for i in room:
                pool.free[i] -= ask.vector
                if ask.model >= 0:
                    devices = pool.placement(i, ask).share.devices
                    pool.device_free[i, list(devices)] -= min(ask.count, 1.0)
                    pool.whole_free[i, ask.model] -= max(1, int(ask.count))
            used.update(room)
    return len(used)


def names_to_add(scaling: NodeScaling, wanted: int, present: Iterable[str]) -> tuple[str, ...]:
    """The first free names `template-0`, `template-1`, ... so that asking twice is asking once."""
    taken = {name for name in present if is_scaled(scaling, name)}
    free = (f"{scaling.template.name}-{i}" for i in range(scaling.nodes_max))
    return tuple(name for name in free if name not in taken)[
        : max(0, min(wanted, scaling.nodes_max - len(taken)))
    ]


def is_scaled(scaling: NodeScaling, name: str) -> bool:
    """Whether a node of that name was added by scaling."""
    prefix, _, number = name.rpartition("-")
    return prefix == scaling.template.name and number.isdigit()


def empty_since(before: Mapping[str, float], empty: Sequence[str], now_s: float) -> dict[str, float]:
    """Since when each node has held nothing."""
    return {name: before.get(name, now_s) for name in empty}
