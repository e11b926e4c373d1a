"""What `/metrics` says, as Prometheus reads it: the counts of all workers, each from its file."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from suanli.domain.traffic import BUCKETS, Counted, upper_s
from suanli.serving.gateway.stats import ServiceStats, WorkerStats

EVERY = 6
"""Bounds told: one in six, each 2.3 times the one before."""

_SERVICE = {
    "arrived": ("counter", "Requests that came for the service."),
    "refused": ("counter", "Requests refused by the gateway: limits and full queues."),
    "waiting": ("gauge", "Requests that wait for a replica."),
    "in_flight": ("gauge", "Requests with replicas."),
}
_REVISION = {
    "requests": "Requests that a replica got.",
    "failed": "Requests answered 5xx, or whose answer broke off.",
    "retried": "Requests sent again.",
    "tokens_in": "Tokens of prompts.",
    "tokens_out": "Tokens generated.",
}
_TIMES = {
    "latency": "From the request to the end of its answer.",
    "first_byte": "From the request to the first byte of its answer.",
    "per_token": "Per token after the first.",
}

Told = Mapping[str, WorkerStats]


class Family(NamedTuple):
    """A metric, and the field of what workers count that it tells."""

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str
    field: str


def families() -> Iterator[Family]:
    """All that is told, in this order."""
    by_service, by_revision = ("worker", "service"), ("worker", "service", "revision")
    for field, (kind, meaning) in _SERVICE.items():
        suffix = "_total" if kind == "counter" else ""
        yield Family(f"suanli_gateway_{field}{suffix}", kind, by_service, meaning, field)
    for field, meaning in _REVISION.items():
        yield Family(f"suanli_gateway_{field}_total", "counter", by_revision, meaning, field)
    for field, meaning in _TIMES.items():
        yield Family(f"suanli_gateway_{field}_seconds", "histogram", by_revision, meaning, field)


def rendered(workers: Told) -> bytes:
    """`workers` by their slots."""
    lines: list[str] = []
    services, revisions = list(_services(workers)), list(_traffics(workers))
    for family in families():
        lines += (f"# HELP {family.name} {family.meaning}", f"# TYPE {family.name} {family.kind}")
        counted = revisions if "revision" in family.labels else services
        for labels, stats in counted:
            if family.kind == "histogram":
                _histogram(lines, family.name, labels, getattr(stats, family.field))
            else:
                lines.append(f"{family.name}{_labels(**labels)} {getattr(stats, family.field)}")
    return ("\n".join(lines) + "\n").encode()


def read_workers(folder: Path) -> dict[str, WorkerStats]:
    """What each worker's file says, by slot. A file that is being replaced, or of no use, is passed over."""
    told: dict[str, WorkerStats] = {}
    for path in sorted(folder.glob("worker-*.json")):
        try:
            told[path.stem.removeprefix("worker-")] = msgspec.json.decode(path.read_bytes(), type=WorkerStats)
        except (OSError, msgspec.DecodeError):
            continue
    return told


def _services(workers: Told) -> Iterable[tuple[dict[str, str], ServiceStats]]:
    for slot, stats in workers.items():
        for service, told in stats.services.items():
            yield {"worker": slot, "service": service}, told


def _traffics(workers: Told) -> Iterable[tuple[dict[str, str], Counted]]:
    for slot, stats in workers.items():
        for service, told in stats.services.items():
            for revision, traffic in told.by_revision.items():
                yield {"worker": slot, "service": service, "revision": revision}, traffic


def _histogram(lines: list[str], name: str, labels: dict[str, str], counts: list[int]) -> None:
    below = 0
    for bucket in range(BUCKETS):
        below += counts[bucket]
        if bucket % EVERY == EVERY - 1 and bucket < BUCKETS - 1:
            lines.append(f"{name}_bucket{_labels(**labels, le=f'{upper_s(bucket):.4g}')} {below}")
    lines.append(f"{name}_bucket{_labels(**labels, le='+Inf')} {below}")
    lines.append(f"{name}_count{_labels(**labels)} {below}")


def _labels(**labels: str) -> str:
    def escaped(value: str) -> str:
        return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")

    return "{" + ",".join(f'{name}="{escaped(value)}"' for name, value in labels.items()) + "}"
