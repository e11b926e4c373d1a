"""Names of accelerators in traces, and how many of them become how many nodes."""

from collections.abc import Collection, Iterable

from suanli.catalog.accelerators import load
from suanli.traces.sheet import Sheet

ANONYMOUS = ("G2", "G3")
"""What Alibaba's openb trace calls two models that it does not name: in no catalogue, so without price and power."""

DEVICES_PER_NODE = 8


def model_of(name: str, own: Collection[str] = ()) -> str:
    """The catalogue's name of it, or that of a fleet's own accelerator, or nothing where nobody knows it."""
    if name in own or name in ANONYMOUS:
        return name
    known = load().lookup(name)
    return known.name if known else ""


def models_in(
    sheet: Sheet, row: int, field: str, names: Collection[str], own: Collection[str] = ()
) -> tuple[str, ...]:
    """Each of them by its catalogue name, once; a name that nobody knows is a mistake of that row."""
    models = dict.fromkeys(model_of(name, own) for name in names)
    if "" in models:
        for name in names:
            if not model_of(name, own):
                near = " or ".join(load().suggest(name))
                message = f"no accelerator is called {name!r}"
                sheet.refuse(row, field, message, f"Did you mean {near}?" if near else "")
    return tuple(models)


def gang(devices: int, per_node: int = DEVICES_PER_NODE) -> tuple[int, int]:
    """Nodes and devices on each, all alike: the fewest nodes that hold so many. 12 on nodes of 8 are 2 of 6."""
    nodes = -(-devices // per_node)
    while devices % nodes:
        nodes += 1
    return nodes, devices // nodes


def price_per_hour(models: Iterable[str]) -> float:
    """US dollars an hour of these devices; one without a known price counts as free, as in a declared fleet."""
    known = (load().lookup(model) for model in models)
    return sum((entry.price_per_hour_usd or 0.0 for entry in known if entry), 0.0)
