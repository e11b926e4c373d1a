"""What the parts of a policy look like."""

from collections.abc import Callable, Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from suanli.domain.fleet import Link
from suanli.domain.record import Record
from suanli.policies.mix import Mix
from suanli.policies.sharing.values import Allocation, Choice
from suanli.policies.table import Floats, Indices, NodeTable


class Teams(msgspec.Struct, frozen=True, eq=False):
    """Whose the n rows of a queue are: `team`, int[n], a row of `held` and `weight`, of T teams.

    float[T, 3] `held` are the parts of the fleet's cores, memory and accelerators that a team holds, float[n, 3]
    `takes` those that a workload would take; an accelerator counts by its worth to the workload.
    """

    team: NDArray[np.int64]
    takes: Floats
    held: Floats
    weight: Floats


class Queue(msgspec.Struct, frozen=True, eq=False):
    """The eligible workloads, one row each. `duration_s` and `remaining_s` are NaN where nobody knows.

    `attained_s` is what it has had: seconds times devices, or cores where it uses none; `deadline_s` an instant, inf
    where there is none. `teams`, and `services_s`, float[s], what those that have ended have had, the same way, in
    rising order, are worked out only when asked for.
    """

    priority: Floats
    waited_s: Floats
    seq: NDArray[np.int64]
    duration_s: Floats
    remaining_s: Floats
    deadline_s: Floats
    attained_s: Floats
    teams: Callable[[], Teams]
    services_s: Callable[[], Floats] = lambda: np.zeros(0)


Order = Callable[[Queue], Floats]
"""Rank of each row, float[n]: lower goes first, ties go by submission."""

Allocate = Callable[[Record], Sequence[int]]
"""Numbers of nodes to try for a workload, the most wanted first, rising or falling. The least is needed at all."""

Gang = Callable[[NodeTable, Floats, int], Indices]
"""From the ratings of all nodes (float[N], inf: no room; at least so many have some) the nodes that a gang takes."""


Version = tuple[str, int]
"""A model's name and number."""


class Ground(msgspec.Struct, frozen=True, eq=False):
    """What a placement may look at beside the table: what is expected to come, links, nodes by the versions of models
    whose files they have, and chance."""

    mix: Mix | None = None
    links: tuple[Link, ...] = ()
    models_at: Mapping[Version, frozenset[str]] = msgspec.field(default_factory=dict[Version, frozenset[str]])
    rng: np.random.Generator | None = None


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Rates nodes and devices by a `rule` of `place.rating`; the lowest are taken, ties go to the first.

    `weights` are the rule's own; `gang` is how several are chosen, where it is not just the lowest. The rest says what
    of the `Ground` is used.
    """

    summary: str
    rule: int
    weights: tuple[tuple[float, ...], ...] = ()
    gang: Gang | None = None
    at_random: bool = False
    near_data: bool = False
    knows_mix: bool = False


class InRounds(msgspec.Struct, frozen=True):
    """Accelerators are shared over time: fractions by `allocation`, carried out in rounds (`sharing.rounds`).

    The `agnostic` knows no speeds and goes through the types in an order drawn by lot; under a `strict` one nobody runs
    to whom no fraction was given, though there be room.
    """

    allocation: Allocation
    agnostic: bool = False
    strict: bool = False


class AtOnce(msgspec.Struct, frozen=True):
    """Accelerators are shared over time: whenever something happens, `choice` says who runs where."""

    choice: Choice


class Policy(msgspec.Struct, frozen=True):
    """One order, one allocation, one placement; `name` is `order+allocate+place`.

    `mix` is what is expected to come, for placements that ask; None: as what has come so far. With `share`, what can
    share accelerators over time does so, and order and `allocate` are for the rest. `reservations_max` of the first
    that find no room have theirs kept from those behind them (backfilling). To the `agnostic` all accelerators that
    will do are alike, whatever their order.
    """

    name: str
    order: Order
    allocate: Allocate
    place: Place
    mix: Mix | None = None
    random_ties: bool = False
    share: InRounds | AtOnce | None = None
    reservations_max: int = 0
    agnostic: bool = False
