"""Services as users see them: which revision serves, how many replicas, what they are asked, how it goes. Pure."""

from collections.abc import Mapping

import msgspec

from suanli.control.scaling import Said
from suanli.control.snapshot import Snapshot
from suanli.domain.record import Record
from suanli.domain.service import Phase, Revision, ServiceRecord
from suanli.domain.traffic import Demand, Window, quantile_s
from suanli.domain.workload import Slo
from suanli.kernel.services import is_ready, replicas_of, shares_now, stands

WINDOW_S = 60.0
"""Over which requests are counted."""


class RevisionView(msgspec.Struct, frozen=True, kw_only=True):
    """`share` of the traffic now; `origin` where it was not applied, `taken_back` why it serves no more. `model` is the
    version that it serves. Latencies are of the last minute, None without requests."""

    number: int
    made_s: float
    actor: str
    origin: str
    taken_back: str
    model: str
    share: float
    ready: int
    requests_per_s: float
    failed_share: float
    p50_s: float | None
    p95_s: float | None
    ttft_p95_s: float | None


class ServiceView(msgspec.Struct, frozen=True, kw_only=True):
    """`replicas` are wanted, `ready` answer. `url` is empty while no gateway runs; requests ask for one of `models`.

    `wanted` is what scaling says now, before its delays, and `wanted_why`; None where it says nothing. `forecast` is
    what is foretold, in words. More than there are come once they were wanted all through `upscale_delay_s`; some go
    once no more were wanted for `downscale_delay_s`.
    """

    name: str
    phase: Phase
    revision: int
    settled: int
    step: int
    replicas: int
    replicas_min: int
    replicas_max: int | None
    ready: int
    why: str
    wanted: int | None
    wanted_why: str
    forecast: str
    upscale_delay_s: float
    downscale_delay_s: float
    url: str
    model: str
    slo: Slo
    known: bool
    waiting: int
    in_flight: int
    requests_per_s: float
    failed_share: float
    p95_s: float | None
    keeps_slo: bool | None
    revisions: tuple[RevisionView, ...]


def service_view(
    service: ServiceRecord,
    snapshot: Snapshot,
    windows: Mapping[int, Window],
    demand: Demand,
    said: Said,
    url: str,
) -> ServiceView:
    """O(replicas). `windows` are of the last minute."""
    replicas = [r for r in replicas_of(service.name, snapshot.world.records) if stands(r)]
    ready = {n: sum(is_ready(r) for r in replicas if r.revision == n) for n in {r.revision for r in replicas}}
    shares = shares_now(service, ready)
    requests = sum(window.requests for window in windows.values())
    serving = windows.get(service.settled or service.target, Window())
    p95_s = quantile_s(serving.latency, 0.95)
    return ServiceView(
        name=service.name,
        phase=service.phase,
        revision=service.target,
        settled=service.settled,
        step=service.step,
        replicas=service.replicas,
        replicas_min=service.service.replicas_min,
        replicas_max=service.service.replicas_max,
        ready=sum(ready.values()),
        why=_why(service, replicas),
        wanted=said.wish.now if said.wish else None,
        wanted_why=said.wish.why if said.wish else "",
        forecast=said.forecast,
        upscale_delay_s=service.service.scaling.upscale_delay_s,
        downscale_delay_s=service.service.scaling.downscale_delay_s,
        url=url,
        model=_model(service.revision(service.target)),
        slo=service.service.slo,
        known=demand.known,
        waiting=demand.waiting,
        in_flight=demand.in_flight,
        requests_per_s=round(requests / WINDOW_S, 3),
        failed_share=_failed(sum(w.failed for w in windows.values()), requests),
        p95_s=p95_s,
        keeps_slo=_keeps(service.service.slo, serving),
        revisions=tuple(
            _revision(
                each,
                shares.get(each.number, 0.0),
                ready.get(each.number, 0),
                windows.get(each.number, Window()),
            )
            for each in service.revisions
        ),
    )


def _revision(revision: Revision, share: float, ready: int, window: Window) -> RevisionView:
    return RevisionView(
        number=revision.number,
        made_s=revision.made_s,
        actor=revision.actor,
        origin=revision.origin,
        taken_back=revision.taken_back,
        model=_model(revision),
        share=share,
        ready=ready,
        requests_per_s=round(window.requests / WINDOW_S, 3),
        failed_share=_failed(window.failed, window.requests),
        p50_s=quantile_s(window.latency, 0.5),
        p95_s=quantile_s(window.latency, 0.95),
        ttft_p95_s=quantile_s(window.first_byte, 0.95),
    )


def _why(service: ServiceRecord, replicas: list[Record]) -> str:
    """What was last decided about it, in a word."""
    taken_back = [each for each in service.revisions if each.taken_back and each.number > service.target]
    if taken_back:
        return f"revision {taken_back[-1].number} was taken back: {taken_back[-1].taken_back}"
    failed = [r for r in replicas if r.status.is_final]
    return f"{failed[0].key} failed: {failed[0].end_detail}" if failed else service.why


def _model(revision: Revision | None) -> str:
    use = revision.workload.model if revision else None
    return f"{use.name}/{use.number}" if use and use.number else ""


def _failed(failed: int, requests: int) -> float:
    return round(failed / requests, 4) if requests else 0.0


def _keeps(slo: Slo, window: Window) -> bool | None:
    """Whether the latencies promised are kept, None where none is promised or nothing was asked."""
    promised = [
        (slo.p95_s, window.latency),
        (slo.ttft_p95_s, window.first_byte),
        (slo.tpot_p95_s, window.per_token),
    ]
    measured = [
        (limit_s, quantile_s(histogram, 0.95)) for limit_s, histogram in promised if limit_s is not None
    ]
    known = [p95_s <= limit_s for limit_s, p95_s in measured if p95_s is not None]
    return all(known) if known else None
