"""A gang over emulated Ray nodes: placed where the plan says, and moved whole when a node dies."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from gangs import FLEET, controller, counting_gang, emulated_cluster, kill_raylet, submit, until

from suanli.control.planning import plan
from suanli.domain.decision import Memory
from suanli.domain.events import Ended, Placed
from suanli.domain.record import Status
from suanli.domain.workload import EndCause
from suanli.engine.ray.cluster import ClusterHandle
from suanli.kernel.state import State
from suanli.policies.registry import parse

STEPS = 60


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterHandle]:
    with emulated_cluster(tmp_path_factory.mktemp("ray")) as handle:
        yield handle


@pytest.mark.timeout(600)
def test_a_gang_runs_on_the_nodes_of_the_plan_and_is_moved_whole_when_one_dies(
    tmp_path: Path, cluster: ClusterHandle
) -> None:
    gang = counting_gang("gang", STEPS)
    planned, _ = plan(State(FLEET), Memory(), parse("priority+best-fit"), [gang], 0.0)
    with controller(tmp_path, cluster) as running:
        until(lambda: len(running.seen.nodes) == len(FLEET.nodes), 90)
        submit(running, gang)
        until(lambda: _status(running) is Status.RUNNING, 90)
        view = next(v for v in running.seen.attempts if v.key == "gang")
        assert [w.node for w in view.workers] == [p.node for p in planned.placements]
        assert all(name.startswith("a") for name in (w.node for w in view.workers))
        until(lambda: _progress(running) >= 10, 90)
        dead = view.workers[1].node
        kill_raylet(cluster, dead)
        until(
            lambda: _status(running) is Status.RUNNING and running.world.records["gang"].attempts_made == 2,
            120,
        )
        until(lambda: _status(running) is Status.SUCCEEDED, 120)
        entries = [entry.event for entry in running.ports.store.entries(0)]
    ends = [event.cause for event in entries if isinstance(event, Ended)]
    assert ends == [EndCause.NODE_LOST, EndCause.SUCCEEDED]
    second = [event for event in entries if isinstance(event, Placed)][1]
    assert dead not in {placement.node for placement in second.placements}
    assert list(tmp_path.rglob("overlap-*")) == []
    for rank in range(4):
        committed = [line.split()[1] for line in _only(tmp_path, f"steps-{rank}").read_text().splitlines()]
        assert committed == [str(i + 1) for i in range(STEPS)], f"rank {rank} committed a step twice or never"


def _status(running: object) -> Status | None:
    record = running.world.records.get("gang")  # type: ignore[attr-defined]
    return record.status if record else None


def _progress(running: object) -> int:
    views = [v for v in running.seen.attempts if v.key == "gang"]  # type: ignore[attr-defined]
    return views[0].progress.step if views and views[0].progress else 0


def _only(folder: Path, name: str) -> Path:
    (found,) = folder.rglob(name)
    return found
