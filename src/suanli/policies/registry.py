"""Policies by name. Adding one: a function in its file, a row here, a test, a paragraph in explained.md."""

from difflib import get_close_matches

import msgspec

from suanli.domain.errors import UsageError
from suanli.policies.allocate.as_requested import as_requested, as_requested_agnostic
from suanli.policies.order.backfill import RESERVATIONS, conservative, easy
from suanli.policies.order.drf import drf
from suanli.policies.order.edf import edf
from suanli.policies.order.fifo import fifo
from suanli.policies.order.gittins import gittins
from suanli.policies.order.las import las
from suanli.policies.order.priority import priority
from suanli.policies.order.shortest import sjf, srtf
from suanli.policies.parts import Allocate, AtOnce, InRounds, Order, Place, Policy
from suanli.policies.place.fit import BEST_FIT, FIRST_FIT, RANDOM, SPREAD
from suanli.policies.place.fragments import CLUSTERING, DOT_PRODUCT, FGD, PACKING
from suanli.policies.place.leftovers import LEFTOVERS
from suanli.policies.place.topology import DATA_LOCAL, TOPOLOGY
from suanli.policies.sharing.agnostic import agnostic
from suanli.policies.sharing.choose import least_served, shortest_remaining, soonest_end
from suanli.policies.sharing.fair import hierarchical, max_min, water_filling
from suanli.policies.sharing.finish import finish_time_fairness, makespan
from suanli.policies.sharing.first_come import first_come
from suanli.policies.sharing.throughput import max_throughput, min_cost

ORDERS: dict[str, Order] = {
    "fifo": fifo,
    "priority": priority,
    "sjf": sjf,
    "srtf": srtf,
    "las": las,
    "gittins": gittins,
    "edf": edf,
    "drf": drf,
    "easy": easy,
    "conservative": conservative,
}
ALLOCATIONS: dict[str, Allocate] = {
    "as-requested": as_requested,
    "as-requested-agnostic": as_requested_agnostic,
}
SHARES: dict[str, InRounds | AtOnce] = {
    "max-min": InRounds(max_min),
    "max-min-agnostic": InRounds(agnostic(max_min), agnostic=True),
    "max-min-water-filling": InRounds(water_filling),
    "max-min-water-filling-agnostic": InRounds(agnostic(water_filling), agnostic=True),
    "max-min-hierarchical": InRounds(hierarchical),
    "max-min-hierarchical-agnostic": InRounds(agnostic(hierarchical), agnostic=True),
    "ftf": InRounds(finish_time_fairness),
    "ftf-agnostic": InRounds(agnostic(finish_time_fairness), agnostic=True),
    "makespan": InRounds(makespan),
    "makespan-agnostic": InRounds(agnostic(makespan), agnostic=True),
    "min-cost": InRounds(min_cost),
    "min-cost-agnostic": InRounds(agnostic(min_cost), agnostic=True),
    "max-throughput": InRounds(max_throughput),
    "max-throughput-agnostic": InRounds(agnostic(max_throughput), agnostic=True),
    "first-come": InRounds(first_come, strict=True),
    "shortest-remaining": AtOnce(shortest_remaining),
    "least-served": AtOnce(least_served),
    "soonest-end": AtOnce(soonest_end),
}
PLACEMENTS: dict[str, Place] = {
    "random": RANDOM,
    "first-fit": FIRST_FIT,
    "best-fit": BEST_FIT,
    "spread": SPREAD,
    "dot-product": DOT_PRODUCT,
    "packing": PACKING,
    "clustering": CLUSTERING,
    "fgd": FGD,
    "leftovers": LEFTOVERS,
    "topology": TOPOLOGY,
    "data-local": DATA_LOCAL,
}

DEFAULT_PARTS = ("priority", "as-requested", "best-fit")


class Part(msgspec.Struct, frozen=True):
    """One row of `suanli policies`."""

    kind: str
    name: str
    summary: str


def parse(name: str) -> Policy:
    """The policy of a name `order+allocate+place`; any part may be left out. Raises UsageError."""
    chosen: list[str] = list(DEFAULT_PARTS)
    given: dict[int, str] = {}
    for part in filter(None, (p.strip().lower() for p in name.split("+"))):
        kinds = (ORDERS, ALLOCATIONS | SHARES, PLACEMENTS)
        kind = next((i for i, known in enumerate(kinds) if part in known), None)
        if kind is None:
            raise _unknown(part)
        if kind in given:
            raise UsageError(
                f"The policy {name!r} names two parts of one kind: {given[kind]} and {part}.",
                remedy="Give at most one order, one allocation and one placement, as in fifo+best-fit.",
            )
        given[kind] = part
        chosen[kind] = part
    order, allocate, place = chosen
    requested = ALLOCATIONS.get(allocate, as_requested)
    share = SHARES.get(allocate)
    return Policy(
        name="+".join(chosen),
        order=ORDERS[order],
        allocate=requested,
        place=PLACEMENTS[place],
        share=share,
        reservations_max=RESERVATIONS.get(order, 0),
        agnostic=requested is as_requested_agnostic,
    )


def shares_over_time(name: str) -> bool:
    """Whether a policy of that name stops work whose turn is over."""
    return not SHARES.keys().isdisjoint(name.split("+"))


def parts() -> tuple[Part, ...]:
    """All parts with the first sentence of what they say of themselves."""
    kinds = (("order", ORDERS), ("allocate", ALLOCATIONS))
    functions = tuple(
        Part(kind, name, (function.__doc__ or "").strip().splitlines()[0])
        for kind, table in kinds
        for name, function in table.items()
    )
    functions += tuple(Part("allocate", name, _first_line(share)) for name, share in SHARES.items())
    return functions + tuple(Part("place", name, place.summary) for name, place in PLACEMENTS.items())


def _first_line(share: InRounds | AtOnce) -> str:
    function = share.allocation if isinstance(share, InRounds) else share.choice
    return (function.__doc__ or "").strip().splitlines()[0]


def _unknown(part: str) -> UsageError:
    names = [*ORDERS, *ALLOCATIONS, *SHARES, *PLACEMENTS]
    close = get_close_matches(part, names, n=1)
    hint = f"Did you mean {close[0]}? " if close else ""
    return UsageError(
        f"There is no policy part {part!r}.",
        remedy=f"{hint}See `suanli policies`.",
        evidence={"known": names},
    )
