"""`foresee`: how a service would do at a rate, by its number of replicas, and while it scales itself."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np

from suanli.control.declare import declare
from suanli.domain.errors import UsageError
from suanli.domain.service_transition import within
from suanli.domain.traffic import Demand
from suanli.domain.workload import Kind, Service, Workload
from suanli.policies.autoscale.queueing import Times, times_of
from suanli.policies.autoscale.wanted import metric_of, rate_per_s
from suanli.sim.serving import Fleet, Requests, Served, serve
from suanli.sim.serving_arrivals import Stretch, poisson, requests_of, sampled
from suanli.sim.serving_metrics import SHARE, ServingMetrics, measure
from suanli.sim.serving_scaling import OwnScaling
from suanli.spec import Source

REQUESTS = 20_000
"""So many are played for each number of replicas: then a share of 95 % is off by about 0.2 points by chance, and by
more where replicas are nearly always busy."""

LENGTH_S, TIMES, REQUESTS_MAX = 60.0, 200, 1_000_000
"""And no less than that long, and that many times what one takes; more than `REQUESTS_MAX` would take minutes."""

WARM_UP = 0.05
"""Of a run: it begins with nothing to do, which is not how it goes on."""

ROWS_MAX, ENOUGH = 12, 2
BEFORE_S, AFTER_S = 120.0, 480.0
"""A rise is played: at the lower rate for so long, then at the higher."""

ANSWERS_MIN = 10


STARTUP_S = 10.0
"""Of a replica that nobody has seen start."""


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """What a user says: requests a second, times of requests (one, or a sample), the limit, what a replica works on at
    a time, how long one takes to start. None and nothing: as it is declared or was measured."""

    per_s: float | None = None
    times_s: tuple[float, ...] = ()
    limit_s: float | None = None
    at_once: int | None = None
    startup_s: float | None = None
    seed: int = 0


class Lived(msgspec.Struct, frozen=True, kw_only=True):
    """What a controller knows of a service that runs; `startup_s` is the median of its replicas', None without any."""

    service: Service
    demand: Demand
    startup_s: float | None


class Question(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A replica works on `at_once` requests at a time, each for `times`; 95 % shall be answered within `limit_s`."""

    name: str
    service: Service
    per_s: float
    times: Times
    limit_s: float
    at_once: int
    startup_s: float
    seed: int = 0

    @property
    def busy(self) -> float:
        """How many replicas would be at work all the time."""
        return self.per_s * self.times.mean_s / self.at_once


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """With so many replicas; `busy` is the share of their time, above 1 where it cannot be done."""

    replicas: int
    busy: float
    keeps_slo: bool
    figures: ServingMetrics


class Rise(msgspec.Struct, frozen=True, kw_only=True):
    """From one rate to another at `at_s`, while the service scales itself: (second, wanted, ready), and why."""

    from_per_s: float
    to_per_s: float
    at_s: float
    counts: tuple[tuple[float, int, int], ...]
    reasons: tuple[str, ...]
    figures: ServingMetrics


def service_in(sources: Sequence[Source], overrides: Sequence[str], now_s: float) -> Workload:
    """The one service that the sources declare. Raises SpecErrors, and UsageError for more or for none."""
    workloads = declare(sources, now_s=now_s, overrides=overrides).asked.workloads
    services = [workload for workload in workloads if workload.service is not None]
    if len(services) != 1:
        found = ", ".join(workload.name for workload in services) or "none"
        raise UsageError(
            f"One service is looked at at a time; found: {found}.", remedy="Give a document of `kind: serve`."
        )
    return services[0]


def question_of_file(declared: Workload, given: Given) -> Question:
    """Raises UsageError where something is neither given nor declared."""
    assert declared.service is not None
    if given.per_s is None or not given.times_s:
        raise UsageError(
            "A file does not say how many requests come, or how long one takes.",
            remedy="For example `--rate 60 --takes 50ms`.",
        )
    return _question(declared.name, declared.service, given, given.per_s, sampled(given.times_s), STARTUP_S)


def question_of_lived(name: str, lived: Lived, given: Given) -> Question:
    """With the rate, times and start-ups that were measured, where others are not given. Raises UsageError."""
    per_s = given.per_s if given.per_s is not None else rate_per_s(lived.demand)
    if given.per_s is None and per_s <= 0:
        raise UsageError("No requests have come lately.", remedy="Say how many would: `--rate 60`.")
    times = sampled(given.times_s) if given.times_s else _times_lately(lived)
    return _question(name, lived.service, given, per_s, times, lived.startup_s or STARTUP_S)


def _question(
    name: str, service: Service, given: Given, per_s: float, times: Times, startup_s: float
) -> Question:
    limit_s = given.limit_s if given.limit_s is not None else service.slo.p95_s
    if limit_s is None:
        raise UsageError(
            "This service promises no latency of whole answers.", remedy="Give one: `--limit 200ms`."
        )
    return Question(
        name=name,
        service=service,
        per_s=_rate(per_s, "--rate"),
        times=times,
        limit_s=limit_s,
        at_once=given.at_once or service.access.concurrency or 1,
        startup_s=given.startup_s if given.startup_s is not None else startup_s,
        seed=given.seed,
    )


def _rate(per_s: float, option: str) -> float:
    if not (math.isfinite(per_s) and per_s > 0):
        raise UsageError(f"`{option}` is a number of requests a second above 0; got {per_s:g}.")
    return per_s


def _times_lately(lived: Lived) -> Times:
    """How long replicas took for a request: lately; or, where they take any number at a time and so slow each other
    down, in the calmest minute known. Raises UsageError where too few were timed."""
    window = lived.demand.recent if lived.service.access.concurrency else lived.demand.calm
    times = times_of(window.served, window.served_s)
    if times is None or sum(window.served) < ANSWERS_MIN:
        raise UsageError(
            "Too few requests were answered lately to know how long one takes.",
            remedy="Say it: `--takes 50ms`, or a file with a time a line.",
        )
    return times


def foresee(question: Question, counts: Sequence[int] | None, told: Callable[[int], None]) -> list[Row]:
    """Play the same requests for each of the counts; without any, from just too few on, until two in a row keep the
    SLO. `told` hears of each before it is played. Raises UsageError where that would be too many requests."""
    requests, length_s = _requests(question)
    fewest = max(1, math.floor(question.busy))
    rows: list[Row] = []
    for replicas in counts or range(fewest, fewest + ROWS_MAX):
        told(replicas)
        rows.append(_row(question, requests, replicas, length_s))
        if counts is None and len(rows) >= ENOUGH and all(row.keeps_slo for row in rows[-ENOUGH:]):
            break
    return rows


def fewest_of(rows: Sequence[Row]) -> int | None:
    """The fewest replicas that keep the SLO."""
    return min((row.replicas for row in rows if row.keeps_slo), default=None)


def rise_from(question: Question, per_s: float, now_s: float) -> Rise:
    """From so many a second, with as many replicas as that needs, or as the service may have. Raises UsageError."""
    low = msgspec.structs.replace(question, per_s=_rate(per_s, "--rise-from"))
    rows = foresee(low, None, lambda _: None)
    replicas = max(1, within(question.service, fewest_of(rows) or rows[-1].replicas))
    return rise(question, per_s, replicas, now_s)


def told(question: Question, rows: Sequence[Row], risen: Rise | None) -> dict[str, Any]:
    """What `-o json` prints."""
    return {
        "service": question.name,
        "per_s": question.per_s,
        "takes_s": question.times.mean_s,
        "limit_s": question.limit_s,
        "at_once": question.at_once,
        "balance": question.service.access.balance,
        "seed": question.seed,
        "fewest": fewest_of(rows),
        "rows": msgspec.to_builtins(rows),
        "rise": msgspec.to_builtins(risen),
    }


def rise(question: Question, from_per_s: float, replicas: int, now_s: float) -> Rise:
    """Play the rise with so many replicas at first. Raises UsageError for a metric that is not simulated."""
    if metric_of(question.service) == "utilisation":
        raise UsageError(
            "What replicas use of their processors is not simulated, and this service scales on it.",
            remedy="Leave out `--rise-from`, or try `--set scaling.metric=concurrency`.",
        )
    rng = np.random.default_rng(question.seed)
    stretches = [Stretch(from_per_s, BEFORE_S), Stretch(question.per_s, AFTER_S)]
    requests = requests_of(poisson(stretches, rng), question.times, rng)
    workload = Workload(name=question.name, kind=Kind.SERVE, run=(), service=question.service)
    scaler = OwnScaling(workload, replicas, now_s)
    fleet = _fleet(question, replicas)
    served = serve(requests, fleet, question.service.access, scaler=scaler, to_s=BEFORE_S + AFTER_S)
    return Rise(
        from_per_s=from_per_s,
        to_per_s=question.per_s,
        at_s=BEFORE_S,
        counts=served.counts,
        reasons=tuple(change.why for change in scaler.changes),
        figures=measure(served, question.limit_s),
    )


def _requests(question: Question) -> tuple[Requests, float]:
    length_s = max(LENGTH_S, REQUESTS / question.per_s, TIMES * question.times.mean_s)
    if question.per_s * length_s > REQUESTS_MAX:
        raise UsageError(
            f"{question.per_s:g} requests a second are too many to play one by one.",
            remedy=f"Ask for a part, at most {REQUESTS_MAX / length_s:,.0f}: with as large a part of the replicas it "
            "does a little worse than the whole.",
        )
    rng = np.random.default_rng(question.seed)
    return requests_of(poisson([Stretch(question.per_s, length_s)], rng), question.times, rng), length_s


def _row(question: Question, requests: Requests, replicas: int, length_s: float) -> Row:
    served: Served = serve(requests, _fleet(question, replicas), question.service.access)
    figures = measure(served, question.limit_s, from_s=WARM_UP * length_s)
    return Row(
        replicas=replicas,
        busy=question.busy / replicas,
        keeps_slo=figures.attainment >= SHARE,
        figures=figures,
    )


def _fleet(question: Question, replicas: int) -> Fleet:
    return Fleet(speeds=(1.0,) * replicas, at_once=question.at_once, startup_s=question.startup_s)
