"""What each key used of each service, hour by hour: counted by workers, made durable by the ledger, read by all.

The ledger keeps one file for each hour in `usage/` of the gateway's folder, `<hours since the epoch>.json`, replaced as
a whole. In it counters only grow, and so does `seq`: whoever copies the file with the greater `seq` over an older copy
counts everything once. So the control plane needs nothing but to read files, when either side is down.
"""

from pathlib import Path

import msgspec

HOUR_S = 3600.0
NANO = 1_000_000_000
"""Money is counted in whole billionths of a US dollar: sums are exact."""

FOLDER = "usage"


class Counted(msgspec.Struct, kw_only=True, gc=False):
    """Of one key, service and revision. `failed` were answered 5xx, `refused` did not get in. `nano_usd` is the cost.

    `request_id` is of the latest.
    """

    key: str
    team: str
    service: str
    revision: int = 0
    requests: int = 0
    failed: int = 0
    refused: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    seconds: float = 0.0
    nano_usd: int = 0
    joules: float = 0.0
    request_id: str = ""

    def add(self, other: "Counted") -> None:
        self.requests += other.requests
        self.failed += other.failed
        self.refused += other.refused
        self.tokens_in += other.tokens_in
        self.tokens_out += other.tokens_out
        self.seconds += other.seconds
        self.nano_usd += other.nano_usd
        self.joules += other.joules
        self.team = other.team
        self.request_id = other.request_id or self.request_id

    @property
    def of(self) -> tuple[str, str, int]:
        return self.key, self.service, self.revision


class Hour(msgspec.Struct, frozen=True, kw_only=True):
    """One hour of one gateway. `number` is in hours since the epoch."""

    number: int
    seq: int
    rows: tuple[Counted, ...]


def hour_of(now_s: float) -> int:
    return int(now_s // HOUR_S)


def path_of(folder: Path, hour: int) -> Path:
    return folder / FOLDER / f"{hour}.json"


def read_hour(folder: Path, hour: int) -> Hour | None:
    """None where there is no such hour. Raises msgspec.DecodeError: files are replaced whole, so it is none of ours."""
    try:
        return msgspec.json.decode(path_of(folder, hour).read_bytes(), type=Hour)
    except FileNotFoundError:
        return None


def hours_in(folder: Path) -> tuple[int, ...]:
    """The hours that there are files of, oldest first."""
    names = (path.stem for path in (folder / FOLDER).glob("*.json"))
    return tuple(sorted(int(name) for name in names if name.isdecimal()))
