"""What has become of a service as a whole: its revisions, which of them serves, how many replicas are wanted.

Its replicas are records of their own. Changed only by `service_transition.apply_to_service`.
"""

import enum

import msgspec

from suanli.domain.workload import Service, Workload

REVISIONS_KEPT = 20
"""Older ones cannot be rolled back to."""


class Phase(enum.Enum):
    """Where a service stands. STEADY: one revision serves; UPDATING: another takes over."""

    STEADY = "steady"
    UPDATING = "updating"
    PAUSED = "paused"
    ENDED = "ended"


class Revision(msgspec.Struct, frozen=True, kw_only=True):
    """A declaration of the service, numbered from 1. `origin` is empty for what was applied."""

    number: int
    workload: Workload
    made_s: float
    actor: str
    origin: str = ""
    taken_back: str = ""


class ServiceRecord(msgspec.Struct, frozen=True, kw_only=True):
    """`target` shall serve; `settled` is the one that last served alone, 0 where none did yet.

    `shares` are traffic by revision, empty where replicas get it evenly whatever their revision; they have held since
    `step_s`, when step `step` of the update began. `replicas` are wanted, as `why` says.
    """

    name: str
    revisions: tuple[Revision, ...]
    target: int
    settled: int = 0
    phase: Phase = Phase.UPDATING
    step: int = 0
    step_s: float = 0.0
    shares: dict[int, float] = msgspec.field(default_factory=dict[int, float])
    replicas: int = 1
    why: str = ""

    def revision(self, number: int) -> Revision | None:
        return next((each for each in self.revisions if each.number == number), None)

    @property
    def workload(self) -> Workload:
        """What the target revision declares."""
        found = self.revision(self.target)
        assert found is not None
        return found.workload

    @property
    def service(self) -> Service:
        """The part of the declaration that only services have."""
        service = self.workload.service
        assert service is not None
        return service

    @property
    def next_number(self) -> int:
        return self.revisions[-1].number + 1

    @property
    def serves(self) -> bool:
        return self.phase in (Phase.STEADY, Phase.UPDATING)
