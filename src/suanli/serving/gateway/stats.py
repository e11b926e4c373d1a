"""What a gateway's worker tells the controller: counts that only grow while it lives, and what goes on now.

Each worker writes its own file, replaced as a whole, about twice a second and whenever it has taken new routes.
"""

import msgspec

from suanli.domain.traffic import BUCKETS


def _zeros() -> list[int]:
    return [0] * BUCKETS


class Traffic(msgspec.Struct, kw_only=True):
    """Of one revision of a service, as one worker saw it. `failed` are 5xx answers and broken ones, the gateway's own
    refusals (`refused`: 429 and 503) not among them; `retried` were sent again. Seconds are summed over all answered.

    Histograms count answers by whole latency, by time to the first byte, by time per further token, and by time since
    they were sent to a replica (`served`, `served_seconds` in all).
    """

    requests: int = 0
    failed: int = 0
    retried: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    seconds: float = 0.0
    latency: list[int] = msgspec.field(default_factory=_zeros)
    first_byte: list[int] = msgspec.field(default_factory=_zeros)
    per_token: list[int] = msgspec.field(default_factory=_zeros)
    served: list[int] = msgspec.field(default_factory=_zeros)
    served_seconds: float = 0.0


class ServiceStats(msgspec.Struct, kw_only=True):
    """`arrived` counts every request, `waiting` are in the queue now, `in_flight` with replicas.

    `by_revision` is by revision number, as text.
    """

    arrived: int = 0
    refused: int = 0
    waiting: int = 0
    in_flight: int = 0
    by_revision: dict[str, Traffic] = msgspec.field(default_factory=dict[str, Traffic])


class WorkerStats(msgspec.Struct, kw_only=True):
    """`routes_version` is the newest that it follows; `in_flight` counts requests by `key:attempt` of the replica."""

    pid: int
    started_s: float
    at_s: float
    routes_version: int
    services: dict[str, ServiceStats] = msgspec.field(default_factory=dict[str, ServiceStats])
    in_flight: dict[str, int] = msgspec.field(default_factory=dict[str, int])
