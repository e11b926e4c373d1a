"""`PlacementProblem`: a one-shot question of who runs where, and when, with its objective as numbers.

Gangs go onto classes of identical nodes. A gang of n takes n distinct nodes of one class for the whole of its
duration, at the same time; nodes are shared as far as their capacity goes. It runs once, without interruption, and
moves no more.

The score is what every solver minimises:

    cost_weight · cost in USD  +  time_weight · completion time in seconds  -  value_weight · value of what runs

Two of the weights also say what is allowed:

    time_weight > 0     gangs may wait for one another; completion time (makespan) is the end of the last one.
                        Otherwise all that runs begins at 0, side by side.
    value_weight > 0    gangs may be left out. Otherwise all must run.
"""

import msgspec


class NodeClass(msgspec.Struct, frozen=True, kw_only=True):
    """`count` identical nodes. `capacity` in the order of the problem's resources; `opening_usd` is paid once for
    each node on which anything runs."""

    name: str
    count: int
    capacity: tuple[float, ...]
    opening_usd: float = 0.0

    def node(self, index: int) -> str:
        return self.name if self.count == 1 else f"{self.name}-{index}"


class Option(msgspec.Struct, frozen=True, kw_only=True):
    """A class on which a gang can run: what it takes on each of its nodes, how long it takes, and what all of it
    costs and is worth there."""

    node_class: int
    demand: tuple[float, ...]
    duration_s: int
    cost_usd: float
    value: float


class Gang(msgspec.Struct, frozen=True, kw_only=True):
    """One workload on `nodes` nodes. `options` name each class at most once; none of them: it can run nowhere."""

    name: str
    nodes: int
    options: tuple[Option, ...]


class Objective(msgspec.Struct, frozen=True, kw_only=True):
    """Weights, none negative and not all 0; what they mean is said above. `time_weight` is per second."""

    cost_weight: float = 0.0
    time_weight: float = 0.0
    value_weight: float = 0.0

    @property
    def may_wait(self) -> bool:
        return self.time_weight > 0

    @property
    def may_leave_out(self) -> bool:
        return self.value_weight > 0

    @property
    def only_time(self) -> bool:
        return self.cost_weight == self.value_weight == 0

    @property
    def maximises(self) -> bool:
        """Whether only value counts; then people read the objective as a value and want much of it."""
        return self.cost_weight == self.time_weight == 0

    def score(self, cost_usd: float, completion_s: float, value: float) -> float:
        return self.cost_weight * cost_usd + self.time_weight * completion_s - self.value_weight * value

    def shown(self, score: float) -> float:
        """The score, or a bound on it, as people read it."""
        return -score if self.maximises else score


MIN_COST = Objective(cost_weight=1.0)
MIN_COMPLETION_TIME = Objective(time_weight=1.0)
MAX_UTILISATION = Objective(value_weight=1.0)


class PlacementProblem(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    resources: tuple[str, ...]
    classes: tuple[NodeClass, ...]
    gangs: tuple[Gang, ...]
    objective: Objective
