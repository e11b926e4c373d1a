"""What a step decides, and what its policy must remember until the next one."""

import msgspec

from suanli.domain.reasons import Reason
from suanli.domain.record import Placement
from suanli.domain.workload import EndCause


class Place(msgspec.Struct, frozen=True, kw_only=True, tag="place"):
    """Start attempt `number` of a workload, one process group per placement."""

    key: str
    number: int
    placements: tuple[Placement, ...]


class Stop(msgspec.Struct, frozen=True, kw_only=True, tag="stop"):
    """End attempt `number` with notice. `lost_s` is the work since its last checkpoint, estimated now."""

    key: str
    number: int
    cause: EndCause
    stopped_for: str = ""
    lost_s: float = 0.0


class WarnIdle(msgspec.Struct, frozen=True, kw_only=True, tag="warn-idle"):
    """The workload holds what it does not use; tell its owner."""

    key: str
    used_fraction: float
    idle_s: float


class AddNodes(msgspec.Struct, frozen=True, kw_only=True, tag="add-nodes"):
    """Ask for more nodes of the fleet's template, by name so that asking twice is asking once."""

    names: tuple[str, ...]


class RemoveNode(msgspec.Struct, frozen=True, kw_only=True, tag="remove-node"):
    """Give back a node that has been empty for long enough."""

    name: str


Action = Place | Stop | WarnIdle | AddNodes | RemoveNode


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of one step: actions, and for everything that waits an index into `reasons`."""

    policy: str
    at_s: float
    actions: tuple[Action, ...] = ()
    reasons: tuple[Reason, ...] = ()
    waiting: dict[str, int] = msgspec.field(default_factory=dict[str, int])
    note: str = ""

    def reason_for(self, key: str) -> Reason | None:
        index = self.waiting.get(key)
        return None if index is None else self.reasons[index]


class Reservation(msgspec.Struct, frozen=True, kw_only=True):
    """Placements kept for a workload whose victims are still stopping."""

    placements: tuple[Placement, ...]
    since_s: float


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """What a workload is due and has had of each accelerator model, in the order of `Rounds.models`.

    `fractions` of time, `held_s` since they were computed, `deficit_s` owed from before. `fair_s` is what the work done
    by then, `done`, would have taken with an equal share of the fleet, which gives `fair_speed`.
    """

    fractions: tuple[float, ...]
    held_s: tuple[float, ...]
    deficit_s: tuple[float, ...]
    fair_s: float
    fair_speed: float
    done: float


class Rounds(msgspec.Struct, frozen=True, kw_only=True):
    """How accelerators are shared over time: who has its turn, on which model, in the round that began at `began_s`.

    Fractions are as of `divided_s`, when there were `devices` of each model; `total_s` is the time for which each model
    has been held since, by all together.
    """

    models: tuple[str, ...]
    began_s: float
    divided_s: float
    devices: tuple[float, ...]
    total_s: tuple[float, ...]
    shares: dict[str, Share]
    turns: dict[str, str]


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """All that a policy remembers, recorded with the decision. Times are instants of the controller's clock.

    `hot_since_s` by node, `idle_since_s`, `warned_s` and `moved_s` by workload key, `empty_since_s` by node. `wake_s`
    is when to decide again even if nothing happens until then: the end of a round. `rounds` is kept by policies that
    share accelerators over time in rounds. `migrations` is how many have been moved so that others fit.
    """

    reservations: dict[str, Reservation] = msgspec.field(default_factory=dict[str, Reservation])
    hot_since_s: dict[str, float] = msgspec.field(default_factory=dict[str, float])
    moved_s: dict[str, float] = msgspec.field(default_factory=dict[str, float])
    idle_since_s: dict[str, float] = msgspec.field(default_factory=dict[str, float])
    warned_s: dict[str, float] = msgspec.field(default_factory=dict[str, float])
    empty_since_s: dict[str, float] = msgspec.field(default_factory=dict[str, float])
    short_since_s: float | None = None
    wake_s: float | None = None
    rounds: Rounds | None = None
    migrations: int = 0
