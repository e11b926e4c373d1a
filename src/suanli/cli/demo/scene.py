"""What the demo sees: each look brings how things stand, by the API, and what has happened since the last one."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from suanli.cli.client import Client
from suanli.cli.events import entries
from suanli.domain import events as ev
from suanli.domain.workload import EndCause

View = Mapping[str, Any]


class Scene(msgspec.Struct, frozen=True):
    """One look at `at_s`, in seconds of the day. `fresh` are the log's entries since the look before."""

    at_s: float
    policy: str
    counts: Mapping[str, int]
    preemptions: int
    nodes: Sequence[View]
    queue: Sequence[View]
    fresh: Sequence[ev.Entry]


class Looker:
    """Follows one controller. Raises what Client raises."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._after = 0
        self._preemptions = 0

    def look(self, at_s: float) -> Scene:
        fresh = msgspec.convert(list(entries(self._client, self._after)), list[ev.Entry], strict=False)
        if fresh:
            self._after = fresh[-1].seq
        self._preemptions += sum(is_preemption(entry.event) for entry in fresh)
        status = self._client.get("/v1/status")
        return Scene(
            at_s=at_s,
            policy=status["policy"],
            counts=status["counts"],
            preemptions=self._preemptions,
            nodes=self._client.get("/v1/nodes")["nodes"],
            queue=self._client.get("/v1/queue")["queue"],
            fresh=fresh,
        )


def is_preemption(event: ev.Event) -> bool:
    return isinstance(event, ev.StopBegun) and event.cause is EndCause.PREEMPTED


def is_notable(event: ev.Event) -> bool:
    """Worth a line of its own among the thousand things of a day."""
    return is_preemption(event) or (isinstance(event, ev.Ended) and event.cause is EndCause.NODE_LOST)


def time_of_day(at_s: float) -> str:
    """`09:05`."""
    minutes = int(at_s // 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}"
