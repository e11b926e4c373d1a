"""The controller itself: its health, its status, its policy."""

from typing import Annotated

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from suanli.api import problems
from suanli.api.answers import answer, document, returns
from suanli.api.request import Actor, Here
from suanli.control import requests
from suanli.control.snapshot import held
from suanli.control.status import StatusView, status_of, trouble_of

router = APIRouter(tags=["controller"])


class Alive(msgspec.Struct, frozen=True, kw_only=True):
    status: str = "ok"


class PolicyAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The full name, `order+allocate+place`."""

    policy: str


class PolicyChoice(BaseModel):
    model_config = ConfigDict(extra="forbid")

    policy: Annotated[str, Field(min_length=1, max_length=200)]


# These two answer from memory and outside the pool of threads, so that they answer also when all of it is busy.


@router.get("/healthz", responses=returns(Alive, "The process is alive."))
async def healthz() -> Response:
    return answer(Alive())


@router.get("/readyz", responses=returns(Alive, "It holds the lease and reaches its engine; else 503."))
async def readyz(request: Request, here: Here) -> Response:
    trouble = trouble_of(here)
    return problems.response(trouble, problems.request_id_of(request)) if trouble else answer(Alive())


@router.get("/v1/status", responses=returns(StatusView, "How the controller is."))
def status(here: Here) -> Response:
    return answer(status_of(here))


@router.get("/v1/policy", responses=returns(PolicyAnswer, "What decides now."))
def policy(here: Here) -> Response:
    return answer(PolicyAnswer(policy=here.controller.world.policy))


@router.put("/v1/policy", responses=returns(PolicyAnswer, "What decides from the next cycle on."))
def choose_policy(choice: PolicyChoice, here: Here, actor: Actor) -> Response:
    with held(here.controller):
        chosen = requests.choose_policy(here.controller, choice.policy, actor=actor)
    return answer(PolicyAnswer(policy=chosen))


@router.get("/openapi.json", include_in_schema=False)
def openapi(request: Request) -> Response:
    return JSONResponse(document(request.app))
