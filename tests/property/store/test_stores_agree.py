"""Whatever is thrown at them, the store in memory and the one on SQLite answer alike, and both are their log."""

import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from suanli.domain import events as ev
from suanli.domain.decision import Decision, Memory
from suanli.domain.errors import IllegalTransition, SuanliError
from suanli.domain.fleet import Fleet
from suanli.domain.record import Placement, Record, Status
from suanli.domain.resources import Share
from suanli.domain.workload import EndCause, Kind, Retry, Workload
from suanli.domain.world import World
from suanli.ports.memory_store import MemoryStore
from suanli.ports.store import Commit, Idempotency, Lease, Store
from suanli.store import SqlStore

KEYS = ("a", "b", "c/0")
PLACED = (Placement("n1", Share(cpus=1.5)),)
FOLDER = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
TEMPLATE = FOLDER / "template.db"


def setup_module() -> None:
    SqlStore(f"sqlite:///{TEMPLATE}").close()


def teardown_module() -> None:
    shutil.rmtree(FOLDER)


def next_event(record: Record | None, key: str) -> st.SearchStrategy[ev.Event]:
    """What may well happen to that workload now."""
    if record is None or record.status.is_final:
        return submission(key) if record is None else submission(key) | st.just(ev.Retried(key=key))
    number = record.attempts_made
    ended = st.builds(
        ev.Ended,
        key=st.just(key),
        number=st.just(number),
        cause=st.sampled_from(EndCause),
        exit_code=st.just(1),
    )
    stop = st.just(ev.StopBegun(key=key, number=number, cause=EndCause.PREEMPTED, stopped_for="a"))
    match record.status:
        case Status.HELD:
            return st.sampled_from([ev.Released(key=key), ev.StopRequested(key=key)])
        case Status.WAITING:
            return st.sampled_from(
                [ev.Placed(key=key, number=number + 1, placements=PLACED), ev.Held(key=key)]
            )
        case Status.STARTING:
            return st.just(ev.Started(key=key, number=number)) | stop | ended
        case Status.RUNNING:
            saved = [ev.Ready(key=key, number=number), ev.Checkpointed(key=key, number=number, step=7)]
            return st.sampled_from([*saved, ev.StopRequested(key=key)]) | stop | ended
        case _:
            return ended


def any_event(key: str) -> st.SearchStrategy[ev.Event]:
    """Of a fleet, or of a workload in no state to take it."""
    return st.sampled_from(
        [
            ev.NodeCordoned(node=key),
            ev.NodeCordoned(node=key, drain=True),
            ev.NodeUncordoned(node=key),
            ev.PolicyChosen(policy=key),
            ev.FleetDeclared(fleet=Fleet(name=key, nodes=())),
            ev.Placed(key=key, number=1, placements=PLACED),
            ev.Ended(key=key, number=1, cause=EndCause.FAILED),
            ev.Retried(key=key),
        ]
    )


def submission(key: str) -> st.SearchStrategy[ev.Event]:
    def submitted(held: bool, retries: int) -> ev.Submitted:
        workload = Workload(name=key, kind=Kind.JOB, run=("x",), held=held, retry=Retry(limit=retries))
        return ev.Submitted(key=key, workload=workload)

    return st.builds(submitted, st.booleans(), st.integers(0, 2))


class TwoStores(RuleBasedStateMachine):
    number = 0

    def __init__(self) -> None:
        super().__init__()
        TwoStores.number += 1
        path = FOLDER / f"{TwoStores.number}.db"
        shutil.copy(TEMPLATE, path)
        self.url = f"sqlite:///{path}"
        self.in_memory = MemoryStore()
        self.on_disk = SqlStore(self.url)
        self.leases: list[Lease] = [Lease(holder="nobody", epoch=99, expires_s=0.0)]
        self.now_s = 0.0

    def both(self, method: str, *arguments: Any) -> Any:
        answers = [_answer(store, method, arguments) for store in (self.in_memory, self.on_disk)]
        assert answers[0] == answers[1]
        return answers[0]

    @rule(data=st.data(), after_s=st.sampled_from([0.1, 5.0, 11.0, 50_000.0]))
    def commit_what_fits(self, data: st.DataObject, after_s: float) -> None:
        self.now_s += after_s
        self.both("commit", Commit(events=self.draw_events(data), actor="controller", at_s=self.now_s))

    @rule(data=st.data(), after_s=st.sampled_from([0.1, 5.0, 11.0, 50_000.0]))
    def commit_with_guards(self, data: st.DataObject, after_s: float) -> None:
        self.now_s += after_s
        seq = self.in_memory.world().seq
        keys = st.builds(Idempotency, key=st.just("k"), digest=st.sampled_from(["d", "e"]))
        commit = Commit(
            events=self.draw_events(data),
            actor="ada",
            at_s=self.now_s,
            epoch=data.draw(st.sampled_from([None, None, *(lease.epoch for lease in self.leases[-2:])])),
            if_seq=data.draw(st.sampled_from([None, None, seq, seq - 1])),
            idempotency=data.draw(st.none() | keys),
            decision=data.draw(st.none() | st.just(Decision(policy="p", at_s=self.now_s))),
            memory=data.draw(st.none() | st.just(Memory(short_since_s=self.now_s))),
        )
        self.both("commit", commit)

    def draw_events(self, data: st.DataObject) -> tuple[ev.Event, ...]:
        """Up to three events, each made for the state that the ones before it leave."""
        world = self.in_memory.world()
        events: list[ev.Event] = []
        for key in data.draw(st.lists(st.sampled_from(KEYS), min_size=1, max_size=3)):
            fitting = next_event(world.records.get(key), key)
            event = data.draw(st.one_of(fitting, fitting, fitting, any_event(key)))
            events.append(event)
            with contextlib.suppress(IllegalTransition):
                world.fold(ev.Entry(seq=world.seq + 1, at_s=self.now_s, actor="", event=event))
        return tuple(events)

    @rule(verb=st.sampled_from(["acquire", "renew", "release"]), back=st.integers(1, 2))
    def use_lease(self, verb: str, back: int) -> None:
        lease = self.leases[-min(back, len(self.leases))]
        match verb:
            case "acquire":
                taken = self.both("acquire_lease", "ab"[back - 1], self.now_s, 10.0)
                self.leases += [taken] if taken is not None else []
            case "renew":
                self.both("renew_lease", lease, self.now_s, 10.0)
            case _:
                self.both("release_lease", lease)

    @rule()
    def reopen(self) -> None:
        self.on_disk.close()
        self.on_disk = SqlStore(self.url)

    @invariant()
    def both_are_the_same(self) -> None:
        world = self.both("world")
        assert list(world.records) == list(self.on_disk.world().records)
        for method in ("lease", "memory"):
            self.both(method)

    def teardown(self) -> None:
        self.reopen()
        world, folded = self.both("world"), World()
        for entry in self.both("entries", 0):
            folded.fold(entry)
        assert world == folded
        self.both("decisions")
        self.on_disk.close()


def _answer(store: Store, method: str, arguments: tuple[Any, ...]) -> Any:
    try:
        answer = getattr(store, method)(*arguments)
    except SuanliError as refused:
        return type(refused), refused.sentence, refused.evidence
    return list(answer) if method in ("entries", "decisions") else answer


TestStoresAgree = TwoStores.TestCase
TestStoresAgree.settings = settings(max_examples=30, stateful_step_count=40, deadline=None)
