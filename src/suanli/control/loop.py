"""The loop's own thread: a cycle at each tick, and an end that loses nothing."""

import structlog

from suanli.control.wiring import Running
from suanli.domain.service import Phase
from suanli.telemetry.history import History

MARGIN_S = 15.0
"""Beyond the longest grace, for the engine to make sure that what it killed is dead."""

WIND_DOWN_TICK_S = 0.1
NAMED_MAX = 20

log = structlog.get_logger("suanli.control")


def run(running: Running) -> None:
    """Decide until `stop`; then, unless work shall go on, end it with its grace. Gives the lease up in the end.

    An error that nobody foresaw ends the loop and leaves running work alone: whoever starts next adopts it.
    """
    clock = running.controller.ports.clock
    while not running.stop.is_set():
        cycle(running)
        clock.wait(running.settings.tick_s)
    if not running.settings.detach:
        wind_down(running)
        if running.gateway is not None:
            running.gateway.end()
    running.controller.give_up()


def cycle(running: Running) -> None:
    controller = running.controller
    controller.cycle()
    if running.gateway is not None and any(
        s.phase is not Phase.ENDED for s in controller.world.services.values()
    ):
        running.gateway.ensure(controller.ports.clock.now_s())
    if controller.epoch:
        with controller.mutex:
            running.usage.look(controller.ports.clock.now_s())
    running.cycles = running.cycles.with_cycle(controller.cycle_s)
    if isinstance(controller.ports.telemetry, History):
        controller.ports.telemetry.describe(view.seen for view in controller.seen.nodes)


def wind_down(running: Running) -> None:
    """Tell what runs to end, and wait until it has: it is requeued, and resumes at the next start.

    Waits no longer than the longest grace and a margin, and not at all once `at_once` is set or without the lease.
    """
    controller, clock = running.controller, running.controller.ports.clock
    if not controller.epoch:
        return
    controller.winds_down = True
    live = sorted(controller.state.live.values(), key=lambda record: record.key)
    log.info("stopping", workloads=[record.key for record in live[:NAMED_MAX]], count=len(live))
    ends_s = clock.now_s() + max((record.workload.grace_s for record in live), default=0.0) + MARGIN_S
    while controller.state.live and clock.now_s() < ends_s and not running.at_once.is_set():
        cycle(running)
        clock.wait(WIND_DOWN_TICK_S)
    if left := sorted(controller.state.live):
        log.warning("not everything has ended", workloads=left[:NAMED_MAX], count=len(left))
