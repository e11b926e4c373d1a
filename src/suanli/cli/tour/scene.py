"""What the tour sees: each look brings the workloads as they stand and what has happened since the last one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from suanli.cli.client import Client
from suanli.cli.events import entries, told
from suanli.domain.events import Entry

View = Mapping[str, Any]


@dataclass(frozen=True)
class Scene:
    """One look. `fresh` are the log's entries since the look before."""

    workloads: Mapping[str, View]
    fresh: Sequence[Entry]
    checkpoints: Mapping[str, int]

    def has_checkpoint(self, key: str) -> bool:
        return key in self.checkpoints

    def status(self, key: str) -> str:
        return self.workloads[key]["status"] if key in self.workloads else ""

    def is_ready(self, key: str) -> bool:
        return key in self.workloads and self.workloads[key]["ready"]

    def failed(self) -> list[str]:
        return [key for key, view in self.workloads.items() if view["status"] in ("failed", "stopped")]


class Looker:
    """Follows one controller. Raises what Client raises."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._after = 0
        self._checkpoints: dict[str, int] = {}

    def look(self) -> Scene:
        from suanli.domain import events as ev

        fresh = msgspec.convert(list(entries(self._client, self._after)), list[Entry], strict=False)
        if fresh:
            self._after = fresh[-1].seq
        self._checkpoints |= {
            e.event.key: e.event.step for e in fresh if isinstance(e.event, ev.Checkpointed)
        }
        views = self._client.get("/v1/workloads")["workloads"]
        return Scene({view["key"]: view for view in views}, fresh, dict(self._checkpoints))


def line(entry: Entry) -> str:
    return told(entry.event)
