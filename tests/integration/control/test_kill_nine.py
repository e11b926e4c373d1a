"""`kill -9` of the controller, again and again, on a real Ray cluster: work goes on, is adopted, and runs once."""

import multiprocessing
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from gangs import COUNTER, control

from suanli.control.clock import SystemClock
from suanli.domain import events as ev
from suanli.domain.fleet import Fleet, Node
from suanli.domain.record import Status
from suanli.domain.resources import Demand
from suanli.domain.workload import EndCause, Kind, Workload
from suanli.engine.ray.cluster import ClusterHandle, start_or_adopt, stop
from suanli.ports.store import Commit
from suanli.store import SqlStore

KILLS = 20
JOBS = 6
NODE = Node(name="local", cpus=3, memory_bytes=4 * 2**30)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterHandle]:
    handle = start_or_adopt(tmp_path_factory.mktemp("ray"), NODE)
    yield handle
    stop(handle)


def _workload(i: int) -> Workload:
    return Workload(
        name=f"count-{i}",
        kind=Kind.TRAIN,
        run=(sys.executable, str(COUNTER)),
        demand=Demand(cpus=1.0, memory_bytes=2**28),
        workers_per_node=1 + i % 2,
        priority=40 + i,
        env={"SUANLI_TEST_STEPS": "40", "SUANLI_TEST_PACE_S": "0.15"},
        workdir=str(COUNTER.parent),
        grace_s=5.0,
    )


@pytest.mark.timeout(600)
def test_work_survives_twenty_kills_of_its_controller_and_never_runs_twice(
    tmp_path: Path, cluster: ClusterHandle
) -> None:
    fork = multiprocessing.get_context("fork")
    store = SqlStore(f"sqlite:///{tmp_path / 'suanli.db'}")
    clock = SystemClock()
    submitted: list[ev.Event] = [ev.FleetDeclared(fleet=Fleet(name="one", nodes=(NODE,)))]
    submitted += [ev.Submitted(key=w.name, workload=w) for w in map(_workload, range(JOBS))]
    store.commit(Commit(events=tuple(submitted), actor="test", at_s=clock.now_s()))
    rng = random.Random(7)
    kills = 0
    ends_s = time.monotonic() + 500
    while time.monotonic() < ends_s:
        controller = fork.Process(target=control, args=(tmp_path, cluster, "the-one-controller"))
        controller.start()
        assert controller.pid is not None
        controller.join(rng.uniform(0.3, 2.5) if kills < KILLS else 5.0)
        assert controller.is_alive(), "the controller ended by itself"
        os.kill(controller.pid, signal.SIGKILL)
        controller.join()
        kills += 1
        if kills >= KILLS and all(r.status.is_final for r in store.world().records.values()):
            break
    records = store.world().records
    assert {key: record.status for key, record in records.items()} == dict.fromkeys(records, Status.SUCCEEDED)
    assert len(records) == JOBS
    for record in records.values():
        assert record.attempts_made == 1, (
            f"{record.key} was started anew although only controllers were killed"
        )
        assert record.end_cause is EndCause.SUCCEEDED
    assert list(tmp_path.rglob("overlap-*")) == []
    for steps in tmp_path.rglob("steps-*"):
        assert [line.split()[1] for line in steps.read_text().splitlines()] == [str(i + 1) for i in range(40)]
