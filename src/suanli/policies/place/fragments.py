"""Placement on fleets whose devices are shared: by the shape of what is left, and by what can still use it."""

from suanli.policies.parts import Place
from suanli.policies.place import rating

DOT_PRODUCT = Place(
    rule=rating.DOT_PRODUCT,
    summary="The nodes whose free cores and devices are least aligned with what is asked.",
)

PACKING = Place(
    rule=rating.PACKING, summary="Devices in use first, then free ones on nodes in use, then idle nodes."
)

CLUSTERING = Place(
    rule=rating.CLUSTERING, summary="Nodes that hold requests of the same size, so that sizes do not mix."
)

FGD = Place(
    rule=rating.FRAGMENTATION,
    knows_mix=True,
    summary="Where the least free room becomes useless to what is expected to come (fragmentation descent).",
)
