"""`nodes`: what the fleet has, what is free, and who holds the rest; or what this machine has."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from suanli.cli.live import Watch, show_or_watch
from suanli.cli.render import Table, listed, money, percent
from suanli.cli.session import Session, command
from suanli.reports.quantities import memory


@command
def nodes(
    session: Session,
    *,
    discover: Annotated[
        bool,
        typer.Option("--discover", help="What this machine has; with `-o yaml` as a fleet file for `-f`."),
    ] = False,
    watch: Watch = False,
) -> None:
    """List nodes: state, what is free, load, who holds what."""
    if discover:
        from suanli.cli.discovering import show_machine

        show_machine(session)
    else:
        client = session.connect()
        show_or_watch(session, lambda: client.get("/v1/nodes"), node_table, watch)


def node_table(body: Mapping[str, Any]) -> Table:
    rows = [
        [
            node["name"],
            node["state"],
            f"{node['free']['cpus']:g}/{node['effective']['cpus']:g}",
            f"{memory(node['free']['memory_bytes'])}/{memory(node['effective']['memory_bytes'])}",
            _accelerators(node),
            _load(node["load"]),
            money(node["price_per_hour"]) if node["price_per_hour"] else "",
            listed(dict.fromkeys(holder["key"] for holder in node["holders"])),
        ]
        for node in body["nodes"]
    ]
    columns = [
        "NODE",
        "STATE",
        "CPUS FREE",
        "MEMORY FREE",
        "ACCELERATORS FREE",
        "LOAD",
        "PER HOUR",
        "HELD BY",
    ]
    return Table(columns, rows, empty="No nodes.", changing=("LOAD",))


def _accelerators(node: Mapping[str, Any]) -> str:
    free, all_ = node["free"]["accelerators"], node["effective"]["accelerators"]
    return ", ".join(f"{model} {free.get(model, 0):g}/{count:g}" for model, count in all_.items())


def _load(load: Mapping[str, float]) -> str:
    return "  ".join(f"{name.removesuffix('_fraction')} {percent(value)}" for name, value in load.items())
