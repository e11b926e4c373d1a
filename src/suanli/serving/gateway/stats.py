"""What a gateway's worker tells the controller: counts that only grow while it lives, and what goes on now.

Each worker writes its own file, replaced as a whole, about twice a second and whenever it has taken new routes.
"""

import msgspec

from suanli.domain.traffic import Counted


class ServiceStats(msgspec.Struct, kw_only=True):
    """`arrived` counts every request, `waiting` are in the queue now, `in_flight` with replicas.

    `by_revision` is by revision number, as text.
    """

    arrived: int = 0
    refused: int = 0
    waiting: int = 0
    in_flight: int = 0
    by_revision: dict[str, Counted] = msgspec.field(default_factory=dict[str, Counted])


class WorkerStats(msgspec.Struct, kw_only=True):
    """`routes_version` is the newest that it follows; `in_flight` counts requests by `key:attempt` of the replica."""

    pid: int
    started_s: float
    at_s: float
    routes_version: int
    services: dict[str, ServiceStats] = msgspec.field(default_factory=dict[str, ServiceStats])
    in_flight: dict[str, int] = msgspec.field(default_factory=dict[str, int])
