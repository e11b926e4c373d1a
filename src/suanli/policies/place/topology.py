"""Placement by what lies near: gangs in one rack, or one zone; work beside its data."""

from collections.abc import Iterator, Sequence

import numpy as np

from suanli.domain.fleet import Link
from suanli.domain.workload import Dataset
from suanli.policies.parts import Place
from suanli.policies.place import rating
from suanli.policies.place.ratings import lowest
from suanli.policies.table import Bools, Floats, Indices, NodeTable, label_of

LEVELS = ("rack", "zone", "site")
"""From near to far. Devices of one node are nearer still: a demand is per node."""

ANYWHERE_BPS = 1e9
"""Bandwidth assumed where neither a link nor the node's network says otherwise."""

RATINGS_MAX = 100.0
"""No rule rates more, so that a second of waiting for data outweighs any rating."""


def near_together(table: NodeTable, values: Floats, nodes: int) -> Indices:
    """Nodes of the smallest rack, zone or site that has enough; within it the best rated. O(N log N).

    Where no site has enough, those with the most room go first, so that the fewest sites are crossed.
    """
    has_room = np.isfinite(values)
    for level in LEVELS:
        places = _places(table, level)
        room = np.bincount(places, has_room, minlength=int(places.max(initial=0)) + 1)
        enough = np.flatnonzero(room >= nodes)
        if len(enough):
            tightest = enough[np.argmin(room[enough])]
            return lowest(np.where(places == tightest, values, np.inf), nodes)
    places = _places(table, LEVELS[-1])
    room = np.bincount(places, has_room)
    order = np.lexsort((values, -room[places], ~has_room))
    return order[:nodes]


def _places(table: NodeTable, level: str) -> Indices:
    """intp[N]: the number of each node's rack, zone or site; a node that names none is a place of its own."""
    numbers: dict[str, int] = {}
    names = (label_of(node, level) or f"node {node.name}" for node in table.nodes)
    return np.array([numbers.setdefault(name, len(numbers)) for name in names], dtype=np.intp)


def seconds_to_bring(table: NodeTable, data: Sequence[Dataset], links: Sequence[Link]) -> Floats:
    """float[N]: how long each node waits for the data, one set after the other. O(N · data · links)."""
    seconds = np.zeros(len(table.nodes))
    for dataset in data:
        if dataset.size_bytes and dataset.at:
            here = _lies_at(table, dataset.at)
            bandwidth, latency_s = _paths(table, dataset.at, links)
            seconds += np.where(here, 0.0, dataset.size_bytes * 8.0 / bandwidth + latency_s)
    return seconds


def _lies_at(table: NodeTable, place: str) -> Bools:
    named = [table.labelled(((key, place),)) for key in ("name", *LEVELS)]
    return np.logical_or.reduce(named)


def _paths(table: NodeTable, place: str, links: Sequence[Link]) -> tuple[Floats, Floats]:
    """float[N] bits a second and float[N] seconds from a place to each node: the widest link between the two."""
    network = np.array([node.network_bps for node in table.nodes], dtype=np.float64)
    bandwidth = np.where(network > 0, network, ANYWHERE_BPS)
    latency_s, linked = np.zeros(len(table.nodes)), np.zeros(len(table.nodes))
    names = {place, *_around(table, place)}
    for link in links:
        for here, there in (link.ends, link.ends[::-1]):
            if here in names:
                wider = _lies_at(table, there) & (link.bandwidth_bps > linked)
                linked[wider] = link.bandwidth_bps
                latency_s[wider] = link.latency_s
    return np.where(
        linked > 0, np.minimum(linked, np.where(network > 0, network, np.inf)), bandwidth
    ), latency_s


def _around(table: NodeTable, place: str) -> Iterator[str]:
    """The racks, zones and sites that a node or a smaller place lies in."""
    for i in np.flatnonzero(_lies_at(table, place)).tolist():
        node = table.nodes[i]
        inside = [node.name, node.rack, node.zone, node.site]
        if place in inside:
            yield from filter(None, inside[inside.index(place) :])


TOPOLOGY = Place(
    rule=rating.BEST,
    gang=near_together,
    summary="Gangs within one rack, else one zone, else one site; single nodes as best fit.",
)

DATA_LOCAL = Place(
    rule=rating.BEST,
    near_data=True,
    summary="Where the data lies, else where it is brought to soonest; then as best fit.",
)
