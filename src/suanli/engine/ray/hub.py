"""The one place that all supervisors report to: a detached actor on the head node, restarted by Ray when it dies.

What it decides is decided in `gangs`. Here are the effects: placement groups and supervisors, and the journal, where
what must survive a restart is kept before it is acted upon.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import ray
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayError

from suanli.domain.fleet import Node
from suanli.domain.observation import Launch, NodeSample, NodeView, Observation
from suanli.domain.workload import EndCause
from suanli.engine import worker_log
from suanli.engine.gangs import Gang, Gangs
from suanli.engine.messages import Report
from suanli.engine.ray import agent, cluster_nodes, groups, journal
from suanli.engine.ray.names import HEAD_RESOURCE, HUB, NAMESPACE
from suanli.engine.ray.requests import AttemptName, LogPlace, LogRequest, Measured, Settings, StopRequest

TICK_S = 0.1
NODES_EVERY_S = 0.4
SWEEP_EVERY_S = 3.0
SAMPLE_STALE_S = 15.0
AGENTS_AT_ONCE = 10  # some milliseconds each, in which no heartbeat is answered

log = logging.getLogger("suanli.hub")


def attach() -> Any:
    """The cluster's hub, made where there is none. It belongs to the Ray job of whoever makes it."""
    return (
        ray.remote(Hub)
        .options(
            name=HUB,
            namespace=NAMESPACE,
            get_if_exists=True,
            lifetime="detached",
            max_restarts=-1,
            num_cpus=0,
            resources={HEAD_RESOURCE: 0.001},
        )
        .remote()
    )


class Hub:
    """An asynchronous actor: one thread, so that each method runs undisturbed up to its next `await`.

    What is asked of the cluster again and again is asked on other threads, for a slow answer must not cost heartbeats.
    """

    async def __init__(self) -> None:  # pyright: ignore[reportGeneralTypeIssues]
        self._settings = journal.settings()
        self._gangs = Gangs()
        self._rows: list[dict[str, Any]] = []
        self._living: frozenset[str] = frozenset()
        self._views: tuple[NodeView, ...] = ()
        self._seen: dict[str, Node] = {}
        self._samples: dict[str, NodeSample] = {}
        self._agents: dict[str, float] = {}
        self._leaked: set[tuple[str, int]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._incarnation = journal.incarnation()
        await self._refresh_nodes()
        journal.restore(self._gangs, time.monotonic())
        for gang in self._gangs:
            if not gang.ended:
                self._spawn(self._resume(gang) if gang.node_ids else self._create(gang))
        for every_s, turn in (
            (TICK_S, self._pass_time),
            (NODES_EVERY_S, self._refresh_nodes),
            (SWEEP_EVERY_S, self._sweep),
        ):
            self._spawn(_repeat(every_s, turn))

    async def configure(self, body: bytes) -> None:
        """Of the controller that has just come: what was launched before keeps its own timing."""
        self._settings = msgspec.json.decode(body, type=Settings)
        journal.save_settings(self._settings)

    async def observe(self) -> bytes:
        now_s = time.monotonic()
        return msgspec.json.encode(
            Observation(
                incarnation=self._incarnation,
                nodes=self._views,
                attempts=self._gangs.views(now_s, time.time(), self._living),
                samples=tuple(sample for id_, sample in self._samples.items() if id_ in self._living),
            )
        )

    async def start(self, body: bytes) -> None:
        launch = msgspec.json.decode(body, type=Launch)
        gang = self._gangs.launch(launch, self._settings.timing, time.monotonic())
        if gang is not None:
            journal.save(self._gangs, gang.launch.key)
            self._spawn(self._create(gang))

    async def stop(self, body: bytes) -> None:
        request = msgspec.json.decode(body, type=StopRequest)
        if self._gangs.stop(request.key, request.number, request.cause, request.grace_s):
            journal.save(self._gangs, request.key)

    async def forget(self, body: bytes) -> None:
        name = msgspec.json.decode(body, type=AttemptName)
        if self._gangs.forget(name.key, name.number):
            journal.save(self._gangs, name.key)

    async def log_place(self, body: bytes) -> bytes:
        """Where that worker's log lies; null where it has none."""
        request = msgspec.json.decode(body, type=LogRequest)
        gang = self._gangs.get(request.key, request.number)
        if gang is None or not 0 <= request.rank < len(gang.members) or not gang.node_ids:
            return b"null"
        path = worker_log.path_of(gang.launch.log_dir, request.number, request.rank)
        id_ = gang.node_id(request.rank)
        host = next((row["NodeManagerHostname"] for row in self._rows if row["NodeID"] == id_), "")
        return msgspec.json.encode(LogPlace(node_id=id_, host=host, path=str(path)))

    async def beat(self, body: bytes) -> bytes:
        """From a supervisor, several times a second."""
        report = msgspec.json.decode(body, type=Report)
        order = self._gangs.hear(report, time.monotonic())
        if report.end is not None:
            self._tick()
        return msgspec.json.encode(order)

    async def sample(self, body: bytes) -> None:
        """From an agent, every second."""
        measured = msgspec.json.decode(body, type=Measured)
        self._samples[measured.node_id] = measured.sample
        self._agents[measured.node_id] = time.monotonic()
        if self._seen.get(measured.node_id) != measured.seen:
            self._seen[measured.node_id] = measured.seen
            self._views = cluster_nodes.views(self._rows, self._seen)

    async def _pass_time(self) -> None:
        self._tick()

    def _tick(self) -> None:
        for gang in self._gangs.tick(time.monotonic(), self._living):
            journal.save(self._gangs, gang.launch.key)
            groups.remove(gang.launch.key, gang.launch.number)

    async def _refresh_nodes(self) -> None:
        self._rows = await asyncio.to_thread(ray.nodes)
        self._living = frozenset(row["NodeID"] for row in self._rows if row["Alive"])
        self._views = cluster_nodes.views(self._rows, self._seen)
        self._samples = {id_: sample for id_, sample in self._samples.items() if id_ in self._living}
        if self._settings.probe:
            self._keep_agents(time.monotonic())

    def _keep_agents(self, now_s: float) -> None:
        """One on every living node; a silent one is made again, which changes nothing if it is only slow."""
        silent = [
            row
            for row in self._rows
            if row["Alive"] and now_s - self._agents.get(row["NodeID"], -SAMPLE_STALE_S) >= SAMPLE_STALE_S
        ]
        for row in silent[:AGENTS_AT_ONCE]:
            self._agents[row["NodeID"]] = now_s
            agent.place(row["NodeID"], cluster_nodes.name_of(row), self._settings.probe)

    async def _sweep(self) -> None:
        """Whatever the cluster holds in Suanli's name that no living attempt accounts for, twice in a row.

        In between, a supervisor that is nobody's has been told to end its worker, which Ray would not do as well.
        """
        found = {
            (key, number)
            for key, number in await asyncio.to_thread(groups.all_attempts)
            if (gang := self._gangs.get(key, number)) is None or gang.ended
        }
        for key, number in found & self._leaked:
            log.warning("attempt %s of %s had leaked; removing it", number, key)
            groups.remove(key, number)
            groups.kill_supervisors(key, number)
        self._leaked = found

    async def _create(self, gang: Gang) -> None:
        """Supervisors on every node of the plan, or a reason why not."""
        launch = gang.launch
        await self._refresh_nodes()
        living = cluster_nodes.living_by_name(self._rows)
        missing = next((place.node for place in launch.placements if place.node not in living), None)
        if missing is not None:
            gang.end(EndCause.NODE_LOST, f"no living node {missing}")
            return
        rows = [living[place.node] for place in launch.placements]

        def given_up() -> bool:
            lost = next((row for row in rows if row["NodeID"] not in self._living), None)
            if lost is not None:
                gang.end(EndCause.NODE_LOST, f"node {cluster_nodes.name_of(lost)} was lost")
            return gang.verdict is not None

        try:
            supervisors = await groups.create(launch, rows, gang.timing, given_up)
        except (TimeoutError, RayError, ValueError) as error:
            gang.end(EndCause.START_FAILED, str(error))
            return
        gang.node_ids = tuple(row["NodeID"] for row in rows)
        journal.save(self._gangs, launch.key)
        if gang.ended:
            groups.remove(launch.key, launch.number)
        for rank, supervisor in enumerate(supervisors):
            self._spawn(self._attend(gang, rank, supervisor))
        groups.warm(rows)

    async def _resume(self, gang: Gang) -> None:
        """Attend again to supervisors made before this hub died."""
        for rank, supervisor in enumerate(groups.find(gang.launch)):
            self._spawn(self._attend(gang, rank, supervisor))

    async def _attend(self, gang: Gang, rank: int, supervisor: Any | None) -> None:
        """Learn at once of a supervisor's death."""
        why = "it died while the hub was away"
        while supervisor is not None:
            try:
                await supervisor.hold.remote()
            except ActorUnavailableError:
                await asyncio.sleep(TICK_S)
            except ActorDiedError as error:
                why = str(error)
                break
        await self._refresh_nodes()
        launch = gang.launch
        self._gangs.supervisor_died(launch.key, launch.number, rank, why, time.monotonic())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _repeat(every_s: float, turn: Callable[[], Coroutine[Any, Any, None]]) -> None:
    while True:
        try:
            await turn()
        except Exception:  # whatever one turn meets, the next must come
            log.exception("a turn of the hub failed")
        await asyncio.sleep(every_s)
