"""What a simulation leaves: every stay of every workload on the fleet, and how many there were at each instant."""

import msgspec

from suanli.domain.fleet import Fleet
from suanli.domain.record import Placement, Record


class Stay(msgspec.Struct, frozen=True):
    """One attempt from placement to end, on these nodes. `started_s` is when its work began, inf where it never did."""

    key: str
    number: int
    placed_s: float
    started_s: float
    ended_s: float
    placements: tuple[Placement, ...]
    cause: str


class Level(msgspec.Struct, frozen=True):
    """How things stood from `at_s` until the next level: workloads that wait, that hold nodes; what they hold."""

    at_s: float
    waiting: int
    live: int
    devices: float
    cpus: float


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """`records` are all workloads as they were left, in order of arrival; `work` what each truly had to do.

    `decisions_hash` is a digest of every action at its instant: two runs with the same one were the same run.
    `policy_cpu_s` and `wall_s` are by the stopwatches that were passed in, 0 without.
    """

    policy: str
    trace: str
    seed: int
    oracle: bool
    fleet: Fleet
    records: tuple[Record, ...]
    work: dict[str, float]
    stays: tuple[Stay, ...]
    levels: tuple[Level, ...]
    from_s: float
    to_s: float
    steps: int
    policy_cpu_s: float
    decisions_hash: str
    is_whole: bool
