"""`down`: end the controller of this home in order."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from suanli.cli.background import running
from suanli.cli.client import connect
from suanli.cli.errors import TimedOut
from suanli.cli.render import listed
from suanli.cli.session import Session, command
from suanli.cli.up import END_WORK, KEEP_WORK
from suanli.domain.errors import SuanliError

if TYPE_CHECKING:
    from psutil import Process

STOP_S = 180.0
EVERY_S = 0.1
TOLD_EVERY_S = 2.0


@command
def down(
    session: Session,
    *,
    keep_work: Annotated[
        bool,
        typer.Option("--keep-work", help="Leave running work alone; the next `up` in this home adopts it."),
    ] = False,
) -> None:
    """End the controller: running work first, with its grace.

    What was running is requeued and goes on from its last checkpoint at the next `up` in this home.
    """
    pid = end(session, keep_work=keep_work)
    said = (
        f"No controller runs in {session.home}."
        if pid is None
        else f"The controller of {session.home} has ended."
    )
    session.show({"stopped": pid is not None, "pid": pid}, lambda: said)


def end(session: Session, *, keep_work: bool) -> int | None:
    """End it and wait until it is gone; the process that was, None where there was none. Raises TimedOut."""
    import psutil

    server = running(session.home)
    if server is None:
        return None
    process = psutil.Process(server["pid"])
    process.send_signal(KEEP_WORK if keep_work else END_WORK)
    _wait(session, process)
    return process.pid


def _wait(session: Session, process: "Process") -> None:
    """Until that very process is gone, with a word now and then on what still runs. Raises TimedOut."""
    started_s, told_s = time.monotonic(), 0.0
    limit_s = session.timeout_s or STOP_S
    while _lives(process):
        waited_s = time.monotonic() - started_s
        if waited_s > limit_s:
            raise TimedOut(
                f"Process {process.pid} has not ended within {limit_s:g} s.",
                remedy=f"See {session.home / 'controller.log'}. "
                f"`kill -9 {process.pid}` loses nothing: the next `up` goes on from there.",
            )
        if waited_s - told_s > TOLD_EVERY_S:
            told_s = waited_s
            session.note(f"ending {_still_running(session)} ...")
        time.sleep(EVERY_S)


def _lives(process: "Process") -> bool:
    """A process that is dead but not yet waited for by its parent has ended all the same."""
    import psutil

    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _still_running(session: Session) -> str:
    """What holds nodes yet, as long as the controller tells."""
    try:
        views = connect(session.home, TOLD_EVERY_S).get("/v1/workloads")["workloads"]
    except SuanliError:
        return "the controller"
    live = [view["key"] for view in views if view["status"] in ("starting", "running", "stopping")]
    return listed(live) or "the controller"
