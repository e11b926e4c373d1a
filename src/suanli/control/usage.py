"""What keys used, taken over from the files of gateways and kept: by hour, key and service, for reports and users.

The controller's loop does that once an hour, so that nothing hangs on somebody asking, and then has no more need of a
gateway's files; who asks has what is new of the present hour taken over, too.
"""

from pathlib import Path

import msgspec
import structlog

from suanli.domain.errors import Unavailable
from suanli.ports.store import Store
from suanli.serving.admission.usage import HOUR_S, NANO, Counted, Hour, hour_of, hours_in, path_of, read_hour

_KIND = "usage"
_SEEN = "usage-seen"

GATEWAY = "local"
"""The one that the controller keeps."""

SETTLE_S = 60.0
"""So long after an hour's end its file says all: the ledger renews it every few seconds."""

AGAIN_S = 60.0
"""After trouble it is tried again no sooner."""

FILES_KEPT_HOURS = 24
"""A file that has been taken over goes this long after its hour: a clock may go back, and a disk forget the latest."""

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


class Hourly:
    """Takes over what the gateway's folder has, at the start and once each hour is over, and drops old files.

    What it knows may be lost at any moment: everything is in the folder and the store.
    """

    def __init__(self, store: Store, folder: Path, gateway: str = GATEWAY) -> None:
        self._store = store
        self._folder = folder
        self._gateway = gateway
        self._done: int | None = None  # up to the hour before this one
        self._again_s = 0.0

    def look(self, now_s: float) -> None:
        """O(1) where no hour has ended. Trouble is told and tried again."""
        hour = hour_of(now_s - SETTLE_S)
        if hour == self._done or now_s < self._again_s:
            return
        try:
            collect_usage(self._store, self._folder, self._gateway, now_s)
            drop_files(self._store, self._folder, self._gateway, now_s)
        except (Unavailable, OSError) as error:
            log.warning("usage of keys cannot be taken over yet", gateway=self._gateway, error=str(error))
            self._again_s = now_s + AGAIN_S
            return
        self._done = hour


def drop_files(store: Store, folder: Path, gateway: str, now_s: float) -> int:
    """Remove files of hours that are long over and kept as they are; how many that was. Raises OSError."""
    kept = store.document(_SEEN, gateway)
    seen = msgspec.json.decode(kept, type=dict[int, int]) if kept else {}
    dropped = 0
    for hour in hours_in(folder):
        if hour + FILES_KEPT_HOURS >= hour_of(now_s) or not _is_kept(store, folder, gateway, hour, seen):
            continue
        path_of(folder, hour).unlink(missing_ok=True)
        dropped += 1
    return dropped


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


def _is_kept(store: Store, folder: Path, gateway: str, number: int, seen: dict[int, int]) -> bool:
    """Whether the store has the hour as its file, which nobody has touched since it was read, says it."""
    if seen.get(number) != path_of(folder, number).stat().st_mtime_ns:
        return False
    return store.document(_KIND, f"{gateway}/{number}") is not None


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
