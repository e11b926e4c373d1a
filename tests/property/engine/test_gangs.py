"""Whatever dies, hangs, is cut off or is restarted: no two attempts of a key are ever alive together.

A model of supervisors and shims around the real `Gangs`, on a clock of its own. Messages take time, nodes are cut off,
supervisors die, the hub dies and comes back with what its journal holds, and controllers start numbers carelessly.
"""

from random import Random

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from suanli.domain.observation import Launch, Phase
from suanli.domain.record import Placement
from suanli.domain.resources import Share
from suanli.domain.workload import EndCause, Kind, Workload
from suanli.engine.gangs import Durable, Gangs
from suanli.engine.messages import End, Order, Report, State, Timing

TIMING = Timing()
STEP_S = 0.1
TROUBLE_S = 30.0
SETTLED_S = 75.0
NODES = ("a", "b", "c")
KEYS = ("x", "y")


class ModelWorker:
    """A supervisor with its shim and process."""

    def __init__(self, launch: Launch, rank: int, node: str) -> None:
        self.launch, self.rank, self.node = launch, rank, node
        self.supervised = True
        self.alive = False
        self.lease_s = 0.0
        self.end: End | None = None
        self.kill_at_s: float | None = None
        self.next_beat_s = 0.0

    def report(self) -> Report:
        state = State.ENDED if self.end else State.RUNNING if self.alive else State.WAITING
        return Report(
            key=self.launch.key,
            number=self.launch.number,
            rank=self.rank,
            state=state,
            host="h",
            port=1,
            end=self.end,
        )

    def obey(self, order: Order, asked_s: float, now_s: float, random: Random) -> None:
        if self.end is not None or not self.supervised:
            return
        if not self.alive:
            if order.kill or order.stop_grace_s is not None:
                self.end = End(EndCause.STOPPED)
            elif order.go is not None and asked_s + TIMING.fence_s > now_s:
                self.alive, self.lease_s = True, asked_s + TIMING.fence_s
        elif order.kill:
            self.die_soon(now_s, random)
        else:
            self.lease_s = max(self.lease_s, asked_s + TIMING.fence_s)
            if order.stop_grace_s is not None:
                self.die_soon(now_s + random.uniform(0, order.stop_grace_s), random)

    def die_soon(self, now_s: float, random: Random) -> None:
        at_s = now_s + random.uniform(0, TIMING.kill_s * 0.9)
        self.kill_at_s = at_s if self.kill_at_s is None else min(self.kill_at_s, at_s)

    def pass_time(self, now_s: float, random: Random) -> None:
        if self.alive and now_s >= self.lease_s:
            self.die_soon(now_s, random)
        if self.alive and self.kill_at_s is not None and now_s >= self.kill_at_s:
            self.alive = False
            self.end = End(EndCause.FAILED, 137)


class Model:
    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.now_s = 0.0
        self.gangs = Gangs()
        self.journal: dict[str, bytes] = {}
        self.hub_back_s = 0.0
        self.workers: list[ModelWorker] = []
        self.cut: dict[str, float] = {}
        self.noticed: set[str] = set()
        self.messages: list[tuple[float, str, ModelWorker, object, float]] = []
        self.numbers: dict[str, int] = dict.fromkeys(KEYS, 0)

    @property
    def hub_up(self) -> bool:
        return self.now_s >= self.hub_back_s

    @property
    def living(self) -> set[str]:
        return {node for node in NODES if node not in self.noticed}

    def save(self, key: str) -> None:
        highest, attempts = self.gangs.of_key(key)
        self.journal[key] = msgspec.json.encode((highest, attempts))

    def run(self) -> None:
        while self.now_s < SETTLED_S:
            self.now_s += STEP_S
            if self.now_s < TROUBLE_S:
                self.trouble()
            self.notice()
            self.deliver()
            for worker in self.workers:
                self.live(worker)
            if self.hub_up:
                for gang in self.gangs.tick(self.now_s, self.living):
                    self.save(gang.launch.key)
            self.check()

    def trouble(self) -> None:
        happens = self.random.random
        if self.hub_up and happens() < 0.05:
            self.start(self.random.choice(KEYS))
        if self.hub_up and happens() < 0.02:
            key = self.random.choice(KEYS)
            self.gangs.stop(key, self.numbers[key], EndCause.PREEMPTED, self.random.choice((0.0, 2.0, 20.0)))
            self.save(key)
        if self.hub_up and happens() < 0.02:
            for gang in self.gangs:
                if self.gangs.forget(gang.launch.key, gang.launch.number):
                    self.save(gang.launch.key)
        if happens() < 0.01:
            self.cut[self.random.choice(NODES)] = self.now_s + self.random.uniform(0.5, 15)
        if self.hub_up and happens() < 0.01:
            self.restart_hub()
        if self.workers and happens() < 0.01:
            self.kill_supervisor(self.random.choice(self.workers))

    def notice(self) -> None:
        """Ray declares a node dead some time after it was cut off, or never if that was short."""
        for node, until_s in self.cut.items():
            if until_s <= self.now_s:
                self.noticed.discard(node)
            elif self.random.random() < 0.05:
                self.noticed.add(node)

    def start(self, key: str) -> None:
        self.numbers[key] += self.random.choice((0, 1, 1))
        nodes = self.random.sample(sorted(NODES), self.random.choice((1, 2)))
        launch = Launch(
            key=key,
            number=max(1, self.numbers[key]),
            workload=Workload(name=key, kind=Kind.JOB, run=("x",), nodes=len(nodes)),
            placements=tuple(Placement(node, Share()) for node in nodes),
            output_dir="",
            log_dir="",
        )
        gang = self.gangs.launch(launch, TIMING, self.now_s)
        if gang is None:
            return
        self.save(key)
        if self.random.random() < 0.9 and set(nodes) <= self.living:
            gang.node_ids = tuple(nodes)
            self.save(key)
            self.workers += [ModelWorker(launch, rank, node) for rank, node in enumerate(nodes)]

    def restart_hub(self) -> None:
        self.hub_back_s = self.now_s + self.random.uniform(0.5, 4.0)
        self.gangs = Gangs()
        kept = {
            key: msgspec.json.decode(body, type=tuple[int, list[Durable]])
            for key, body in self.journal.items()
        }
        durables = [durable for _, attempts in kept.values() for durable in attempts]
        self.gangs.restore(durables, {key: highest for key, (highest, _) in kept.items()}, self.hub_back_s)

    def kill_supervisor(self, worker: ModelWorker) -> None:
        if not worker.supervised:
            return
        worker.supervised = False
        worker.die_soon(self.now_s, self.random)
        self.messages.append((self.now_s + self.random.uniform(0, 0.5), "died", worker, None, 0.0))

    def deliver(self) -> None:
        due = [message for message in self.messages if message[0] <= self.now_s]
        self.messages = [message for message in self.messages if message[0] > self.now_s]
        for _, kind, worker, body, asked_s in due:
            if kind == "order":
                assert isinstance(body, Order)
                worker.obey(body, asked_s, self.now_s, self.random)
            elif not self.hub_up:
                if kind == "died":  # the hub learns of it when it is back
                    self.messages.append((self.hub_back_s, "died", worker, None, 0.0))
            elif kind == "died":
                launch = worker.launch
                self.gangs.supervisor_died(launch.key, launch.number, worker.rank, "killed", self.now_s)
            else:
                assert isinstance(body, Report)
                order = self.gangs.hear(body, self.now_s)
                self.send("order", worker, order, asked_s)

    def send(self, kind: str, worker: ModelWorker, body: object, asked_s: float) -> None:
        if self.cut.get(worker.node, 0.0) <= self.now_s:
            delay_s = self.random.choice((0.0, 0.05, 0.5, 3.0, 7.0)) if self.now_s < TROUBLE_S else 0.05
            self.messages.append((self.now_s + delay_s, kind, worker, body, asked_s))

    def live(self, worker: ModelWorker) -> None:
        worker.pass_time(self.now_s, self.random)
        if worker.supervised and self.now_s >= worker.next_beat_s:
            worker.next_beat_s = self.now_s + TIMING.beat_s
            self.send("report", worker, worker.report(), self.now_s)

    def check(self) -> None:
        alive = {(w.launch.key, w.launch.number) for w in self.workers if w.alive}
        keys = [key for key, _ in alive]
        assert len(keys) == len(set(keys)), f"two attempts are alive at {self.now_s:.1f} s: {alive}"
        for gang in self.gangs:
            if gang.ended:
                name = (gang.launch.key, gang.launch.number)
                assert name not in alive, f"{name} is said to have ended at {self.now_s:.1f} s and has not"


@given(st.integers(0, 2**32))
def test_no_two_attempts_are_alive_together_and_in_the_end_each_runs_or_has_ended(seed: int) -> None:
    model = Model(seed)
    model.run()
    phases = {view.phase for view in model.gangs.views(model.now_s, model.now_s, model.living)}
    assert phases <= {Phase.RUNNING, Phase.ENDED}
