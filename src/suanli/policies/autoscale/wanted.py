"""`wanted`: how many replicas what is asked of a service needs now, and why. `delays` says when that is done."""

import math

import msgspec

from suanli.domain.traffic import Demand, Histogram, quantile_s
from suanli.domain.workload import Scaling, Service, Slo
from suanli.policies.autoscale.queueing import Stream, Times, fewest_servers, times_of
from suanli.policies.autoscale.schedule import floor_at

SLO_MARGIN = 0.8
"""Replicas are planned for this share of a promised latency: the model is an approximation, and rates move."""

BACKLOG_S = 2.0
"""What waits already shall be gone within so long, or within the time that a replica takes to start if that is longer,
beside what comes meanwhile: more haste would have replicas started for what is over when they are there."""

SURE = 3.0
"""A short stretch shows a rate that has grown if it has more than the usual one by so many standard deviations: chance
is not taken for a burst, and a burst is not taken for less than it is."""

CONCURRENCY = 2.0
"""Ongoing requests a replica, where nothing is said; Ray Serve's default, too."""

BUSY = 0.7
"""The same as a share of the requests that a replica takes at a time, where that is limited."""

TOLERANCE = 0.1
"""Use so near its target changes nothing, as Kubernetes has it."""

ANSWERS_MIN = 10
"""Fewer say nothing about how long answers take."""

WORST_S = 0.95


class Want(msgspec.Struct, frozen=True):
    """`replicas` before the service's range is looked at, and the reason in words."""

    replicas: int
    why: str


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """`ready` replicas answer; `used` is the mean share of what they hold that they use, and `startup_s` what one takes
    to start, None where not known."""

    demand: Demand
    ready: int
    used: float | None = None
    startup_s: float | None = None


def metric_of(service: Service) -> str:
    """The one chosen, else `slo` where a latency is promised and `concurrency` elsewhere."""
    return service.scaling.metric or ("slo" if _promises_latency(service.slo) else "concurrency")


def wanted(service: Service, seen: Seen, now_s: float) -> Want | None:
    """The higher of what the metric and the schedule say; None where nothing follows from what is known."""
    metric = metric_of(service)
    if metric == "off":
        return None
    wants = [_by_metric(metric, service, seen)] if metric != "schedule" else []
    if service.scaling.floors:
        floor = floor_at(service.scaling.floors, service.scaling.timezone, now_s)
        wants.append(Want(floor, f"the schedule has at least {floor}"))
    known = [want for want in wants if want is not None]
    return max(known, key=lambda want: want.replicas) if len(known) == len(wants) and known else None


def rate_per_s(demand: Demand) -> float:
    """What came in a second: the long stretch's mean, or that of a shorter one which surely has more."""
    if not demand.arrivals:
        return 0.0
    long_s, many = demand.arrivals[-1]
    usual = many / long_s
    grown = [
        count / length_s
        for length_s, count in demand.arrivals[:-1]
        if count - SURE * math.sqrt(count * max(1.0, demand.dispersion)) > usual * length_s
    ]
    return max([usual, *grown])


def _coming(demand: Demand) -> tuple[float, str]:
    """Requests a second to be ready for, and the same in words."""
    rate, foretold = rate_per_s(demand), demand.expected_per_s
    if foretold is not None and foretold > rate:
        return foretold, f"{foretold:.3g} requests/s are foretold"
    return rate, f"{rate:.3g} requests/s"


def _promises_latency(slo: Slo) -> bool:
    return any(limit_s is not None for limit_s in (slo.p95_s, slo.ttft_p95_s, slo.tpot_p95_s))


def _by_metric(metric: str, service: Service, seen: Seen) -> Want | None:
    demand, scaling = seen.demand, service.scaling
    match metric:
        case "slo":
            return _for_slo(service, seen) or _for_concurrency(service, demand)
        case "concurrency":
            return _for_concurrency(service, demand)
        case "rps":
            assert scaling.target is not None
            rate, said = _coming(demand)
            return Want(_whole(rate / scaling.target), f"{said}, {scaling.target:g} a replica")
        case "queue":
            return _for_queue(scaling, service.access.concurrency, demand)
        case _:
            return _for_use(scaling, seen)


def _for_concurrency(service: Service, demand: Demand) -> Want:
    slots = service.access.concurrency
    target = service.scaling.target if metric_of(service) == "concurrency" else None
    target = target or (BUSY * slots if slots else CONCURRENCY)
    ongoing, said = _ongoing(demand)
    return Want(_whole(ongoing / target), f"{said}, {target:.3g} a replica")


def _ongoing(demand: Demand) -> tuple[float, str]:
    """Ongoing requests to be ready for; of foretold ones as many as their rate and time give, by Little's law."""
    recent, foretold = demand.recent, demand.expected_per_s
    mean_s = recent.served_mean_s
    if foretold is not None and mean_s is not None and sum(recent.served) >= ANSWERS_MIN:
        ongoing = foretold * mean_s
        if ongoing > demand.ongoing:
            return ongoing, f"{ongoing:.3g} ongoing requests are foretold"
    return demand.ongoing, f"{demand.ongoing:.3g} ongoing requests"


def _for_queue(scaling: Scaling, slots: int, demand: Demand) -> Want:
    """Those at work are needed, too: a short queue is no reason to end them."""
    assert scaling.target is not None
    at_work = _whole((demand.ongoing - demand.queued) / slots) if slots else 1
    replicas = max(at_work, _whole(demand.queued / scaling.target))
    return Want(replicas, f"{demand.queued:.3g} requests wait, {scaling.target:g} a replica")


def _for_use(scaling: Scaling, seen: Seen) -> Want | None:
    if seen.used is None or not seen.ready:
        return None
    target = scaling.target or BUSY
    ratio = seen.used / target
    replicas = seen.ready if abs(ratio - 1.0) <= TOLERANCE else _whole(seen.ready * ratio)
    return Want(
        replicas, f"{seen.ready} replicas use {seen.used:.0%} of what they hold, {target:.0%} is meant"
    )


def _for_slo(service: Service, seen: Seen) -> Want | None:
    """The most that any promised latency needs; None while too few answers have been timed."""
    slots, slo, recent = service.access.concurrency, service.slo, seen.demand.recent
    if sum(recent.served) < ANSWERS_MIN:
        return None
    wants: list[Want | None] = []
    if slots:
        served = times_of(recent.served, recent.served_s)
        assert served is not None
        if slo.p95_s is not None:
            wants.append(_queued(seen.demand, served, served, slots, "a p95", slo.p95_s))
        if slo.ttft_p95_s is not None:
            first = times_of(seen.demand.calm.first_byte) or served
            wants.append(
                _queued(seen.demand, served, first, slots, "a p95 to the first token", slo.ttft_p95_s)
            )
        wants.append(_backlog(seen, served, slots))
    calm = seen.demand.calm
    wants.append(_slowed(seen, calm.per_token, recent.per_token, "a p95 per further token", slo.tpot_p95_s))
    if not slots:
        settled = seen.demand.settled
        wants.append(_shared(seen, calm.latency, settled.latency, "a p95", slo.p95_s))
        first = "a p95 to the first token"
        wants.append(_shared(seen, calm.first_byte, settled.first_byte, first, slo.ttft_p95_s))
    return max((want for want in wants if want), key=lambda want: want.replicas, default=None)


def _queued(demand: Demand, served: Times, answer: Times, slots: int, what: str, limit_s: float) -> Want:
    """Each replica takes `slots` requests at a time, further ones wait in one queue; what is promised is there `answer`
    after a replica has begun."""
    rate, said = _coming(demand)
    stream = Stream(rate, demand.dispersion)
    servers = fewest_servers(stream, served, SLO_MARGIN * limit_s, answer=answer, at_a_time=slots)
    said = f"{said} at {_span(served.mean_s)} each"
    if servers is None:
        replicas = _whole(rate * served.mean_s / slots / BUSY)
        return Want(replicas, f"{said} do not keep {what} of {_span(limit_s)}, however many replicas")
    replicas = max(1, servers // slots)
    return Want(replicas, f"{said} need {_replicas(replicas)} for {what} of {_span(limit_s)}")


def _backlog(seen: Seen, served: Times, slots: int) -> Want:
    rate, waiting = rate_per_s(seen.demand), seen.demand.waiting
    within_s = _catch_up_s(seen)
    replicas = _whole((rate + waiting / within_s) * served.mean_s / slots)
    said = f"{waiting} requests wait and {rate:.3g}/s come at {_span(served.mean_s)} each"
    return Want(replicas, f"{said}: {_replicas(replicas)} catch up in {_span(within_s)}")


def _shared(seen: Seen, calm: Histogram, now: Histogram, what: str, limit_s: float | None) -> Want | None:
    """As `_slowed`, or enough for a crowd; and no more than would do if each replica took one request at a time, what
    goes on already caught up with. Fewer than that only where replicas are busy and not slowed, so that they must take
    several."""
    served = times_of(seen.demand.calm.served, seen.demand.calm.served_s)
    rate, ready = rate_per_s(seen.demand), seen.ready
    if limit_s is None or served is None or not ready:
        return _slowed(seen, calm, now, what, limit_s)
    single = _queued(seen.demand, served, served, 1, what, limit_s)
    behind = max(0.0, seen.demand.in_flight - rate * served.mean_s)
    enough = max(single.replicas, _whole((rate + behind / _catch_up_s(seen)) * served.mean_s))
    if seen.demand.crowded:
        return _for_crowd(seen, behind, enough)
    slowed = _slowed(seen, calm, now, what, limit_s)
    if slowed is None or sum(now) < ANSWERS_MIN:
        few = Want(ready, f"{_replicas(ready)} answered too little since there are so many")
        return min(few, single, key=lambda want: want.replicas)
    if slowed.replicas >= ready:
        replicas = max(ready, min(slowed.replicas, enough))
    elif ready > single.replicas:
        replicas = max(slowed.replicas, single.replicas)
    elif rate * served.mean_s >= BUSY * ready and slowed.replicas <= math.ceil(ready / 2):
        replicas = max(slowed.replicas, ready - max(1, ready // 5))
    else:
        replicas = ready
    return Want(replicas, slowed.why if replicas == slowed.replicas else f"{slowed.why}; {single.why}")


def _for_crowd(seen: Seen, behind: float, enough: int) -> Want:
    """Replicas that are asked more than they manage show what they manage: so many that they are not, and catch up."""
    rate, ready, within_s = rate_per_s(seen.demand), seen.ready, _catch_up_s(seen)
    said = f"{behind:.0f} requests more than in calm times go on"
    each_per_s = seen.demand.crowd_each_per_s
    if not each_per_s:
        return Want(ready, said)
    replicas = max(ready, min(enough, _whole((rate / BUSY + behind / within_s) / each_per_s)))
    said = f"{said} and {rate:.3g}/s come, of which a replica answers {each_per_s:.3g}"
    return Want(replicas, f"{said}: {_replicas(replicas)} catch up in {_span(within_s)}")


def _catch_up_s(seen: Seen) -> float:
    return max(BACKLOG_S, seen.startup_s or 0.0)


def _slowed(seen: Seen, calm: Histogram, now: Histogram, what: str, limit_s: float | None) -> Want | None:
    """Where a replica takes any number of requests they slow each other down. As under processor sharing, to
    1 / (1 - busy) of the time that they take alone (L. Kleinrock, *Queueing Systems* II, 1976): that tells how busy
    replicas are, and with how many they would be less so."""
    alone_s, slowed_s = quantile_s(calm, WORST_S), quantile_s(now, WORST_S)
    if limit_s is None or alone_s is None or slowed_s is None or not seen.ready:
        return None
    if alone_s >= SLO_MARGIN * limit_s:  # a service that was never calm: half of its answers may have been
        alone_s = quantile_s(calm, 0.5) or alone_s
    rate = rate_per_s(seen.demand)
    if rate:
        slowed_s = max(slowed_s, alone_s * _growth(seen.demand, rate))
    busy = max(0.0, 1.0 - alone_s / slowed_s)
    allowed = 1.0 - alone_s / (SLO_MARGIN * limit_s)
    if allowed <= 0.0:
        return Want(
            seen.ready, f"{_span(alone_s)} are taken without load: {what} of {_span(limit_s)} is out of reach"
        )
    # one look says little about how many fewer, or many more, would do
    replicas = min(max(_whole(seen.ready * busy / allowed), math.ceil(seen.ready / 2)), 2 * seen.ready)
    said = f"{seen.ready} replicas answer in {_span(slowed_s)} (p95) what takes {_span(alone_s)} alone"
    return Want(replicas, f"{said}: {_replicas(replicas)} for {what} of {_span(limit_s)}")


def _growth(demand: Demand, rate: float) -> float:
    """How much longer requests are there than they were on average when it was calm, by Little's law."""
    mean_s = demand.calm.served_mean_s
    if mean_s is None:
        mean_s = demand.recent.served_mean_s
    ongoing = min(demand.ongoing, demand.waiting + demand.in_flight)  # what went on lately may be over
    return ongoing / rate / mean_s if mean_s else 1.0


def _whole(replicas: float) -> int:
    """At least one: none is only for services that sleep."""
    return max(1, math.ceil(replicas - 1e-9))


def _replicas(count: int) -> str:
    return "1 replica" if count == 1 else f"{count} replicas"


def _span(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms" if seconds < 1.0 else f"{seconds:.3g} s"
