"""Services as a whole: what they serve, and what may be done with them."""

from typing import Annotated

import msgspec
from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, ConfigDict, Field

from suanli.api.answers import answer, returns
from suanli.api.request import Actor, Here
from suanli.control import services
from suanli.control.foreseeing import Lived
from suanli.control.service_views import WINDOW_S, ServiceView, service_view
from suanli.control.snapshot import held, take
from suanli.control.wiring import Running
from suanli.domain.service import Phase, ServiceRecord
from suanli.domain.traffic import Demand
from suanli.kernel.scaling import startup_s
from suanli.kernel.services import replicas_of

router = APIRouter(prefix="/v1/services", tags=["services"])

Name = Annotated[str, Path(max_length=200)]


class ServiceList(msgspec.Struct, frozen=True, kw_only=True):
    services: tuple[ServiceView, ...]


class Serving(msgspec.Struct, frozen=True, kw_only=True):
    """The revision that serves from now on."""

    revision: int


class Accepted(msgspec.Struct, frozen=True):
    """There is nothing more to say."""


class To(BaseModel):
    model_config = ConfigDict(extra="forbid")

    to: int | None = Field(default=None, ge=1, le=2**31, description="Default: the one that served before.")


class Count(BaseModel):
    model_config = ConfigDict(extra="forbid")

    replicas: int = Field(ge=0, le=10_000)


@router.get(
    "", responses=returns(ServiceList, "By the time of their first revision, those that have ended left out.")
)
def list_services(here: Here) -> Response:
    with held(here.controller):
        world = take(here.controller).world
        views = tuple(view_of(here, s) for s in world.services.values() if s.phase is not Phase.ENDED)
    return answer(ServiceList(services=views))


@router.get("/{name}", responses=returns(ServiceView, "The service with its revisions."))
def one_service(name: Name, here: Here) -> Response:
    with held(here.controller):
        return answer(view_of(here, services.service_of(take(here.controller).world, name)))


@router.get(
    "/{name}/lived", responses=returns(Lived, "What it declares, and what was measured of it lately.")
)
def lived(name: Name, here: Here) -> Response:
    controller = here.controller
    with held(controller):
        snapshot, front = take(controller), controller.front
        service = services.service_of(snapshot.world, name)
        known = Lived(
            service=service.service,
            demand=front.demand(name, snapshot.now_s) if front else Demand(),
            startup_s=startup_s(replicas_of(name, snapshot.world.records)),
        )
    return answer(known)


@router.post("/{name}/rollback", responses=returns(Serving, "An earlier revision takes over."))
def roll_back(name: Name, body: To, here: Here, actor: Actor) -> Response:
    with held(here.controller):
        return answer(Serving(revision=services.rollback(here.controller, name, actor=actor, to=body.to)))


@router.post("/{name}/scale", responses=returns(Accepted, "So many replicas are wanted from now on."))
def scale(name: Name, body: Count, here: Here, actor: Actor) -> Response:
    with held(here.controller):
        services.scale(here.controller, name, body.replicas, actor=actor)
    return answer(Accepted())


@router.post("/{name}/pause", responses=returns(Accepted, "Its replicas end, and no request wakes one."))
def pause(name: Name, here: Here, actor: Actor) -> Response:
    with held(here.controller):
        services.pause(here.controller, name, actor=actor)
    return answer(Accepted())


@router.post("/{name}/resume", responses=returns(Accepted, "It serves again."))
def resume(name: Name, here: Here, actor: Actor) -> Response:
    with held(here.controller):
        services.resume(here.controller, name, actor=actor)
    return answer(Accepted())


def view_of(here: Running, service: ServiceRecord) -> ServiceView:
    """As it is now, with what its gateway counted. For who holds the controller."""
    controller = here.controller
    snapshot, front = take(controller), controller.front
    return service_view(
        service,
        snapshot,
        front.windows(service.name, snapshot.now_s - WINDOW_S) if front else {},
        front.demand(service.name, snapshot.now_s) if front else Demand(),
        controller.scalers.said(service.name),
        here.gateway.url if here.gateway else "",
    )
