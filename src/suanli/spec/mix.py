"""Documents of `kind: mix`: how much of each resource to have, as a linear program."""

import math
from typing import Literal

from pydantic import Field

from suanli.domain.mix import MixDemand, MixItem, MixObjective, MixProblem
from suanli.spec import fields as f
from suanli.spec.problems import nearest
from suanli.spec.scope import Scope

AMOUNT_MAX = 1e15


class MixItemShape(f.Shape):
    """A type of resource whose quantity is asked for."""

    name: f.Place = Field(description="Its name.", examples=["h100-memory"])
    unit: f.Text = Field(default="", description="What its quantity is counted in.", examples=["GiB"])
    price: float = Field(
        ge=0,
        lt=AMOUNT_MAX,
        allow_inf_nan=False,
        description="US dollars for one unit, over whatever time the prices of all are for.",
        examples=["100"],
    )
    from_: float = Field(
        default=0.0,
        alias="from",
        ge=0,
        lt=AMOUNT_MAX,
        allow_inf_nan=False,
        description="The least to have.",
        examples=["10"],
    )
    to: float | None = Field(
        default=None,
        ge=0,
        lt=AMOUNT_MAX,
        allow_inf_nan=False,
        description="The most there is to have. Default: no limit.",
        examples=["300"],
    )
    whole: bool = Field(default=False, description="Only whole units can be had.")


class MixDemandShape(f.Shape):
    """What the quantities must do together."""

    name: f.Text = Field(description="What it is.", examples=["training throughput"])
    per_unit: dict[f.Place, float] = Field(
        min_length=1,
        max_length=1000,
        description="What one unit of an item does for it, by the item's name.",
        examples=["{h100-memory: 1, a100-memory: 0.5}"],
    )
    at_least: float | None = Field(
        default=None, allow_inf_nan=False, description="How much of it there must be.", examples=["640"]
    )
    at_most: float | None = Field(
        default=None, allow_inf_nan=False, description="How much of it there may be.", examples=["1000"]
    )


class MixShape(f.Shape):
    """Quantities of resources by type, with prices, limits and demands; for `suanli solve`."""

    kind: Literal["mix"] = Field(description="`mix`.")
    name: f.Name = Field(description="Its name.", examples=["next-year"])
    objective: Literal["min-cost", "max-quantity"] = Field(
        default="min-cost",
        description="The cheapest that meets all demands, or the most units in sum that they and the budget allow.",
    )
    items: list[MixItemShape] = Field(
        min_length=1,
        max_length=10_000,
        description="What there is to have: cores, accelerator memory, storage.",
    )
    demands: list[MixDemandShape] = Field(
        default=[], max_length=10_000, description="Rows that the quantities must satisfy."
    )
    budget: float | None = Field(
        default=None,
        ge=0,
        lt=AMOUNT_MAX,
        allow_inf_nan=False,
        description="US dollars that all may cost together. Default: no limit.",
        examples=["5000"],
    )


def mix_of(shape: MixShape, scope: Scope) -> MixProblem:
    """The program of a document of the right shape; whatever else is wrong goes to the scope."""
    names = [item.name for item in shape.items]
    for index, item in enumerate(shape.items):
        if item.name in names[:index]:
            scope.refuse(("items", index, "name"), f"there are two items {item.name!r}", "Rename one.")
        if item.to is not None and item.to < item.from_:
            remedy = "Exchange them, or raise `to`."
            scope.refuse(
                ("items", index, "to"), f"`to: {item.to:g}` is less than `from: {item.from_:g}`", remedy
            )
    return MixProblem(
        name=shape.name,
        items=tuple(
            MixItem(
                name=item.name,
                unit=item.unit,
                price_usd=item.price,
                lower=item.from_,
                upper=math.inf if item.to is None else item.to,
                whole=item.whole,
            )
            for item in shape.items
        ),
        demands=tuple(_demand(row, index, names, scope) for index, row in enumerate(shape.demands)),
        objective=MixObjective(shape.objective),
        budget_usd=math.inf if shape.budget is None else shape.budget,
    )


def _demand(row: MixDemandShape, index: int, names: list[str], scope: Scope) -> MixDemand:
    for name, amount in row.per_unit.items():
        path = ("demands", index, "per_unit", name)
        if name not in names:
            near = nearest(name, names)
            remedy = f"Did you mean `{near}`?" if near else f"The items are {', '.join(names[:10])}."
            scope.refuse(path, f"no item is called {name!r}", remedy)
        if not math.isfinite(amount) or abs(amount) > AMOUNT_MAX:
            scope.refuse(path, f"expected a number of at most {AMOUNT_MAX:g}; got {amount:g}")
    if row.at_least is None and row.at_most is None:
        scope.refuse(
            ("demands", index), "a demand needs `at_least` or `at_most`", "For example `at_least: 640`."
        )
    low = -math.inf if row.at_least is None else row.at_least
    high = math.inf if row.at_most is None else row.at_most
    if low > high:
        scope.refuse(("demands", index, "at_most"), f"`at_most: {high:g}` is less than `at_least: {low:g}`")
    return MixDemand(
        name=row.name,
        amounts=tuple(row.per_unit.get(name, 0.0) for name in names),
        at_least=low,
        at_most=high,
    )
