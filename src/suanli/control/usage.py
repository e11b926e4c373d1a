"""What keys used, taken over from the files of gateways and kept: by hour, key and service, for reports and users."""

from pathlib import Path

import msgspec
import structlog

from suanli.ports.store import Store
from suanli.serving.admission.usage import HOUR_S, NANO, Counted, Hour, hours_in, path_of, read_hour

_KIND = "usage"
_SEEN = "usage-seen"

KEPT_S = 400 * 86400.0
"""Older hours are dropped."""

log = structlog.get_logger("suanli.control")


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Of one key and service from `from_s` on, for `period_s`. `failed` were answered 5xx, `refused` did not get in."""

    key: str
    team: str
    service: str
    from_s: float
    period_s: float
    requests: int
    failed: int
    refused: int
    tokens_in: int
    tokens_out: int
    seconds: float
    cost_usd: float
    energy_joules: float


def collect_usage(store: Store, folder: Path, gateway: str, now_s: float) -> int:
    """Take over what is new in the gateway's folder, whether it runs or not; how many hours that was.

    Counts everything once: a file replaces an older copy of the same hour. O(files) to look, O(rows) of what changed.
    """
    kept = store.document(_SEEN, gateway)
    seen = msgspec.json.decode(kept, type=dict[int, int]) if kept else {}
    here = {hour: path_of(folder, hour).stat().st_mtime_ns for hour in hours_in(folder)}
    changed = [hour for hour, mtime_ns in here.items() if seen.get(hour) != mtime_ns]
    for hour in changed:
        _take_over(store, folder, gateway, hour)
    if changed:
        store.save_document(_SEEN, gateway, msgspec.json.encode(here), now_s)
        store.drop_documents(_KIND, now_s - KEPT_S)
    return len(changed)


def usage_of(
    store: Store, *, since_s: float, until_s: float, period_s: float, key: str = ""
) -> tuple[Usage, ...]:
    """By period (whole hours, counted from the epoch), key and service, oldest first. O(rows of those hours)."""
    sums: dict[tuple[int, str, str], Counted] = {}
    for body in store.documents(_KIND, since_s - HOUR_S).values():
        hour = msgspec.json.decode(body, type=Hour)
        if not since_s < (hour.number + 1) * HOUR_S or hour.number * HOUR_S >= until_s:
            continue
        for row in hour.rows:
            if key in ("", row.key):
                at = int(hour.number * HOUR_S // period_s), row.key, row.service
                sums.setdefault(at, Counted(key=row.key, team=row.team, service=row.service)).add(row)
    return tuple(_usage(at[0], period_s, sums[at]) for at in sorted(sums))


def _take_over(store: Store, folder: Path, gateway: str, number: int) -> None:
    name = f"{gateway}/{number}"
    try:
        hour = read_hour(folder, number)
    except msgspec.DecodeError as error:
        log.warning("an hour of the gateway cannot be read", gateway=gateway, hour=number, error=str(error))
        return
    body = store.document(_KIND, name)
    if hour is None or (body is not None and msgspec.json.decode(body, type=Hour).seq >= hour.seq):
        return
    store.save_document(_KIND, name, msgspec.json.encode(hour), number * HOUR_S)


def _usage(period: int, period_s: float, counted: Counted) -> Usage:
    return Usage(
        key=counted.key,
        team=counted.team,
        service=counted.service,
        from_s=period * period_s,
        period_s=period_s,
        requests=counted.requests,
        failed=counted.failed,
        refused=counted.refused,
        tokens_in=counted.tokens_in,
        tokens_out=counted.tokens_out,
        seconds=counted.seconds,
        cost_usd=counted.nano_usd / NANO,
        energy_joules=counted.joules,
    )
