"""An engine without machines: processes are intervals on a passed-in clock, and faults happen when asked for.

It is the outside world, so it outlives any controller that a test kills. Deterministic: the same calls at the same
instants give the same observations.
"""

import math
from collections.abc import Callable, Sequence
from heapq import heappop, heappush

import msgspec

from suanli.domain.errors import Unavailable
from suanli.domain.fleet import Node
from suanli.domain.observation import AttemptView, Launch, NodeSample, NodeView, Observation, Phase
from suanli.domain.workload import EndCause, Kind
from suanli.ports.clock import Clock
from suanli.ports.fake_attempt import FakeAttempt

LOG_CHUNK_BYTES = 64 * 1024


class Lifetime(msgspec.Struct, frozen=True):
    """From the first process of an attempt until the last is dead; `to_s` is infinite while one lives."""

    key: str
    number: int
    from_s: float
    to_s: float


class FakeEngine:
    """`Engine` on `clock`. An attempt takes `start_s` to come up (one number, or for first and for later attempts),
    runs, and ends by itself after its work is done.

    `work` is how much there is to do, in the workload's own units (seconds where it declares no speeds); where it says
    nothing: the declared duration, 60 s, or for a service no end. Work saved by a checkpoint is not done again by the
    next attempt: every `checkpoint_every_s` (default: the workload's own), and on SIGTERM for training and whatever
    else checkpoints, unless the `wind_down_s` that it takes exceeds the grace. Services are ready `ready_s` after
    they came up. A progress step is a unit of work. Whoever moves the clock himself may ask for `changes` alone.
    """

    def __init__(
        self,
        clock: Clock,
        nodes: Sequence[Node],
        *,
        work: Callable[[Launch], float | None] = lambda _: None,
        start_s: float | tuple[float, float] = 1.0,
        ready_s: float = 1.0,
        wind_down_s: float = 0.5,
        checkpoint_every_s: float | None = None,
        fence_s: float = 5.0,
    ) -> None:
        self.down = False  # while true every verb raises Unavailable
        self.logs: dict[tuple[str, int, int], bytes] = {}
        self.fenced: list[tuple[str, int]] = []  # attempts killed because a later one was started beside them
        self._clock = clock
        self._work = work
        self._start_s = (start_s, start_s) if isinstance(start_s, float | int) else start_s
        self._ready_s = ready_s
        self._wind_down_s = wind_down_s
        self._checkpoint_every_s = checkpoint_every_s
        self._fence_s = fence_s
        self._incarnation = 1
        self._nodes: dict[str, Node] = {node.name: node for node in nodes}
        self._arrives_s: dict[str, float] = {}
        self._lost_nodes: set[str] = set()
        self._node_views: tuple[NodeView, ...] | None = None
        self._cpu_load: dict[str, float] = {}
        self._cpu_use: dict[str, float] = {}
        self._live: dict[str, FakeAttempt] = {}
        self._due: list[tuple[float, str, int]] = []  # a heap of instants at which an attempt begins or ends
        self._changed: dict[tuple[str, int], None] = {}
        self._ended: dict[tuple[str, int], AttemptView] = {}
        self._highest: dict[str, int] = {}
        self._saved: dict[str, float] = {}
        self._history: list[Lifetime] = []

    # -- the port --------------------------------------------------------------------------------------------------

    def observe(self) -> Observation:
        now_s = self._reach()
        return Observation(
            incarnation=f"fake-{self._incarnation}",
            nodes=self._views_of_nodes(now_s),
            attempts=(
                *self._ended.values(),
                *(self._view(attempt, now_s) for attempt in self._live.values()),
            ),
            samples=tuple(
                self._sample(name, now_s) for name in self._cpu_load if self._is_alive(name, now_s)
            ),
        )

    def start(self, launch: Launch) -> None:
        now_s = self._reach()
        key, number = launch.key, launch.number
        if number <= self._highest.get(key, 0):
            return
        self._highest[key] = number
        if key in self._live:
            self.fenced.append((key, self._live[key].launch.number))
            self._end_now(key, now_s, EndCause.FAILED, None, f"attempt {number} was started")
        missing = [place.node for place in launch.placements if not self._is_alive(place.node, now_s)]
        if missing:
            self._ended[key, number] = AttemptView(
                key=key,
                number=number,
                phase=Phase.ENDED,
                cause=EndCause.NODE_LOST,
                detail=f"no living node {missing[0]}",
            )
            return
        attempt = self._live[key] = FakeAttempt(
            launch,
            begins_s=now_s + self._start_s[number > 1],
            work=self._work_of(launch),
            saved=self._saved.get(key, 0.0),
            speed=launch.workload.speed_on(launch.placements[0].share.accelerator, len(launch.placements)),
            every_s=self._checkpoint_every_s or launch.workload.checkpoint_every_s,
            ready_s=self._ready_s,
        )
        heappush(self._due, (attempt.begins_s, key, number))
        heappush(self._due, (attempt.ends_s, key, number))

    def stop(self, key: str, number: int, cause: EndCause, grace_s: float) -> None:
        now_s = self._reach()
        attempt = self._live.get(key)
        if (
            attempt is None
            or attempt.launch.number != number
            or attempt.stopped_s is not None
            or attempt.lost_s is not None
        ):
            return
        attempt.stopped_s, attempt.cause, attempt.exit_code = now_s, cause, None
        if now_s < attempt.begins_s:
            attempt.ends_s = now_s
        else:
            attempt.winds_down = self._wind_down_s <= grace_s
            attempt.ends_s = now_s + min(self._wind_down_s, grace_s)
        heappush(self._due, (attempt.ends_s, key, number))
        self._settle(now_s)

    def forget(self, key: str, number: int) -> None:
        self._reach()
        self._ended.pop((key, number), None)

    def read_log(self, key: str, number: int, rank: int, offset: int) -> bytes:
        if self.down:
            raise _unreachable()
        return self.logs.get((key, number, rank), b"")[offset : offset + LOG_CHUNK_BYTES]  # from any thread

    def close(self) -> None:
        """Nothing is held on behalf of a controller."""

    # -- what happens to it ----------------------------------------------------------------------------------------

    def lose_node(self, name: str) -> None:
        """The node is cut off: its attempts are lost now and surely dead `fence_s` later."""
        now_s = self._settle(self._clock.now_s())
        self._lost_nodes.add(name)
        self._node_views = None
        for attempt in self._live.values():
            if attempt.lost_s is None and any(place.node == name for place in attempt.launch.placements):
                attempt.lost_s, attempt.ends_s = now_s, now_s + self._fence_s
                heappush(self._due, (attempt.ends_s, attempt.launch.key, attempt.launch.number))
                if attempt.stopped_s is None:
                    attempt.cause, attempt.exit_code, attempt.detail = (
                        EndCause.NODE_LOST,
                        None,
                        f"node {name} was lost",
                    )

    def return_node(self, name: str) -> None:
        """The node is back, empty."""
        self._lost_nodes.discard(name)
        self._node_views = None

    def fail_attempt(self, key: str, exit_code: int, cause: EndCause = EndCause.FAILED) -> None:
        """The live attempt of `key` ends now by itself."""
        now_s = self._settle(self._clock.now_s())
        if key in self._live:
            self._end_now(key, now_s, cause, exit_code, f"exit code {exit_code}")

    def restart(self) -> None:
        """The engine itself dies and comes back: every process is dead and nothing is remembered."""
        now_s = self._settle(self._clock.now_s())
        for key in list(self._live):
            self._end_now(key, now_s, EndCause.NODE_LOST, None, "the engine was restarted")
        self._ended.clear()
        self._highest.clear()
        self._incarnation += 1

    def set_load(self, node: str, cpu_fraction: float) -> None:
        """From now on `observe` carries a sample of that node; nodes never set have none."""
        self._cpu_load[node] = cpu_fraction

    def set_use(self, key: str, cpus: float) -> None:
        """CPU cores each worker of `key` shows as used, instead of its whole share."""
        self._cpu_use[key] = cpus

    def take_over(self, launch: Launch) -> None:
        """An attempt that has been running elsewhere goes on here, without coming up again."""
        coming_up, self._start_s = self._start_s, (0.0, 0.0)
        self.start(launch)
        self._start_s = coming_up

    def next_change_s(self) -> float:
        """Nothing begins or ends by itself before that instant."""
        while self._due and self._is_outdated(*self._due[0]):
            heappop(self._due)
        return self._due[0][0] if self._due else math.inf

    def changes(self) -> tuple[AttemptView, ...]:
        """Attempts that have begun or ended since this was last asked, as they are now. O(changes)."""
        now_s = self._settle(self._clock.now_s())
        changed, self._changed = self._changed, {}
        return tuple(
            self._ended[name] if name in self._ended else self._view(self._live[name[0]], now_s)
            for name in changed
            if name in self._ended or name[0] in self._live
        )

    @property
    def history(self) -> list[Lifetime]:
        """Lifetimes of all attempts that ever had a process, the ended first."""
        now_s = self._settle(self._clock.now_s())
        live = [
            Lifetime(attempt.launch.key, attempt.launch.number, attempt.begins_s, math.inf)
            for attempt in self._live.values()
            if attempt.begins_s <= now_s
        ]
        return [*self._history, *live]

    def add_node(self, node: Node, arrives_s: float) -> None:
        """The node is there from that instant on."""
        self._nodes[node.name] = node
        self._arrives_s[node.name] = arrives_s
        self._node_views = None

    def remove_node(self, name: str) -> None:
        """The node goes, and what ran on it."""
        self.lose_node(name)
        self._lost_nodes.discard(name)
        self._nodes.pop(name, None)
        self._arrives_s.pop(name, None)

    # -- how it works ----------------------------------------------------------------------------------------------

    def _reach(self) -> float:
        if self.down:
            raise _unreachable()
        return self._settle(self._clock.now_s())

    def _is_outdated(self, at_s: float, key: str, number: int) -> bool:
        """Since then it was decided that the attempt ends earlier or later."""
        attempt = self._live.get(key)
        return (
            attempt is None
            or attempt.launch.number != number
            or at_s not in (attempt.begins_s, attempt.ends_s)
        )

    def _settle(self, now_s: float) -> float:
        """Move what has ended by now out of the living. O(log live) for each beginning and end."""
        while self._due and self._due[0][0] <= now_s:
            _, key, number = heappop(self._due)
            attempt = self._live.get(key)
            if attempt is None or attempt.launch.number != number:
                continue
            self._changed[key, number] = None
            if attempt.ends_s > now_s:
                continue
            del self._live[key]
            if attempt.begins_s < attempt.ends_s:
                self._history.append(Lifetime(key, number, attempt.begins_s, attempt.ends_s))
            self._saved[key] = attempt.checkpoint(attempt.ends_s)[0]
            self._ended[key, number] = self._view(attempt, attempt.ends_s)
        return now_s

    def _end_now(self, key: str, now_s: float, cause: EndCause, exit_code: int | None, detail: str) -> None:
        attempt = self._live[key]
        attempt.ends_s = now_s
        heappush(self._due, (now_s, key, attempt.launch.number))
        if attempt.stopped_s is None:
            attempt.stopped_s, attempt.cause, attempt.exit_code, attempt.detail = (
                now_s,
                cause,
                exit_code,
                detail,
            )
        self._settle(now_s)

    def _work_of(self, launch: Launch) -> float:
        work = self._work(launch)
        if work is not None:
            return work
        if launch.workload.kind is Kind.SERVE:
            return math.inf
        return launch.workload.duration_s or 60.0

    def _view(self, attempt: FakeAttempt, now_s: float) -> AttemptView:
        return attempt.view(now_s, self._cpu_use.get(attempt.launch.key))

    def _is_alive(self, name: str, now_s: float) -> bool:
        return (
            name in self._nodes and name not in self._lost_nodes and self._arrives_s.get(name, 0.0) <= now_s
        )

    def _views_of_nodes(self, now_s: float) -> tuple[NodeView, ...]:
        arrived = [name for name, at_s in self._arrives_s.items() if at_s <= now_s]
        if arrived or self._node_views is None:
            for name in arrived:
                del self._arrives_s[name]
            self._node_views = tuple(
                NodeView(name=name, seen=node, alive=name not in self._lost_nodes, address="127.0.0.1")
                for name, node in self._nodes.items()
                if name not in self._arrives_s
            )
        return self._node_views

    def _sample(self, name: str, now_s: float) -> NodeSample:
        return NodeSample(
            node=name,
            at_s=now_s,
            cpu_fraction=self._cpu_load[name],
            memory_used_bytes=0,
            disk_used_fraction=0.0,
        )


class FakeNodes:
    """`Nodes` on a FakeEngine: what is added arrives after `arrive_s`."""

    def __init__(self, engine: FakeEngine, clock: Clock, arrive_s: float = 5.0) -> None:
        self._engine = engine
        self._clock = clock
        self._arrive_s = arrive_s
        self._names: dict[str, None] = {}

    def add(self, nodes: Sequence[Node]) -> None:
        for node in nodes:
            if node.name not in self._names:
                self._names[node.name] = None
                self._engine.add_node(node, self._clock.now_s() + self._arrive_s)

    def remove(self, name: str) -> None:
        if name in self._names:
            del self._names[name]
            self._engine.remove_node(name)

    def names(self) -> Sequence[str]:
        return tuple(self._names)


def _unreachable() -> Unavailable:
    return Unavailable("The engine cannot be reached.", remedy="Wait until it is back.")
