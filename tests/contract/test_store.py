"""What every store promises of its log and of what stands beside it, in memory, on SQLite and on PostgreSQL."""

import threading
from collections.abc import Callable
from typing import Any, get_args

import msgspec
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from tests.contract.commits import commit, fold, submitted

from suanli.domain import events as ev
from suanli.domain.decision import Decision, Memory, Place, Reservation, Stop, WarnIdle
from suanli.domain.errors import Conflict, Deposed, IllegalTransition, StaleWrite, Unavailable
from suanli.domain.fleet import Fleet, Link, Node, Team
from suanli.domain.reasons import ReasonCode, reason
from suanli.domain.record import Placement, Status
from suanli.domain.resources import AcceleratorDemand, Demand, Share
from suanli.domain.workload import EndCause, IdleRule, Kind, Retry, Service, Workload
from suanli.domain.world import World
from suanli.ports.memory_store import MemoryStore
from suanli.ports.store import IDEMPOTENCY_KEPT_S, Idempotency, Store, Token
from suanli.store import SqlStore

SHARE = Share(cpus=0.1 + 0.2, memory_bytes=2**40, accelerator="A100-80GB", devices=(0, 3))
PLACEMENTS = (Placement("n1", SHARE), Placement("n2", SHARE))
FLEET = Fleet(
    name="lab",
    nodes=(Node(name="n1", cpus=8, memory_bytes=2**36, accelerators=("T4",), labels={"rack": "r1"}),),
    links=(Link(ends=("a", "b"), bandwidth_bps=1e9),),
    teams=(Team(name="vision", weight=2.0, quota={"T4": 1.0}),),
)
DAY_S = 86_400.0


# Commits


def test_entries_are_numbered_from_one_and_say_who_and_when(store: Store):
    first = store.commit(commit(submitted("a"), submitted("b"), at_s=1.5))
    second = store.commit(commit(ev.Held(key="a"), at_s=2.5))
    assert [entry.seq for entry in (*first, *second)] == [1, 2, 3]
    assert [(entry.actor, entry.at_s) for entry in second] == [("ada", 2.5)]
    assert tuple(store.entries(0)) == first + second


def test_one_illegal_event_leaves_nothing_of_its_commit(store: Store):
    store.commit(commit(submitted("a"), ev.NodeCordoned(node="n1")))
    before = store.world()
    with pytest.raises(IllegalTransition):
        store.commit(
            commit(
                ev.Held(key="a"),
                ev.FleetDeclared(fleet=FLEET),
                ev.NodeUncordoned(node="n1"),
                submitted("b"),
                ev.Started(key="a", number=1),
                decision=Decision(policy="p", at_s=1.0),
                memory=Memory(hot_since_s={"n": 1.0}),
                idempotency=Idempotency(key="k", digest="d"),
            )
        )
    assert store.world() == before
    assert len(store.entries(0)) == 2
    assert not store.decisions()
    assert store.memory() == Memory()
    assert store.commit(commit(submitted("b"), idempotency=Idempotency(key="k", digest="other")))


def test_an_event_of_an_unknown_workload_is_refused(store: Store):
    with pytest.raises(IllegalTransition):
        store.commit(commit(ev.Held(key="nobody")))


def test_a_decision_on_a_state_that_has_moved_on_is_stale(store: Store):
    store.commit(commit(submitted("a"), if_seq=0))
    store.commit(commit(ev.StopRequested(key="a")))
    with pytest.raises(StaleWrite):
        store.commit(commit(ev.Placed(key="a", number=1, placements=PLACEMENTS), if_seq=1))
    assert store.world().records["a"].status is Status.STOPPED
    assert store.commit(commit(ev.Retried(key="a"), if_seq=2))


def test_several_events_of_one_workload_go_in_one_commit(store: Store):
    store.commit(commit(submitted("a")))
    store.commit(
        commit(
            ev.Placed(key="a", number=1, placements=PLACEMENTS),
            ev.Started(key="a", number=1),
            ev.Ended(key="a", number=1, cause=EndCause.SUCCEEDED, exit_code=0),
            submitted("a"),
        )
    )
    record = store.world().records["a"]
    assert (record.status, record.attempts_made, record.seq) == (Status.WAITING, 1, 5)


def test_a_commit_without_events_records_decision_and_memory(store: Store):
    memory = Memory(reservations={"w": Reservation(placements=PLACEMENTS, since_s=3.25)}, short_since_s=1.0)
    decision = Decision(
        policy="fifo+as-requested+best-fit",
        at_s=7.0,
        actions=(
            Place(key="w", number=2, placements=PLACEMENTS),
            Stop(key="v", number=1, cause=EndCause.PREEMPTED, stopped_for="w", lost_s=0.1),
            WarnIdle(key="u", used_fraction=0.01, idle_s=60.0),
        ),
        reasons=(reason(ReasonCode.RESOURCES_BUSY, "T4", asked=2, free=0.5, holders=("a", "b")),),
        waiting={"x": 0},
    )
    assert store.memory() == Memory()
    assert store.commit(commit(decision=decision, memory=memory)) == ()
    assert store.memory() == memory
    assert list(store.decisions()) == [decision]
    assert store.world().seq == 0


def test_the_latest_decisions_come_oldest_first(store: Store):
    for at_s in range(5):
        store.commit(commit(decision=Decision(policy="p", at_s=float(at_s))))
    assert [decision.at_s for decision in store.decisions(3)] == [2.0, 3.0, 4.0]
    assert len(store.decisions()) == 5
    assert not store.decisions(0)


# Idempotency


def test_a_repeated_request_gets_the_first_answer_and_changes_nothing(store: Store):
    key = Idempotency(key="k", digest="d")
    first = store.commit(commit(submitted("a"), submitted("b"), if_seq=0, idempotency=key))
    store.commit(commit(submitted("c")))
    again = store.commit(
        commit(
            submitted("a"), submitted("b"), if_seq=0, idempotency=key, decision=Decision(policy="p", at_s=0.0)
        )
    )
    assert again == first
    assert store.world().seq == 3
    assert not store.decisions()


def test_an_answer_may_be_empty(store: Store):
    key = Idempotency(key="k", digest="d")
    assert store.commit(commit(idempotency=key)) == ()
    store.commit(commit(submitted("a")))
    assert store.commit(commit(submitted("b"), idempotency=key)) == ()


def test_the_same_key_with_another_request_is_a_conflict(store: Store):
    store.commit(commit(submitted("a"), idempotency=Idempotency(key="k", digest="d")))
    with pytest.raises(Conflict):
        store.commit(commit(submitted("b"), idempotency=Idempotency(key="k", digest="e")))
    assert list(store.world().records) == ["a"]


def test_a_deposed_controller_gets_no_answer_to_a_repeated_request(store: Store):
    lease = store.acquire_lease("a", 0.0, 10.0)
    assert lease is not None
    key = Idempotency(key="k", digest="d")
    store.commit(commit(submitted("a"), epoch=lease.epoch, idempotency=key))
    store.acquire_lease("b", 20.0, 10.0)
    with pytest.raises(Deposed):
        store.commit(commit(submitted("a"), epoch=lease.epoch, idempotency=key))


def test_a_key_is_remembered_for_a_day_and_then_forgotten(store: Store):
    key = Idempotency(key="k", digest="d")
    first = store.commit(commit(submitted("a"), at_s=0.0, idempotency=key))
    assert IDEMPOTENCY_KEPT_S >= DAY_S
    assert store.commit(commit(submitted("a"), at_s=IDEMPOTENCY_KEPT_S, idempotency=key)) == first
    after_s = IDEMPOTENCY_KEPT_S + 1.0
    anew = store.commit(commit(submitted("b"), at_s=after_s, idempotency=key))
    assert [entry.seq for entry in anew] == [2]
    assert store.commit(commit(submitted("b"), at_s=after_s + DAY_S, idempotency=key)) == anew


# Reading


def test_the_world_is_the_fold_of_all_entries_in_the_same_order(store: Store):
    store.commit(commit(submitted("z"), submitted("a"), ev.FleetDeclared(fleet=FLEET)))
    store.commit(commit(ev.NodeCordoned(node="n2"), ev.NodeCordoned(node="n1", drain=True), submitted("m")))
    store.world()
    store.commit(commit(ev.StopRequested(key="z"), ev.PolicyChosen(policy="fifo"), submitted("b")))
    store.commit(commit(submitted("z"), ev.NodeUncordoned(node="n2"), ev.NodeCordoned(node="n2")))
    world = store.world()
    assert world == fold(store.entries(0))
    assert list(world.records) == ["z", "a", "m", "b"]
    assert list(world.cordoned) == ["n1", "n2"]
    assert (world.fleet, world.policy, world.cordoned["n1"]) == (FLEET, "fifo", True)


def test_a_workload_keeps_its_place_when_it_is_submitted_twice_in_one_commit(store: Store):
    store.commit(commit(submitted("a"), ev.StopRequested(key="a"), submitted("b"), submitted("a")))
    assert list(store.world().records) == ["a", "b"]
    assert store.world() == fold(store.entries(0))


def test_a_world_that_was_read_belongs_to_its_reader(store: Store):
    store.commit(commit(submitted("a")))
    mine = store.world()
    store.commit(commit(submitted("b"), ev.NodeCordoned(node="n1")))
    assert (list(mine.records), mine.cordoned, mine.seq) == (["a"], {}, 1)
    mine.records.clear()
    mine.cordoned["x"] = True
    assert store.world() == fold(store.entries(0))


def test_entries_can_be_read_in_pages(store: Store):
    store.commit(commit(*(submitted(f"w{i}") for i in range(10))))
    assert [entry.seq for entry in store.entries(3, limit=4)] == [4, 5, 6, 7]
    assert [entry.seq for entry in store.entries(8)] == [9, 10]
    assert not store.entries(10)


SERVING = Workload(name="s", kind=Kind.SERVE, run=("serve",), service=Service(replicas_max=None))

EVERY_EVENT: tuple[ev.Event, ...] = (
    ev.Submitted(
        key="s/1",
        replica=1,
        workload=Workload(
            name="s",
            kind=Kind.SERVE,
            run=("服务", "--p", "\x00\n\"'"),
            demand=Demand(accelerators=(AcceleratorDemand("T4", 0.5), AcceleratorDemand("L4", 2))),
            retry=Retry(limit=3, on=(EndCause.FAILED,)),
            idle=IdleRule(below=0.05, for_s=1800.0, then="stop"),
            elastic_nodes=(1, 4),
            env={"A": "1"},
            service=Service(port=8000, replicas_max=None),
            held=True,
        ),
    ),
    ev.Released(key="s/1"),
    ev.Held(key="s/1"),
    ev.Released(key="s/1"),
    ev.Placed(key="s/1", number=1, placements=PLACEMENTS),
    ev.Started(key="s/1", number=1),
    ev.Ready(key="s/1", number=1),
    ev.Checkpointed(key="s/1", number=1, step=2**40),
    ev.StopBegun(key="s/1", number=1, cause=EndCause.PREEMPTED, stopped_for="w"),
    ev.Ended(key="s/1", number=1, cause=EndCause.OUT_OF_MEMORY, exit_code=-9, detail="rss 1.5 GiB"),
    ev.StopRequested(key="s/1"),
    ev.Retried(key="s/1"),
    ev.NodeCordoned(node="n1", drain=True),
    ev.NodeUncordoned(node="n1"),
    ev.FleetDeclared(fleet=FLEET),
    ev.PolicyChosen(policy="sjf+as-requested+spread"),
    ev.Revised(service="s", number=1, workload=SERVING),
    ev.Shifted(service="s", step=1, shares={1: 1.0}, why="all are ready"),
    ev.Settled(service="s", number=1),
    ev.Revised(service="s", number=2, workload=SERVING, origin="rollback to 1"),
    ev.TakenBack(service="s", number=2, to=1, why="s/3 failed"),
    ev.Scaled(service="s", replicas=3, why="asked"),
    ev.ServicePaused(service="s"),
    ev.ServiceResumed(service="s"),
    ev.ServiceEnded(service="s"),
)


def test_every_kind_of_event_comes_back_as_it_went_in(store: Store):
    assert {type(event) for event in EVERY_EVENT} == set(get_args(ev.Event))
    for index, event in enumerate(EVERY_EVENT):
        store.commit(commit(event, at_s=0.1 * index))
    entries = store.entries(0)
    assert [entry.event for entry in entries] == list(EVERY_EVENT)
    assert [entry.at_s for entry in entries] == [0.1 * index for index in range(len(EVERY_EVENT))]
    assert store.world() == fold(entries)


# What stands beside the log


def test_documents_are_kept_until_overwritten_or_dropped_by_age(store: Store):
    assert store.document("plan", "p1") is None
    store.save_document("plan", "p1", b"one", 1.0)
    store.save_document("plan", "p1", b"\x00two", 5.0)
    store.save_document("plan", "p2", b"old", 2.0)
    store.save_document("alerts", "p2", b"other kind", 2.0)
    assert store.document("plan", "p1") == b"\x00two"
    store.drop_documents("plan", before_s=5.0)
    assert store.document("plan", "p1") == b"\x00two"
    assert store.document("plan", "p2") is None
    assert store.document("alerts", "p2") == b"other kind"


def test_documents_of_a_kind_are_listed_by_name_all_or_the_newer_ones(store: Store):
    for name, at_s in (("b", 1.0), ("A", 3.0), ("a", 2.0)):
        store.save_document("key", name, name.encode(), at_s)
    store.save_document("plan", "c", b"other kind", 3.0)
    assert list(store.documents("key").items()) == [("A", b"A"), ("a", b"a"), ("b", b"b")]
    assert store.documents("key", since_s=2.0) == {"A": b"A", "a": b"a"}
    store.save_document("key", "b", b"anew", 4.0)
    assert store.documents("key", since_s=3.5) == {"b": b"anew"}
    assert store.documents("nothing") == {}


def test_tokens_come_by_name_and_a_new_one_replaces_the_old_of_that_name(store: Store):
    ci = Token(name="ci", digest="1" * 64, created_s=1.0, scopes=("read", "submit"))
    admin = Token(name="admin", digest="2" * 64, created_s=2.0)
    store.add_token(ci)
    store.add_token(admin)
    assert list(store.tokens()) == [admin, ci]
    renewed = msgspec.structs.replace(ci, digest="3" * 64)
    store.add_token(renewed)
    assert list(store.tokens()) == [admin, renewed]


# Threads


def test_threads_that_commit_at_once_leave_a_log_without_gaps(store: Store):
    def submit_ten(thread: int) -> None:
        for index in range(10):
            store.commit(commit(submitted(f"{thread}-{index}")))
            store.world()

    threads = [threading.Thread(target=submit_ten, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=100)
    entries = store.entries(0)
    assert [entry.seq for entry in entries] == list(range(1, 61))
    assert store.world() == fold(entries)


def test_of_many_duplicates_at_once_one_is_accepted(store: Store):
    answers: list[Any] = []

    def submit() -> None:
        key = Idempotency(key="k", digest="d")
        answers.append(store.commit(commit(submitted("only"), idempotency=key)))

    threads = [threading.Thread(target=submit) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=100)
    assert len(answers) == 16
    assert len(set(map(repr, answers))) == 1
    assert store.world().seq == 1


# What only PostgreSQL has


def test_the_log_on_postgresql_refuses_to_be_rewritten(new_postgresql_url: Callable[[], str]):
    url = new_postgresql_url()
    store = SqlStore(url)
    store.commit(commit(submitted("a")))
    with sa.create_engine(url).connect() as connection:
        for statement in ("UPDATE entries SET actor = 'eve'", "DELETE FROM entries", "TRUNCATE entries"):
            with pytest.raises(DBAPIError, match="append-only"), connection.begin():
                connection.exec_driver_sql(statement)
    assert len(store.entries(0)) == 1


def test_a_writer_that_hangs_on_postgresql_does_not_hang_the_others(new_postgresql_url: Callable[[], str]):
    url = new_postgresql_url()
    store = SqlStore(url, busy_timeout_s=0.05)
    with sa.create_engine(url).connect() as hanging, hanging.begin():
        hanging.exec_driver_sql("SELECT seq FROM head FOR UPDATE")
        with pytest.raises(Unavailable, match="locked") as refused:
            store.commit(commit(submitted("a")))
        assert refused.value.remedy
        assert store.world() == World()
    assert store.commit(commit(submitted("a")))


# What only the store in memory has


def test_a_clone_of_the_memory_store_goes_its_own_way():
    store = MemoryStore()
    lease = store.acquire_lease("a", 0.0, 10.0)
    store.commit(
        commit(submitted("a"), idempotency=Idempotency(key="k", digest="d"), memory=Memory(short_since_s=1.0))
    )
    store.save_document("plan", "p", b"1", 0.0)
    store.add_token(Token(name="t", digest="d", created_s=0.0))
    twin = store.clone()
    store.commit(commit(ev.Held(key="a"), submitted("b")))
    assert (twin.lease(), twin.memory().short_since_s, twin.document("plan", "p")) == (lease, 1.0, b"1")
    assert twin.world() == fold(twin.entries(0))
    assert (twin.world().seq, store.world().seq) == (1, 3)
    assert twin.commit(commit(submitted("a"), idempotency=Idempotency(key="k", digest="d"))) == tuple(
        twin.entries(0)
    )
    assert twin.tokens() == store.tokens()
