"""What happened, what was decided, what was measured, what is wrong."""

from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Response
from fastapi.responses import PlainTextResponse

from suanli.api.answers import answer, returns
from suanli.api.request import Here
from suanli.control.snapshot import take
from suanli.control.views import DecisionView, decision_view
from suanli.domain import events as ev
from suanli.domain.alerts import Alert
from suanli.telemetry.metrics import render

router = APIRouter(tags=["watching"])

HIDDEN = "[hidden]"


class Events(msgspec.Struct, frozen=True, kw_only=True):
    """`next` is what `after` should be to go on."""

    entries: tuple[ev.Entry, ...]
    next: int


class Decisions(msgspec.Struct, frozen=True, kw_only=True):
    decisions: tuple[DecisionView, ...]


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """(instant, value) pairs."""

    points: tuple[tuple[float, float], ...]


class Alerts(msgspec.Struct, frozen=True, kw_only=True):
    alerts: tuple[Alert, ...]


@router.get("/v1/events", responses=returns(Events, "The log, oldest first."))
def events(
    here: Here,
    after: Annotated[int, Query(ge=0, le=2**62)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Response:
    entries = tuple(_without_secrets(e) for e in here.controller.ports.store.entries(after, limit))
    return answer(Events(entries=entries, next=entries[-1].seq if entries else after))


def _without_secrets(entry: ev.Entry) -> ev.Entry:
    """People put keys into `env`: the log's readers need only know that they did."""
    event = entry.event
    if not isinstance(event, ev.Submitted) or not event.workload.env:
        return entry
    env = dict.fromkeys(event.workload.env, HIDDEN)
    workload = msgspec.structs.replace(event.workload, env=env)
    return msgspec.structs.replace(entry, event=msgspec.structs.replace(event, workload=workload))


@router.get("/v1/decisions", responses=returns(Decisions, "The latest, oldest first."))
def decisions(here: Here, limit: Annotated[int, Query(ge=1, le=200)] = 20) -> Response:
    latest = here.controller.ports.store.decisions(limit)
    return answer(Decisions(decisions=tuple(decision_view(decision) for decision in latest)))


@router.get("/v1/series", responses=returns(Series, "Of one node or workload, oldest first."))
def series(
    here: Here,
    subject: Annotated[str, Query(max_length=200, description="A node's name or a workload's key.")],
    metric: Annotated[str, Query(max_length=200)],
    since: Annotated[float, Query(allow_inf_nan=False)] = 0.0,
) -> Response:
    points = here.controller.ports.telemetry.series(subject, metric, since)
    return answer(Series(points=tuple(points)))


@router.get("/v1/alerts", responses=returns(Alerts, "Pending, firing, and lately resolved."))
def alerts(here: Here) -> Response:
    return answer(Alerts(alerts=tuple(here.controller.watch.alerts) if here.controller.watch else ()))


@router.get(
    "/metrics", response_class=PlainTextResponse, responses={200: {"description": "Prometheus' text format."}}
)
def metrics(here: Here) -> Response:
    snapshot = take(here.controller)
    world = msgspec.structs.replace(snapshot.world, fleet=snapshot.world.fleet or snapshot.fleet)
    text = render(world, snapshot.decision, here.controller.ports.telemetry, here.stats(snapshot))
    return Response(text, media_type="text/plain; version=0.0.4")
