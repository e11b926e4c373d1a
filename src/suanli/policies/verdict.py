"""Whether a new revision of a service is good enough, by what its requests met beside those of the old one."""

from suanli.domain.traffic import Histogram, Window, count_above, quantile_s
from suanli.domain.workload import Slo, Update

SURE = 1e-3
"""Chance allowed of calling a revision bad that is as good as the old one, at each look."""

FAILURES_MIN, REQUESTS_MIN = 3, 20
"""Fewer say nothing, whatever their share."""

TAIL = 0.05
"""What lies beyond a 95th percentile."""

SLOWER = 2.0
"""Where nothing is promised: how many times the old revision's 95th percentile is too slow."""


def verdict(new: Window, old: Window, slo: Slo, update: Update) -> str:
    """Why the new revision is bad, empty where nothing speaks against it (yet). O(BUCKETS).

    One-sided binomial tests: of failures against `error_rate_max` or the old revision's own share, whichever is worse;
    of answers beyond a promised latency, likewise, against the 5 % that a 95th percentile allows.
    """
    return _fails(new, old, update) or next(
        filter(None, (_slow(*limit) for limit in _limits(new, old, slo))), ""
    )


def _fails(new: Window, old: Window, update: Update) -> str:
    usual = max(update.error_rate_max, old.failed / old.requests if old.requests else 0.0)
    if new.failed < FAILURES_MIN or not _more_than(new.failed, new.requests, usual):
        return ""
    return f"{new.failed} of {new.requests} requests failed ({new.failed / new.requests:.1%}); {usual:.1%} is usual"


def _limits(new: Window, old: Window, slo: Slo) -> list[tuple[str, Histogram, Histogram, float]]:
    """What is measured, of the new and of the old revision, and how long it may take."""
    limits: list[tuple[str, Histogram, Histogram, float]] = []
    if slo.p95_s is not None:
        limits.append(("answers", new.latency, old.latency, slo.p95_s))
    if slo.ttft_p95_s is not None:
        limits.append(("first tokens", new.first_byte, old.first_byte, slo.ttft_p95_s))
    if slo.tpot_p95_s is not None:
        limits.append(("further tokens", new.per_token, old.per_token, slo.tpot_p95_s))
    usual_s = quantile_s(old.latency, 1.0 - TAIL) if sum(old.latency) >= REQUESTS_MIN else None
    if not limits and usual_s is not None:
        limits.append(("answers", new.latency, old.latency, SLOWER * usual_s))
    return limits


def _slow(what: str, new: Histogram, old: Histogram, limit_s: float) -> str:
    total, late = sum(new), count_above(new, limit_s)
    usual = TAIL if sum(old) < REQUESTS_MIN else max(TAIL, count_above(old, limit_s) / sum(old))
    if total < REQUESTS_MIN or not _more_than(late, total, usual):
        return ""
    return f"{late} of {total} {what} took longer than {limit_s:.3g} s ({late / total:.1%}); {usual:.1%} may"


def _more_than(count: int, total: int, share: float) -> bool:
    """Whether so many of so many are surely more than that share."""
    from scipy.special import bdtrc  # pyright: ignore[reportMissingTypeStubs]

    return count > 0 and share < 1.0 and float(bdtrc(count - 1, total, share)) < SURE
