"""What has become of a workload: its record, and the attempts to run it. Changed only by `transition.apply`."""

import enum

import msgspec

from suanli.domain.resources import Share
from suanli.domain.workload import EndCause, Workload


class Status(enum.Enum):
    """Where a workload stands. The first two hold nothing, the next three hold nodes, the last three are final."""

    HELD = "held"
    WAITING = "waiting"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STOPPED = "stopped"

    @property
    def is_live(self) -> bool:
        """An attempt exists and holds resources."""
        return self in (Status.STARTING, Status.RUNNING, Status.STOPPING)

    @property
    def is_final(self) -> bool:
        return self in (Status.SUCCEEDED, Status.FAILED, Status.STOPPED)


class Placement(msgspec.Struct, frozen=True):
    """One node's part of a gang."""

    node: str
    share: Share


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One try at running a workload. `number` only ever grows, so it fences every earlier try."""

    number: int
    placements: tuple[Placement, ...]
    placed_s: float
    started_s: float | None = None
    ready_s: float | None = None
    checkpoint_s: float | None = None
    checkpoint_step: int | None = None
    stopping_s: float | None = None
    stop_cause: EndCause | None = None
    stopped_for: str = ""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A workload (for services: one replica of it) and its history in numbers.

    `key` is the workload's name, for services `name/replica`; `revision` is the service's, 0 elsewhere. `seq` is the
    position of its submission in the event log, which orders ties. `run_s` is the time its earlier attempts ran,
    `lost_s` the part of it that was run again, `done` the work that they have saved, in the workload's own units.
    """

    key: str
    workload: Workload
    replica: int | None = None
    revision: int = 0
    seq: int
    submitted_s: float
    waiting_since_s: float
    status: Status
    attempt: Attempt | None = None
    attempts_made: int = 0
    failures: int = 0
    preemptions: int = 0
    run_s: float = 0.0
    wait_s: float = 0.0
    lost_s: float = 0.0
    done: float = 0.0
    stop_requested: bool = False
    not_before_s: float = 0.0
    ended_s: float | None = None
    end_cause: EndCause | None = None
    exit_code: int | None = None
    end_detail: str = ""

    @property
    def name(self) -> str:
        return self.workload.name

    def unsaved_s(self, now_s: float) -> float:
        """Seconds of running that would be lost if the live attempt died now."""
        if self.attempt is None or self.attempt.started_s is None:
            return 0.0
        return max(0.0, now_s - max(self.attempt.started_s, self.attempt.checkpoint_s or 0.0))

    def speed(self) -> float:
        """Units of work in a second where its attempt is; 0 without one."""
        if self.attempt is None:
            return 0.0
        placements = self.attempt.placements
        return self.workload.speed_on(placements[0].share.accelerator, len(placements))

    def done_by(self, now_s: float) -> float:
        """Work done so far, saved or not, in the workload's own units. Who is told to stop works no more."""
        attempt = self.attempt
        if attempt is None or attempt.started_s is None:
            return self.done
        until_s = now_s if attempt.stopping_s is None else min(now_s, attempt.stopping_s)
        return self.done + self.speed() * max(0.0, until_s - attempt.started_s)


def key_of(name: str, replica: int | None) -> str:
    return name if replica is None else f"{name}/{replica}"
