"""`ps`, `queue`: what there is, where it stands, and why."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from suanli.cli.live import Watch, show_or_watch
from suanli.cli.render import Table, listed
from suanli.cli.session import Session, command
from suanli.cli.views import View, because, progress, span

CHANGING = ("PROGRESS", "WAITED", "RAN")


@command
def ps(
    session: Session,
    *,
    all_: Annotated[bool, typer.Option("--all", "-a", help="Also what ended more than a day ago.")] = False,
    watch: Watch = False,
) -> None:
    """List workloads, where they run, and why others wait."""
    client = session.connect()
    show_or_watch(session, lambda: client.get("/v1/workloads", all=all_), workload_table, watch)


@command
def queue(session: Session, *, watch: Watch = False) -> None:
    """List what waits, in the order of its turn."""
    client = session.connect()
    show_or_watch(session, lambda: client.get("/v1/queue"), queue_table, watch)


def workload_table(body: Mapping[str, Any]) -> Table:
    rows = [
        [
            view["key"],
            view["kind"],
            str(view["priority"]),
            view["status"],
            listed(view["nodes"]),
            progress(view),
            span(view["waited_s"]),
            span(view["ran_s"]),
            because(view),
        ]
        for view in body["workloads"]
    ]
    columns = ["NAME", "KIND", "PRIO", "STATUS", "NODES", "PROGRESS", "WAITED", "RAN", "WHY"]
    return Table(columns, rows, empty="No workloads.", changing=CHANGING)


def queue_table(body: Mapping[str, Any]) -> Table:
    rows = [
        [
            "" if view["position"] is None else str(view["position"]),
            view["key"],
            str(view["priority"]),
            span(view["waited_s"]),
            _helps(view),
            because(view),
        ]
        for view in body["queue"]
    ]
    return Table(
        ["POSITION", "NAME", "PRIO", "WAITED", "HELPS", "WHY"],
        rows,
        empty="Nothing waits.",
        changing=CHANGING,
    )


def _helps(view: View) -> str:
    helps = [word for word in ("waiting", "preemption") if view.get(f"will_{word}_help")]
    return " or ".join(helps) or "neither"
