"""Placement by the room that is left over."""

from suanli.policies.parts import Place
from suanli.policies.place import rating

FIRST_FIT = Place(rule=rating.FIRST, summary="The first nodes in fleet order that have room.")

BEST_FIT = Place(
    rule=rating.BEST, summary="The nodes with the least left over, so that large free blocks stay whole."
)

SPREAD = Place(
    rule=rating.SPREAD, summary="The emptiest nodes, so that load and the harm of losing a node are spread."
)

RANDOM = Place(rule=rating.FIRST, at_random=True, summary="Any node that has room, and any device on it.")
