"""An engine without machines: processes are intervals on a passed-in clock, and faults happen when asked for.

It is the outside world, so it outlives any controller that a test kills. Deterministic: the same calls at the same
instants give the same observations.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import msgspec

from suanli.domain.errors import Unavailable
from suanli.domain.fleet import Node
from suanli.domain.observation import (
    AttemptView,
    Launch,
    NodeSample,
    NodeView,
    Observation,
    Phase,
    Progress,
    WorkerView,
)
from suanli.domain.workload import EndCause, Kind
from suanli.ports.clock import Clock

LOG_CHUNK_BYTES = 64 * 1024


class Lifetime(msgspec.Struct, frozen=True):
    """From the first process of an attempt until the last is dead; `to_s` is infinite while one lives."""

    key: str
    number: int
    from_s: float
    to_s: float


class FakeEngine:
    """`Engine` on `clock`. An attempt takes `start_s` to come up, runs, and ends by itself after its work is done.

    `run_s` is the seconds of work of a workload, by key or as a function of the launch; where it says nothing: the
    declared duration, 60 s, or for a service no end. Work saved by a checkpoint is not done again by the next
    attempt: every `checkpoint_every_s` (default: the workload's own), and on SIGTERM for training and whatever
    else checkpoints, unless the `wind_down_s` that it takes exceeds the grace. Services are ready `ready_s` after
    they came up. A progress step is a second of work.
    """

    def __init__(
        self,
        clock: Clock,
        nodes: Sequence[Node],
        *,
        run_s: Mapping[str, float] | Callable[[Launch], float] | None = None,
        start_s: float = 1.0,
        ready_s: float = 1.0,
        wind_down_s: float = 0.5,
        checkpoint_every_s: float | None = None,
        fence_s: float = 5.0,
    ) -> None:
        self.down = False  # while true every verb raises Unavailable
        self.logs: dict[tuple[str, int, int], bytes] = {}
        self.fenced: list[tuple[str, int]] = []  # attempts killed because a later one was started beside them
        self._clock = clock
        self._run_s = run_s
        self._start_s = start_s
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
        self._live: dict[str, _Run] = {}
        self._due_s = math.inf  # nothing ends before this instant
        self._ended: dict[tuple[str, int], AttemptView] = {}
        self._highest: dict[str, int] = {}
        self._saved_s: dict[str, float] = {}
        self._history: list[Lifetime] = []

    # -- the port --------------------------------------------------------------------------------------------------

    def observe(self) -> Observation:
        now_s = self._reach()
        return Observation(
            incarnation=f"fake-{self._incarnation}",
            nodes=self._views_of_nodes(now_s),
            attempts=(*self._ended.values(), *(self._view(run, now_s) for run in self._live.values())),
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
        begins_s = now_s + self._start_s
        left_s = max(0.0, self._work_s(launch) - self._saved_s.get(key, 0.0))
        self._live[key] = _Run(launch, begins_s, begins_s + left_s, self._saved_s.get(key, 0.0))
        self._due_s = min(self._due_s, begins_s + left_s)

    def stop(self, key: str, number: int, cause: EndCause, grace_s: float) -> None:
        now_s = self._reach()
        run = self._live.get(key)
        if run is None or run.launch.number != number or run.stopped_s is not None or run.lost_s is not None:
            return
        run.stopped_s, run.cause, run.exit_code = now_s, cause, None
        if now_s < run.begins_s:
            run.ends_s = now_s
        else:
            run.winds_down = self._wind_down_s <= grace_s
            run.ends_s = now_s + min(self._wind_down_s, grace_s)
        self._due_s = min(self._due_s, run.ends_s)
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
        for run in self._live.values():
            if run.lost_s is None and any(place.node == name for place in run.launch.placements):
                run.lost_s, run.ends_s = now_s, now_s + self._fence_s
                self._due_s = min(self._due_s, run.ends_s)
                if run.stopped_s is None:
                    run.cause, run.exit_code, run.detail = EndCause.NODE_LOST, None, f"node {name} was lost"

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

    @property
    def history(self) -> list[Lifetime]:
        """Lifetimes of all attempts that ever had a process, the ended first."""
        now_s = self._settle(self._clock.now_s())
        live = [
            Lifetime(run.launch.key, run.launch.number, run.begins_s, math.inf)
            for run in self._live.values()
            if run.begins_s <= now_s
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

    def _settle(self, now_s: float) -> float:
        """Move what has ended by now out of the living. O(1) where nothing has."""
        if now_s < self._due_s:
            return now_s
        due = [key for key, run in self._live.items() if run.ends_s <= now_s]
        for key in due:
            run = self._live.pop(key)
            if run.begins_s < run.ends_s:
                self._history.append(Lifetime(key, run.launch.number, run.begins_s, run.ends_s))
            self._saved_s[key] = self._checkpoint(run, run.ends_s)[0]
            self._ended[key, run.launch.number] = self._view(run, run.ends_s)
        self._due_s = min((run.ends_s for run in self._live.values()), default=math.inf)
        return now_s

    def _end_now(self, key: str, now_s: float, cause: EndCause, exit_code: int | None, detail: str) -> None:
        run = self._live[key]
        run.ends_s = self._due_s = now_s
        if run.stopped_s is None:
            run.stopped_s, run.cause, run.exit_code, run.detail = now_s, cause, exit_code, detail
        self._settle(now_s)

    def _work_s(self, launch: Launch) -> float:
        if callable(self._run_s):
            return self._run_s(launch)
        if self._run_s is not None and launch.key in self._run_s:
            return self._run_s[launch.key]
        if launch.workload.kind is Kind.SERVE:
            return math.inf
        return launch.workload.duration_s or 60.0

    def _done_s(self, run: "_Run", now_s: float) -> float:
        """Work done so far, that of earlier attempts as far as it was saved included."""
        until_s = min(x for x in (now_s, run.ends_s, run.stopped_s, run.lost_s) if x is not None)
        return run.saved_s + max(0.0, until_s - run.begins_s)

    def _checkpoint(self, run: "_Run", now_s: float) -> tuple[float, float | None]:
        """(work that is safe, when this attempt last saved, None if it never did)."""
        workload = run.launch.workload
        every_s = self._checkpoint_every_s or workload.checkpoint_every_s
        done_s = self._done_s(run, now_s)
        if run.winds_down and now_s >= run.ends_s and (every_s or workload.kind is Kind.TRAIN):
            return done_s, run.ends_s
        times = int((done_s - run.saved_s) // every_s) if every_s else 0
        if every_s is None or times == 0:
            return run.saved_s, None
        return run.saved_s + times * every_s, run.begins_s + times * every_s

    def _view(self, run: "_Run", now_s: float) -> AttemptView:
        launch, phase = run.launch, run.phase(now_s, self._ready_s)
        ended = phase is Phase.ENDED
        return AttemptView(
            key=launch.key,
            number=launch.number,
            phase=phase,
            workers=self._workers(run, now_s, alive=not ended and now_s >= run.begins_s),
            cause=run.cause if ended else None,
            exit_code=run.exit_code if ended else None,
            detail=run.detail if ended else "",
            port=_port(launch),
            progress=None if now_s < run.begins_s else self._progress(run, now_s),
        )

    def _workers(self, run: "_Run", now_s: float, *, alive: bool) -> tuple[WorkerView, ...]:
        launch, per_node = run.launch, run.launch.workload.workers_per_node
        heartbeat_s = now_s if run.lost_s is None else run.lost_s
        return tuple(
            WorkerView(
                rank=index * per_node + local,
                node=place.node,
                alive=alive,
                exit_code=run.exit_code if run.phase(now_s, 0.0) is Phase.ENDED else None,
                heartbeat_s=heartbeat_s,
                cpu_fraction=self._cpu_use.get(launch.key, place.share.cpus / per_node) if alive else 0.0,
                rss_bytes=place.share.memory_bytes // per_node if alive else 0,
            )
            for index, place in enumerate(launch.placements)
            for local in range(per_node)
        )

    def _progress(self, run: "_Run", now_s: float) -> Progress | None:
        if run.launch.workload.kind is Kind.SERVE:
            return None
        total_s = run.saved_s + run.finishes_s - run.begins_s
        checkpoint_s, at_s = self._checkpoint(run, now_s)
        return Progress(
            step=int(self._done_s(run, now_s)),
            total=int(total_s) if math.isfinite(total_s) else None,
            checkpoint_step=None if at_s is None else int(checkpoint_s),
            checkpoint_s=at_s,
            at_s=now_s,
        )

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


class _Run:
    """A live attempt: the instants that are certain so far, and what it will have ended with at `ends_s`."""

    __slots__ = (
        "begins_s",
        "cause",
        "detail",
        "ends_s",
        "exit_code",
        "finishes_s",
        "launch",
        "lost_s",
        "saved_s",
        "stopped_s",
        "winds_down",
    )

    def __init__(self, launch: Launch, begins_s: float, finishes_s: float, saved_s: float) -> None:
        self.launch = launch
        self.begins_s = begins_s
        self.finishes_s = finishes_s
        self.saved_s = saved_s
        self.ends_s = finishes_s
        self.cause = EndCause.SUCCEEDED
        self.exit_code: int | None = 0
        self.detail = ""
        self.stopped_s: float | None = None
        self.lost_s: float | None = None
        self.winds_down = False

    def phase(self, now_s: float, ready_s: float) -> Phase:
        if now_s >= self.ends_s:
            return Phase.ENDED
        if self.lost_s is not None:
            return Phase.LOST
        if self.stopped_s is not None:
            return Phase.STOPPING
        if now_s < self.begins_s:
            return Phase.CREATING
        is_service = self.launch.workload.kind is Kind.SERVE
        return Phase.READY if is_service and now_s >= self.begins_s + ready_s else Phase.RUNNING


def _unreachable() -> Unavailable:
    return Unavailable("The engine cannot be reached.", remedy="Wait until it is back.")


def _port(launch: Launch) -> int | None:
    if launch.workload.service is None:
        return None
    return launch.workload.service.port or 20_000
