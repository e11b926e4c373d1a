"""`services`, `rollback`, `scale`, `pause`, `resume`: services as a whole."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from suanli.cli.client import path_of
from suanli.cli.live import Watch, show_or_watch
from suanli.cli.render import Table, clean, clock
from suanli.cli.session import Session, command

Service = Annotated[str, typer.Argument(metavar="NAME", help="A service of `suanli services`.")]
CHANGING = ("READY", "WAITING", "RPS", "FAILED", "P95")


@command
def services(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="One service, with its revisions.")] = "",
    *,
    watch: Watch = False,
) -> None:
    """List services: replicas, revision, requests, latency, address."""
    client = session.connect()
    if name:
        show_or_watch(session, lambda: client.get(path_of("services", name)), revision_table, watch)
    else:
        show_or_watch(session, lambda: client.get("/v1/services"), service_table, watch)


@command
def rollback(
    session: Session,
    name: Service,
    *,
    to: Annotated[
        int | None, typer.Option("--to", min=1, metavar="N", help="The revision. Default: the one before.")
    ] = None,
) -> None:
    """Let an earlier revision of a service serve again."""
    body = session.connect().post(f"{path_of('services', name)}/rollback", {"to": to})
    session.show(body, lambda: f"{name} goes back: revision {body['revision']} serves from now on")


@command
def scale(
    session: Session,
    name: Service,
    replicas: Annotated[int, typer.Argument(metavar="REPLICAS", min=0, help="How many, as its file allows.")],
) -> None:
    """Want another number of replicas of a service."""
    body = session.connect().post(f"{path_of('services', name)}/scale", {"replicas": replicas})
    session.show(body, lambda: f"{name} gets {replicas} replicas")


@command
def pause(session: Session, name: Service) -> None:
    """End a service's replicas until it is resumed; requests are refused meanwhile."""
    body = session.connect().post(f"{path_of('services', name)}/pause")
    session.show(body, lambda: f"{name} pauses")


@command
def resume(session: Session, name: Service) -> None:
    """Let a service serve again after a pause."""
    body = session.connect().post(f"{path_of('services', name)}/resume")
    session.show(body, lambda: f"{name} serves again")


def service_table(body: Mapping[str, Any]) -> Table:
    rows = [
        [
            view["name"],
            view["phase"],
            f"{view['ready']}/{view['replicas']}",
            _revision(view),
            view["model"],
            str(view["waiting"]) if view["known"] else "",
            f"{view['requests_per_s']:.1f}" if view["known"] else "",
            f"{view['failed_share']:.1%}" if view["requests_per_s"] else "",
            _latency(view["p95_s"]),
            {True: "kept", False: "broken", None: ""}[view["keeps_slo"]],
            f"{view['url']}/v1" if view["url"] else "",
            view["why"],
        ]
        for view in body["services"]
    ]
    columns = [
        "NAME", "STATE", "READY", "REVISION", "MODEL", "WAITING", "RPS", "FAILED", "P95", "SLO", "ADDRESS", "WHY",
    ]  # fmt: skip
    return Table(columns, rows, empty="No services.", changing=CHANGING)


def revision_table(view: Mapping[str, Any]) -> Table:
    rows = [
        [
            str(each["number"]),
            clock(each["made_s"]),
            each["actor"],
            each["model"],
            f"{each['share']:.0%}" if each["share"] else "",
            str(each["ready"]) if each["ready"] else "",
            f"{each['requests_per_s']:.1f}" if each["requests_per_s"] else "",
            f"{each['failed_share']:.1%}" if each["requests_per_s"] else "",
            _latency(each["p50_s"]),
            _latency(each["p95_s"]),
            f"taken back: {each['taken_back']}" if each["taken_back"] else each["origin"],
        ]
        for each in view["revisions"]
    ]
    columns = ["REVISION", "MADE", "BY", "MODEL", "TRAFFIC", "READY", "RPS", "FAILED", "P50", "P95", "NOTE"]
    return Table(columns, rows, title=standing(view), empty="No revisions.", changing=("TRAFFIC", *CHANGING))


def standing(view: Mapping[str, Any]) -> str:
    """How many replicas there are, how many are wanted now, and why."""
    most = view["replicas_max"]
    range_ = f"{view['replicas_min']}..{'' if most is None else most}"
    lines = [f"{view['name']}: {view['ready']} of {view['replicas']} replicas answer, {range_} may run"]
    if not view["replicas"] and view["phase"] == "steady":
        lines.append("asleep: the next request wakes it")
    if view["why"]:
        lines.append(f"last change: {view['why']}")
    if view["wanted"] is not None:
        lines.append(f"wanted now: {view['wanted']}, as {view['wanted_why']}{_when(view)}")
    if view["forecast"]:
        lines.append(f"forecast: {view['forecast'].removeprefix('no forecast: ')}")
    return "\n".join(map(clean, lines))


def _when(view: Mapping[str, Any]) -> str:
    """How long a wish must last until it is followed."""
    if view["wanted"] > view["replicas"]:
        return f"; more come once that lasted {view['upscale_delay_s']:g} s"
    if view["wanted"] < view["replicas"]:
        return f"; some end once no more were wanted for {view['downscale_delay_s']:g} s"
    return ""


def _revision(view: Mapping[str, Any]) -> str:
    settled, target = view["settled"], view["revision"]
    return str(target) if settled in (0, target) else f"{settled} → {target}"


def _latency(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds * 1000:.0f}ms" if seconds < 1 else f"{seconds:.1f}s"
