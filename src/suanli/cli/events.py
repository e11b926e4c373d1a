"""`events`: the log, in words or as it is. `alerts`: what the rules say."""

import json
import sys
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from suanli.cli.client import Client
from suanli.cli.errors import TimedOut
from suanli.cli.live import Watch, show_or_watch
from suanli.cli.render import Table, clean, clock
from suanli.cli.session import Format, Session, command
from suanli.domain.errors import UsageError

if TYPE_CHECKING:
    from suanli.domain.events import Event

EVERY_S = 0.5
ENTRIES_PER_READ = 1000


@command
def events(
    session: Session,
    *,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C; with `-o json` one a line.")
    ] = False,
    after: Annotated[
        int, typer.Option("--after", min=0, metavar="SEQ", help="Only those after this one.")
    ] = 0,
) -> None:
    """Print the log: what was asked, decided and seen."""
    client = session.connect()
    if session.output is Format.YAML and follow:
        raise UsageError("`--follow` prints lines or, with `-o json`, one JSON object a line.")
    read = entries(client, after)
    if not follow:
        found = list(read)
        session.show({"entries": found}, lambda: "\n".join(_line(entry) for entry in found))
        return
    try:
        _follow(session, client, read, after)
    except KeyboardInterrupt:
        return


@command
def alerts(session: Session, *, watch: Watch = False) -> None:
    """List alerts: pending, firing, resolved."""
    client = session.connect()
    show_or_watch(session, lambda: client.get("/v1/alerts"), _alert_table, watch)


def entries(client: Client, after: int) -> Iterator[dict[str, Any]]:
    """The log from there on, to its end now."""
    while True:
        body = client.get("/v1/events", after=after, limit=ENTRIES_PER_READ)
        yield from body["entries"]
        if len(body["entries"]) < ENTRIES_PER_READ:
            return
        after = body["next"]


def told(event: "Event") -> str:
    """An event in words, with whom it concerns first."""
    from suanli.control.journal import told as told_of_workload
    from suanli.control.journal import told_of_service
    from suanli.domain import events as ev

    if isinstance(event, ev.WorkloadEvent):
        return f"{event.key}  {told_of_workload(event)}"
    if isinstance(event, ev.ServiceEvent):
        return f"service {event.service}  {told_of_service(event)}"
    match event:
        case ev.FleetDeclared():
            return f"fleet {event.fleet.name}  declared with {len(event.fleet.nodes)} nodes"
        case ev.PolicyChosen():
            return f"policy  {event.policy} chosen"
        case ev.NodeCordoned():
            return f"node {event.node}  {'drained' if event.drain else 'cordoned'}"
        case ev.NodeUncordoned():
            return f"node {event.node}  uncordoned"


def _follow(session: Session, client: Client, read: Iterator[Mapping[str, Any]], after: int) -> None:
    ends_s = time.monotonic() + (session.timeout_s or float("inf"))
    while time.monotonic() < ends_s:
        for entry in read:
            after = entry["seq"]
            sys.stdout.write(
                (json.dumps(entry, ensure_ascii=False) if session.is_machine else _line(entry)) + "\n"
            )
        sys.stdout.flush()
        time.sleep(EVERY_S)
        read = entries(client, after)
    raise TimedOut(f"Followed for {session.timeout_s:g} s, as `--timeout` asks.")


def _line(entry: Mapping[str, Any]) -> str:
    import msgspec

    from suanli.domain.events import Entry

    decoded = msgspec.convert(entry, Entry, strict=False)
    by = "" if decoded.actor == "controller" else f"  ({decoded.actor})"
    return clean(f"{decoded.seq:>6}  {clock(decoded.at_s)}  {told(decoded.event)}{by}")


def _alert_table(body: Mapping[str, Any]) -> Table:
    rows = [
        [
            a["status"],
            a["severity"],
            a["rule"],
            a["subject"],
            f"{a['value']:.3g}",
            clock(a["since_s"]),
            a["summary"],
        ]
        for a in body["alerts"]
    ]
    columns = ["STATUS", "SEVERITY", "RULE", "SUBJECT", "VALUE", "SINCE", "WHAT"]
    return Table(columns, rows, empty="No alerts.", changing=("VALUE",))
