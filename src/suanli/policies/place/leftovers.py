"""Our own placement: what a placement leaves, weighed by kind of request."""

from suanli.policies.parts import Place
from suanli.policies.place import rating

MEASURES = (
    "fragmentation that it adds, in devices (as in fgd)",
    "devices left on the node",
    "cores left",
    "imbalance: free part of its cores against free part of its devices",
    "devices of the node",
    "cores of the node for each of its devices",
    "devices that it strands: more left than the cores left serve, at the cores that the mix asks for with a device",
    "cores that it strands: more left than the devices left use, in devices",
    "devices in use by shares, with room",
    "devices wholly free",
    "scarcity of the model: devices that the mix asks for by those there are, 1 on average over all models",
)
"""Of what is left after the placement. Devices and cores are parts of the largest node's, where not said otherwise."""

WEIGHTS = (
    (0.58, 0.49, -0.10, 0.03, -0.14, -0.31, 0.37, 0.63, -0.53, 0.96, 0.57),
    (2.20, -0.01, 0.19, 1.01, -0.70, -0.37, 0.97, 0.86, 0.89, 0.49, 0.80),
    (1.06, -0.13, 0.36, -0.16, 0.34, 0.43, 0.90, 0.35, 0.67, -0.16, 0.91),
    (0.16, 0.42, 0.70, 0.18, 0.58, 0.21, 0.37, -0.07, -0.15, -0.46, 0.26),
)
"""Of each measure: for requests without devices, for a share of one, for one, for several.

Fitted by CMA-ES (Hansen 2016) to leave the least unallocated on small fleets and resampled traces of Weng et al. 2023.
"""

LEFTOVERS = Place(
    rule=rating.LEFTOVERS,
    weights=WEIGHTS,
    knows_mix=True,
    summary="Where what is left serves best what is expected to come: fragments, balance and waste, weighed.",
)
