"""`MixProblem`: how much of each resource to have; the linear program of capacity planning."""

from enum import StrEnum

import msgspec


class MixObjective(StrEnum):
    """What is asked of the quantities."""

    MIN_COST = "min-cost"
    MAX_QUANTITY = "max-quantity"


class MixItem(msgspec.Struct, frozen=True, kw_only=True):
    """One type of resource, bought in `unit`s at `price_usd` each. `upper` may be infinite; `whole`: no fractions."""

    name: str
    unit: str
    price_usd: float
    lower: float = 0.0
    upper: float
    whole: bool = False


class MixDemand(msgspec.Struct, frozen=True, kw_only=True):
    """at_least <= sum of `amounts` x quantities <= at_most; `amounts` in the order of the items."""

    name: str
    amounts: tuple[float, ...]
    at_least: float
    at_most: float


class MixProblem(msgspec.Struct, frozen=True, kw_only=True):
    """`budget_usd` may be infinite."""

    name: str
    items: tuple[MixItem, ...]
    demands: tuple[MixDemand, ...]
    objective: MixObjective
    budget_usd: float
