"""Idle reclaim: what is held but not used is first measured, then warned of or given back."""

from collections.abc import Mapping

import msgspec

from suanli.domain.record import Record

WARN_AGAIN_AFTER_S = 3600.0


class IdleVerdict(msgspec.Struct, frozen=True):
    """`idle_since_s` is None while it is used enough; `act` is empty, `warn` or `stop`."""

    idle_since_s: float | None
    act: str = ""


def judge(
    record: Record, use: Mapping[str, float], since_s: float | None, warned_s: float, now_s: float
) -> IdleVerdict:
    """What an idle rule says now. Not measured means not judged: idle is only what was seen idle without a break."""
    rule = record.workload.idle
    used = use.get(record.key)
    if rule is None or used is None or used >= rule.below:
        return IdleVerdict(None)
    since_s = now_s if since_s is None else since_s
    if now_s - since_s < rule.for_s:
        return IdleVerdict(since_s)
    if rule.then == "stop":
        return IdleVerdict(since_s, "stop")
    return IdleVerdict(since_s, "warn" if now_s - warned_s >= WARN_AGAIN_AFTER_S else "")
