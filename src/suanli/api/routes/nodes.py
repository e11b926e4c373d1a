"""Nodes, and what waits for them."""

import enum
from typing import Annotated

import msgspec
from fastapi import APIRouter, Path, Response

from suanli.api.answers import answer, returns
from suanli.api.request import Actor, Here
from suanli.control import requests
from suanli.control.node_views import NodeView, node_views
from suanli.control.snapshot import held, take
from suanli.control.views import QueueEntry, queue_order, queue_views

router = APIRouter(prefix="/v1", tags=["nodes"])


class Nodes(msgspec.Struct, frozen=True, kw_only=True):
    nodes: tuple[NodeView, ...]


class QueueAnswer(msgspec.Struct, frozen=True, kw_only=True):
    queue: tuple[QueueEntry, ...]


class Done(msgspec.Struct, frozen=True):
    """There is nothing more to say."""


class NodeVerb(enum.StrEnum):
    CORDON = "cordon"
    DRAIN = "drain"
    UNCORDON = "uncordon"


@router.get("/nodes", responses=returns(Nodes, "In the order in which the fleet declares them."))
def nodes(here: Here) -> Response:
    return answer(Nodes(nodes=node_views(take(here.controller))))


@router.post("/nodes/{name}/{verb}", responses=returns(Done, "It is done; the next decision counts with it."))
def act(name: Annotated[str, Path(max_length=200)], verb: NodeVerb, here: Here, actor: Actor) -> Response:
    with held(here.controller):
        if verb is NodeVerb.UNCORDON:
            requests.uncordon(here.controller, name, actor=actor)
        else:
            requests.cordon(here.controller, name, actor=actor, drain=verb is NodeVerb.DRAIN)
    return answer(Done())


@router.get("/queue", responses=returns(QueueAnswer, "In the order in which the policy would take them."))
def queue(here: Here) -> Response:
    with held(here.controller):
        snapshot = take(here.controller)
        order = queue_order(here.controller, snapshot.now_s)
    return answer(QueueAnswer(queue=queue_views(snapshot, order)))
