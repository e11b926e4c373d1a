"""How long the store takes. CPU time, so that neighbours on the machine and its disk's sync are left out."""

import time
from collections.abc import Callable

import pytest

from suanli.domain import events as ev
from suanli.domain.record import Placement
from suanli.domain.resources import Share
from suanli.domain.workload import Kind, Workload
from suanli.ports.memory_store import MemoryStore
from suanli.ports.store import Commit, Idempotency, Store
from suanli.store import SqlStore

PLACEMENTS = (Placement("n1", Share(cpus=8.0, accelerator="A100-80GB", devices=(0, 1, 2, 3))),) * 2


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store with 10,000 workloads waiting."""
    url = f"sqlite:///{tmp_path_factory.mktemp('speed')}/suanli.db"
    store = SqlStore(url)
    store.commit(Commit(events=tuple(submitted(f"w{i}") for i in range(10_000)), actor="ada", at_s=1.0))
    store.close()
    return url


def submitted(name: str) -> ev.Submitted:
    return ev.Submitted(key=name, workload=Workload(name=name, kind=Kind.TRAIN, run=("train", "--fast")))


def cpu_s(work: Callable[[], object]) -> float:
    start_s = time.process_time()
    work()
    return time.process_time() - start_s


def one_commit_s(store: Store, prefix: str) -> float:
    """Best of 60 commits of one event with every guard set: a busy machine only adds to it."""
    lease = store.acquire_lease("a", 0.0, 10.0)
    assert lease is not None

    def submit(name: str) -> None:
        key = Idempotency(key=name, digest="d")
        store.commit(
            Commit(events=(submitted(name),), actor="ada", at_s=1.0, epoch=lease.epoch, idempotency=key)
        )

    return min(cpu_s(lambda name=f"{prefix}{i}": submit(name)) for i in range(60))


@pytest.mark.speed
def test_ten_thousand_workloads_are_read_in_half_a_second_and_again_at_once(url: str):
    store = SqlStore(url)
    cold_s, warm_s = cpu_s(store.world), cpu_s(store.world)
    print(f"\nworld of 10,000: {cold_s * 1e3:.0f} ms cold, {warm_s * 1e3:.1f} ms warm")  # noqa: T201  the figure
    assert cold_s < 0.5
    assert warm_s < 0.02


@pytest.mark.speed
def test_one_event_is_committed_within_3_ms_beside_ten_thousand_others(url: str):
    commit_s = one_commit_s(SqlStore(url), "one")
    print(f"\ncommit of one event: {commit_s * 1e3:.2f} ms")  # noqa: T201  the figure
    assert commit_s < 0.003


@pytest.mark.speed
def test_a_thousand_placements_are_committed_in_half_a_second(url: str):
    store = SqlStore(url)
    events = tuple(ev.Placed(key=f"w{i}", number=1, placements=PLACEMENTS) for i in range(1_000))
    commit_s = cpu_s(lambda: store.commit(Commit(events=events, actor="controller", at_s=2.0)))
    print(f"\ncommit of 1,000 placements: {commit_s * 1e3:.0f} ms")  # noqa: T201  the figure
    assert commit_s < 0.5


@pytest.mark.speed
def test_a_commit_in_memory_takes_microseconds():
    commit_s = one_commit_s(MemoryStore(), "one")
    print(f"\ncommit in memory: {commit_s * 1e6:.0f} us")  # noqa: T201  the figure
    assert commit_s < 0.0002
