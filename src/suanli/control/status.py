"""How the controller itself is. Read without the mutex: it must be told also while a cycle hangs."""

from collections import Counter
from typing import Any

import msgspec

from suanli import __version__
from suanli.control.wiring import Running
from suanli.domain.errors import SuanliError, Unavailable
from suanli.domain.record import Status


class StatusView(msgspec.Struct, frozen=True, kw_only=True):
    """`epoch` is 0 while another controller holds the lease; `trouble` says why nothing is decided."""

    version: str
    policy: str
    epoch: int
    holder: str
    cycle_s: float
    trouble: dict[str, Any] | None
    engine: dict[str, str]
    fleet: str
    counts: dict[str, int]
    home: str
    started_s: float
    stopping: bool


def status_of(running: Running) -> StatusView:
    controller = running.controller
    trouble, world = trouble_of(running), controller.world
    found = Counter(record.status for record in tuple(world.records.values()))
    return StatusView(
        version=__version__,
        policy=world.policy,
        epoch=controller.epoch,
        holder=running.holder,
        cycle_s=controller.cycle_s,
        trouble=_told(trouble) if trouble else None,
        engine={"kind": running.settings.engine, "incarnation": controller.seen.incarnation},
        fleet=controller.state.fleet.name,
        counts={status.value: found[status] for status in Status},
        home=str(running.home.path),
        started_s=running.started_s,
        stopping=running.stop.is_set(),
    )


def trouble_of(running: Running) -> SuanliError | None:
    """Why the controller is not ready, None where it is."""
    controller = running.controller
    if running.stop.is_set():
        return Unavailable("The controller is shutting down.", remedy="Start it again with `suanli up`.")
    if controller.trouble is not None:
        return controller.trouble
    if not controller.epoch or not controller.seen.incarnation:
        return Unavailable("The controller has not looked at its engine yet.", remedy="Wait a moment.")
    return None


def _told(trouble: SuanliError) -> dict[str, Any]:
    return {"code": trouble.code, "sentence": trouble.sentence, "remedy": trouble.remedy}
