"""First in, first out, with room kept for those that wait: who goes past must not make them wait longer."""

from suanli.policies.order.fifo import fifo
from suanli.policies.parts import Queue
from suanli.policies.table import Floats

RESERVATIONS = {"easy": 1, "conservative": 64}
"""How many of the first that find no room have theirs kept: the first (EASY), or all (conservative), within reason."""


def easy(queue: Queue) -> Floats:
    """First in, first out; who goes past may not delay the first that waits (EASY backfilling). O(n).

    Lifka 1995 (The ANL/IBM SP scheduling system). The first that finds no room has it reserved at the earliest instant
    at which it is expected, by the durations that are declared or learned; others start now if that stays true.
    """
    return fifo(queue)


def conservative(queue: Queue) -> Floats:
    """First in, first out; who goes past may delay nobody before it (conservative backfilling). O(n).

    Mu'alem and Feitelson 2001 (IEEE TPDS 12(6)). As `easy`, with a reservation for each that waits, up to 64.
    """
    return fifo(queue)
