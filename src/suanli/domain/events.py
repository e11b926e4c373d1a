"""Everything that can happen. The log of these is the truth; all else is computed from it by `transition.apply`."""

import msgspec

from suanli.domain.fleet import Fleet
from suanli.domain.record import Placement
from suanli.domain.workload import EndCause, Workload


class _Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """Tagged, so that a log line decodes to its own type."""


class _WorkloadEvent(_Event, frozen=True, kw_only=True):
    key: str


class Submitted(_WorkloadEvent, frozen=True, kw_only=True, tag="submitted"):
    """A workload was accepted. On a finished record it begins a new life of the same name."""

    workload: Workload
    replica: int | None = None
    revision: int = 0


class Held(_WorkloadEvent, frozen=True, kw_only=True, tag="held"):
    """It must not start until released."""


class Released(_WorkloadEvent, frozen=True, kw_only=True, tag="released"):
    """The hold is lifted."""


class Placed(_WorkloadEvent, frozen=True, kw_only=True, tag="placed"):
    """Attempt `number` shall run there. Recorded before the engine is asked."""

    number: int
    placements: tuple[Placement, ...]


class Started(_WorkloadEvent, frozen=True, kw_only=True, tag="started"):
    """All processes of the attempt were seen running."""

    number: int


class Ready(_WorkloadEvent, frozen=True, kw_only=True, tag="ready"):
    """The service replica answered its health check."""

    number: int


class Checkpointed(_WorkloadEvent, frozen=True, kw_only=True, tag="checkpointed"):
    """Work up to `step` is safe since `saved_s`, where the engine knows that instant, else since it was seen."""

    number: int
    step: int
    saved_s: float | None = None


class StopBegun(_WorkloadEvent, frozen=True, kw_only=True, tag="stop-begun"):
    """The attempt is told to end (SIGTERM, grace, SIGKILL). `stopped_for` names the workload that takes its place."""

    number: int
    cause: EndCause
    stopped_for: str = ""


class Ended(_WorkloadEvent, frozen=True, kw_only=True, tag="ended"):
    """No process of the attempt is alive any more, for certain."""

    number: int
    cause: EndCause
    exit_code: int | None = None
    detail: str = ""


class StopRequested(_WorkloadEvent, frozen=True, kw_only=True, tag="stop-requested"):
    """Somebody wants it ended for good."""


class Retried(_WorkloadEvent, frozen=True, kw_only=True, tag="retried"):
    """A finished workload shall run again."""


class NodeCordoned(_Event, frozen=True, kw_only=True, tag="node-cordoned"):
    """Nothing new is placed on the node; with `drain` what runs there is moved away."""

    node: str
    drain: bool = False


class NodeUncordoned(_Event, frozen=True, kw_only=True, tag="node-uncordoned"):
    node: str


class FleetDeclared(_Event, frozen=True, kw_only=True, tag="fleet-declared"):
    """The fleet that decisions count with from now on."""

    fleet: Fleet


class PolicyChosen(_Event, frozen=True, kw_only=True, tag="policy-chosen"):
    """Name of the policy from now on, `order+allocate+place`."""

    policy: str


class _ServiceEvent(_Event, frozen=True, kw_only=True):
    service: str


class Revised(_ServiceEvent, frozen=True, kw_only=True, tag="revised"):
    """Revision `number` shall serve from now on. `origin` says where it comes from, where it was not applied."""

    number: int
    workload: Workload
    origin: str = ""


class Shifted(_ServiceEvent, frozen=True, kw_only=True, tag="shifted"):
    """Step `step` of an update: traffic goes to revisions by these shares, which add up to 1."""

    step: int
    shares: dict[int, float]
    why: str = ""


class Settled(_ServiceEvent, frozen=True, kw_only=True, tag="settled"):
    """The update is over: revision `number` serves alone."""

    number: int


class TakenBack(_ServiceEvent, frozen=True, kw_only=True, tag="taken-back"):
    """Revision `number` was not good enough, or not wanted after all: `to`, which served before, serves on."""

    number: int
    to: int
    why: str


class Scaled(_ServiceEvent, frozen=True, kw_only=True, tag="scaled"):
    """So many replicas are wanted from now on."""

    replicas: int
    why: str = ""


class ServicePaused(_ServiceEvent, frozen=True, kw_only=True, tag="service-paused"):
    """No replica runs, and no request wakes one, until it is resumed."""


class ServiceResumed(_ServiceEvent, frozen=True, kw_only=True, tag="service-resumed"):
    """It shall serve again, after it was paused or stopped."""


class ServiceEnded(_ServiceEvent, frozen=True, kw_only=True, tag="service-ended"):
    """It shall serve no more."""


WorkloadEvent = (
    Submitted
    | Held
    | Released
    | Placed
    | Started
    | Ready
    | Checkpointed
    | StopBegun
    | Ended
    | StopRequested
    | Retried
)
FleetEvent = NodeCordoned | NodeUncordoned | FleetDeclared | PolicyChosen
ServiceEvent = (
    Revised | Shifted | Settled | TakenBack | Scaled | ServicePaused | ServiceResumed | ServiceEnded
)
Event = WorkloadEvent | FleetEvent | ServiceEvent


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the log. `actor` is who caused it: a token's name, `controller`, `engine`."""

    seq: int
    at_s: float
    actor: str
    event: Event
