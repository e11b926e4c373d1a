"""How well a service was served: the same figures for what was simulated and for what was measured."""

import math

import msgspec
import numpy as np
from numpy.typing import NDArray

from suanli.sim.serving import Seconds, Served

SHARE = 0.95
"""Of the requests of a second that must be answered within the limit; what `slo: {p95: ...}` promises."""


class ServingMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """`attainment` is the share of all requests that were answered within the limit. Percentiles are of all requests,
    None where the one that they name had no answer. `violation_s`: see `violation_seconds`."""

    requests: int
    answered: int
    refused: int
    attainment: float
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None
    violation_s: int
    replica_hours: float


def measure(served: Served, limit_s: float, from_s: float = 0.0) -> ServingMetrics:
    """Of the requests that came from `from_s` on; replicas' hours are of the whole run."""
    asked = served.requests.arrive_s >= from_s
    latency_s = served.latency_s[asked]
    return ServingMetrics(
        requests=len(latency_s),
        answered=int(np.isfinite(latency_s).sum()),
        refused=int(served.refused[asked].sum()),
        attainment=attainment(latency_s, limit_s),
        p50_s=percentile_s(latency_s, 0.50),
        p95_s=percentile_s(latency_s, 0.95),
        p99_s=percentile_s(latency_s, 0.99),
        violation_s=violation_seconds(served.requests.arrive_s[asked], latency_s, limit_s),
        replica_hours=served.replica_s / 3600.0,
    )


def attainment(latency_s: Seconds, limit_s: float) -> float:
    """The share within the limit, of `latency_s` float[n], inf for what was refused or never answered; 1 of none."""
    return float((latency_s <= limit_s).mean()) if len(latency_s) else 1.0


def percentile_s(latency_s: Seconds, share: float) -> float | None:
    """The least latency that at least that share of requests did not exceed."""
    if not len(latency_s):
        return None
    at = min(len(latency_s) - 1, max(0, math.ceil(share * len(latency_s)) - 1))
    value = float(np.partition(latency_s, at)[at])
    return value if math.isfinite(value) else None


def violation_seconds(arrive_s: Seconds, latency_s: Seconds, limit_s: float, share: float = SHARE) -> int:
    """In how many seconds the SLO was missed. A second counts, from one whole number to the next, if fewer than `share`
    of the requests that *arrived* in it were answered within the limit; refused ones were not. One without requests
    does not count."""
    return int(missed(arrive_s, latency_s, limit_s, share).sum())


def missed(arrive_s: Seconds, latency_s: Seconds, limit_s: float, share: float = SHARE) -> NDArray[np.bool_]:
    """bool[seconds]: whether the SLO was missed in each."""
    second = np.floor(arrive_s).astype(np.int64)
    asked = np.bincount(second)
    kept = np.bincount(second, weights=latency_s <= limit_s, minlength=len(asked))
    return kept < share * asked - 1e-9
