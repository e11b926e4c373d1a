"""Two controllers on one store: one decides, the other waits, and adopts what runs when the first is killed."""

import multiprocessing
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from multiprocessing.context import ForkProcess
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from gangs import COUNTER, control, emulated_cluster, until

from suanli.control.controller import LEASE_S
from suanli.domain import events as ev
from suanli.domain.fleet import Fleet, Node
from suanli.domain.record import Status
from suanli.domain.resources import Demand
from suanli.domain.workload import Kind, Workload
from suanli.engine.ray.cluster import ClusterHandle
from suanli.ports.store import Commit
from suanli.store import SqlStore

FLEET = Fleet(name="single", nodes=(Node(name="local", cpus=2, memory_bytes=4 * 2**30),))
HOLDERS = frozenset({"one", "two"})
STEPS = 30
TAKEN_OVER_S_MAX = LEASE_S + 60.0
"""On a machine that may be busy."""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[ClusterHandle]:
    with emulated_cluster(tmp_path / "ray", FLEET) as handle:
        yield handle


@pytest.mark.timeout(400)
def test_of_two_controllers_one_decides_and_the_other_adopts_its_work_once_it_is_killed(
    tmp_path: Path, cluster: ClusterHandle, record_property: Callable[[str, object], None]
) -> None:
    with _controllers(tmp_path, cluster) as processes:
        store = SqlStore(f"sqlite:///{tmp_path / 'suanli.db'}")
        _commit(store, ev.FleetDeclared(fleet=FLEET), _submitted("before", STEPS, str(tmp_path / "enough")))
        until(lambda: len(_steps(tmp_path, "before")) >= 5, 90)
        leader = _holder(store)
        (other,) = HOLDERS - {leader}
        until(lambda: "Another controller decides here" in _said(tmp_path, other), 60)
        processes[leader].kill()
        killed_s = time.monotonic()
        _commit(store, _submitted("after", 5))  # while nobody decides
        until(lambda: _holder(store) == other, TAKEN_OVER_S_MAX)
        record_property("kill_to_taken_over_s", round(time.monotonic() - killed_s, 2))
        assert len(_steps(tmp_path, "before")) < STEPS, "it should still run, to be adopted"
        (tmp_path / "enough").touch()
        until(lambda: all(r.status is Status.SUCCEEDED for r in store.world().records.values()), 120)
        attempts = {key: record.attempts_made for key, record in store.world().records.items()}
        store.close()
    assert attempts == {"before": 1, "after": 1}
    assert _placed(tmp_path, leader) == ["before"]
    assert _placed(tmp_path, other) == ["after"]
    assert list(tmp_path.rglob("overlap-*")) == []
    assert _steps(tmp_path, "before") == [str(i + 1) for i in range(STEPS)]


@contextmanager
def _controllers(home: Path, handle: ClusterHandle) -> Iterator[dict[str, ForkProcess]]:
    """Both started at once, on a store that neither finds there."""
    fork = multiprocessing.get_context("fork")
    processes = {holder: fork.Process(target=_control, args=(home, handle, holder)) for holder in HOLDERS}
    for process in processes.values():
        process.start()
    try:
        yield processes
    finally:
        for process in processes.values():
            process.kill()
            process.join()


def _control(home: Path, handle: ClusterHandle, holder: str) -> None:
    with _log(home, holder).open("w", buffering=1) as log, redirect_stdout(log):
        control(home, handle, holder)


def _log(home: Path, holder: str) -> Path:
    return home / f"{holder}.log"


def _said(home: Path, holder: str) -> str:
    return _log(home, holder).read_text()


def _placed(home: Path, holder: str) -> list[str]:
    """What this controller, and not the other, decided to run."""
    return re.findall(r"\bPlaced\b.*\bkey=(\w+)", _said(home, holder))


def _holder(store: SqlStore) -> str:
    lease = store.lease()
    assert lease is not None
    return lease.holder


def _steps(home: Path, name: str) -> list[str]:
    logs = list(home.glob(f"outputs/{name}-*/steps-0"))
    return logs[0].read_text().split()[1::2] if logs else []


def _submitted(name: str, steps: int, last_after: str = "") -> ev.Submitted:
    workload = Workload(
        name=name,
        kind=Kind.TRAIN,
        run=(sys.executable, str(COUNTER)),
        demand=Demand(cpus=1.0, memory_bytes=2**28),
        env={"SUANLI_TEST_STEPS": str(steps), "SUANLI_TEST_LAST_AFTER": last_after},
        workdir=str(COUNTER.parent),
    )
    return ev.Submitted(key=name, workload=workload)


def _commit(store: SqlStore, *events: ev.Event) -> None:
    store.commit(Commit(events=events, actor="test", at_s=time.time()))
