"""When a service gets more replicas, fewer, or none. `tend` asks; `wish_of` is told beforehand what is asked of it."""

import math
import statistics
from collections.abc import Sequence

from suanli.domain import events as ev
from suanli.domain.record import Record, Status
from suanli.domain.service import Phase, ServiceRecord
from suanli.domain.service_transition import within
from suanli.domain.traffic import Demand
from suanli.policies.autoscale.delays import Wish, Wishes
from suanli.policies.autoscale.wanted import Seen, metric_of, wanted


def scales(service: ServiceRecord) -> bool:
    """Whether how many replicas there are is ours to say."""
    declared = service.service
    more = declared.replicas_max is None or declared.replicas_max > max(1, declared.replicas_min)
    return service.serves and more and metric_of(declared) != "off"


def wish_of(service: ServiceRecord, seen: Seen, wishes: Wishes, now_s: float) -> Wish | None:
    """What `tend` should be told is wanted; `wishes` takes it in. None, and a new beginning, where nothing is known."""
    declared, demand = service.service, seen.demand
    want = wanted(declared, seen, now_s) if demand.known else None
    if want is None or not scales(service):
        wishes.forget()
        return None
    return wishes.add(
        now_s,
        max(1, within(declared, want.replicas)),
        want.why,
        replicas=service.replicas,
        up_delay_s=declared.scaling.upscale_delay_s,
        down_delay_s=declared.scaling.downscale_delay_s,
    )


def scaled(service: ServiceRecord, demand: Demand, wish: Wish | None, now_s: float) -> ev.Scaled | None:
    """The change due now. Who sleeps wakes for the first request; who wakes gets more for a burst at once, and fewer
    only while no revision takes over."""
    if not service.serves or not demand.known:
        return None
    if service.replicas == 0:
        replicas = max(1, wish.now if wish else 1)
        wakes = demand.waiting > 0
        return ev.Scaled(service=service.name, replicas=replicas, why="a request waits") if wakes else None
    if _falls_asleep(service, demand, now_s):
        why = f"no request for {service.service.idle_s:g} s"
        return ev.Scaled(service=service.name, replicas=0, why=why)
    if wish is None:
        return None
    if wish.at_least is not None and wish.at_least > service.replicas:
        return ev.Scaled(service=service.name, replicas=wish.at_least, why=wish.why)
    fewer = wish.at_most is not None and wish.at_most < service.replicas
    if fewer and service.phase is Phase.STEADY:
        assert wish.at_most is not None
        calm = f"no more were needed for {service.service.scaling.downscale_delay_s:g} s"
        return ev.Scaled(service=service.name, replicas=wish.at_most, why=f"{calm}: {wish.why}")
    return None


def startup_s(replicas: Sequence[Record]) -> float | None:
    """How long replicas took from their placing until they answered: the median of those that there are."""
    took = [
        record.attempt.ready_s - record.attempt.placed_s
        for record in replicas
        if record.status is Status.RUNNING and record.attempt and record.attempt.ready_s is not None
    ]
    return statistics.median(took) if took else None


def _falls_asleep(service: ServiceRecord, demand: Demand, now_s: float) -> bool:
    rests = service.phase is Phase.STEADY and service.service.replicas_min == 0
    idle_s = min(now_s - service.step_s, math.inf if demand.idle_s is None else demand.idle_s)
    return rests and not demand.waiting and not demand.in_flight and idle_s >= service.service.idle_s
