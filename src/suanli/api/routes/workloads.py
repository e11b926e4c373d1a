"""Workloads: what there is, why, what it wrote, and what may be done with it."""

import enum
from typing import Annotated

import msgspec
from fastapi import APIRouter, Path, Query, Response

from suanli.api.answers import answer, returns
from suanli.api.request import Actor, Here
from suanli.api.routes.services import view_of
from suanli.control import requests
from suanli.control.explanation import Explanation, explain
from suanli.control.journal import Line
from suanli.control.reading import LogText, read_log
from suanli.control.service_views import ServiceView
from suanli.control.snapshot import held, take
from suanli.control.views import WorkloadView, workload_views

router = APIRouter(prefix="/v1", tags=["workloads"])

Name = Annotated[
    str, Path(max_length=200, description="A workload's name, or the key of one replica: `chat/0`.")
]


class Workloads(msgspec.Struct, frozen=True, kw_only=True):
    workloads: tuple[WorkloadView, ...]


class WorkloadAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The records of one name, and their latest events in the order in which they happened."""

    workloads: tuple[WorkloadView, ...]
    history: tuple[Line, ...]


class Explanations(msgspec.Struct, frozen=True, kw_only=True):
    """`service` is the one of that name: how many replicas it has and wants, and why."""

    explanations: tuple[Explanation, ...]
    service: ServiceView | None = None


class Keys(msgspec.Struct, frozen=True, kw_only=True):
    """The records that it applied to."""

    keys: tuple[str, ...]


class Verb(enum.StrEnum):
    STOP = "stop"
    RETRY = "retry"
    HOLD = "hold"
    RELEASE = "release"


_ACTS = {
    Verb.STOP: requests.stop,
    Verb.RETRY: requests.retry,
    Verb.HOLD: requests.hold,
    Verb.RELEASE: requests.release,
}


@router.get("/workloads", responses=returns(Workloads, "In the order of their submission."))
def workloads(
    here: Here,
    everything: Annotated[
        bool, Query(alias="all", description="Also what ended more than a day ago.")
    ] = False,
) -> Response:
    here.journal.catch_up()
    views = workload_views(take(here.controller), here.journal, everything=everything)
    return answer(Workloads(workloads=views))


@router.get("/workloads/{name:path}", responses=returns(WorkloadAnswer, "The workload, replica by replica."))
def workload(name: Name, here: Here) -> Response:
    here.journal.catch_up()
    with held(here.controller):
        records = requests.records_of(here.controller, name)
        snapshot = take(here.controller)
    history = sorted((line for r in records for line in here.journal.lines(r.key)), key=lambda line: line.seq)
    views = workload_views(snapshot, here.journal, records)
    return answer(WorkloadAnswer(workloads=views, history=tuple(history)))


@router.post("/workloads/{name:path}/{verb}", responses=returns(Keys, "To which records it applied."))
def act(name: Name, verb: Verb, here: Here, actor: Actor) -> Response:
    with held(here.controller):
        return answer(Keys(keys=_ACTS[verb](here.controller, name, actor=actor)))


@router.get("/explain/{name:path}", responses=returns(Explanations, "Why, record by record."))
def explained(
    name: Name,
    here: Here,
    level: Annotated[int, Query(ge=0, le=2, description="1: also the latest events, 2: more of them.")] = 0,
) -> Response:
    here.journal.catch_up()
    explanations = explain(here.controller, here.journal, name, level=level)
    with held(here.controller):
        service = take(here.controller).world.services.get(name)
        view = view_of(here, service) if service else None
    return answer(Explanations(explanations=explanations, service=view))


@router.get("/logs/{key:path}", responses=returns(LogText, "A piece of what one worker wrote."))
def logs(
    key: Name,
    here: Here,
    attempt: Annotated[int | None, Query(ge=1, le=2**31, description="Default: the latest.")] = None,
    rank: Annotated[int, Query(ge=0, le=2**20)] = 0,
    offset: Annotated[int, Query(ge=0, le=2**62, description="In bytes.")] = 0,
) -> Response:
    return answer(read_log(here.controller, here.home, key, attempt=attempt, rank=rank, offset=offset))
