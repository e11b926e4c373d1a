"""Policies by name. Adding one: a function in its file, a row here, a test, a paragraph in docs/policies.md."""

from difflib import get_close_matches

import msgspec

from suanli.domain.errors import UsageError
from suanli.policies.allocate.as_requested import as_requested
from suanli.policies.order.fifo import fifo
from suanli.policies.order.priority import priority
from suanli.policies.order.shortest import sjf, srtf
from suanli.policies.parts import Allocate, Order, Place, Policy
from suanli.policies.place.fit import BEST_FIT, FIRST_FIT, RANDOM, SPREAD
from suanli.policies.place.fragments import CLUSTERING, DOT_PRODUCT, FGD, PACKING
from suanli.policies.place.topology import DATA_LOCAL, TOPOLOGY

ORDERS: dict[str, Order] = {"fifo": fifo, "priority": priority, "sjf": sjf, "srtf": srtf}
ALLOCATIONS: dict[str, Allocate] = {"as-requested": as_requested}
PLACEMENTS: dict[str, Place] = {
    "random": RANDOM,
    "first-fit": FIRST_FIT,
    "best-fit": BEST_FIT,
    "spread": SPREAD,
    "dot-product": DOT_PRODUCT,
    "packing": PACKING,
    "clustering": CLUSTERING,
    "fgd": FGD,
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
        kind = next((i for i, known in enumerate((ORDERS, ALLOCATIONS, PLACEMENTS)) if part in known), None)
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
    return Policy("+".join(chosen), ORDERS[order], ALLOCATIONS[allocate], PLACEMENTS[place])


def parts() -> tuple[Part, ...]:
    """All parts with the first sentence of what they say of themselves."""
    kinds = (("order", ORDERS), ("allocate", ALLOCATIONS))
    functions = tuple(
        Part(kind, name, (function.__doc__ or "").strip().splitlines()[0])
        for kind, table in kinds
        for name, function in table.items()
    )
    return functions + tuple(Part("place", name, place.summary) for name, place in PLACEMENTS.items())


def _unknown(part: str) -> UsageError:
    names = [*ORDERS, *ALLOCATIONS, *PLACEMENTS]
    close = get_close_matches(part, names, n=1)
    hint = f"Did you mean {close[0]}? " if close else ""
    return UsageError(
        f"There is no policy part {part!r}.",
        remedy=f"{hint}See `suanli policies`.",
        evidence={"known": names},
    )
