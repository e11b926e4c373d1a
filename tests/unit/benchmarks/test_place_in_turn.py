"""Weights are fitted in a loop of its own, not through the step: it must choose as the step does."""

import importlib
from pathlib import Path
from types import ModuleType

import msgspec
import numpy as np
import pytest
from tests.building import GIB, GPU, fleet, node, waiting, workload

from suanli.domain.decision import Memory, Place
from suanli.domain.workload import Workload
from suanli.kernel.state import State
from suanli.kernel.step import step
from suanli.policies.place import measures, rating
from suanli.policies.place.leftovers import WEIGHTS
from suanli.policies.registry import parse
from suanli.sim.trace import Arrival, Trace

SCRIPTS = Path(__file__).resolve().parents[3] / "benchmarks"
NODES = tuple(
    node(
        f"n{i}",
        cpus=[16, 24, 64][i % 3],
        gpus=[2, 4, 8][i % 3],
        model=[GPU, "T4"][i % 2],
        memory_bytes=80 * GIB,
    )
    for i in range(9)
)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module("place_in_turn")


def requests(rng: np.random.Generator, count: int) -> list[Workload]:
    """More than the fleet can hold: none, shares, one, several devices, of either model or of one."""
    return [
        msgspec.structs.replace(asked, demand=msgspec.structs.replace(asked.demand, indifferent=True))
        for i in range(count)
        for asked in [
            workload(
                f"w{i:03}",
                gpus=float(rng.choice([0, 0.3, 0.5, 1, 1, 2, 4])),
                cpus=float(rng.choice([1, 4, 9])),
                memory_bytes=int(rng.choice([1, 20])) * GIB,
                model=[(GPU,), (GPU, "T4"), ("T4", GPU)][int(rng.integers(3))],
            )
        ]
    ]


@pytest.mark.parametrize("seed", range(3))
def test_what_is_fitted_chooses_the_nodes_that_the_step_chooses(script: ModuleType, seed: int) -> None:
    asked = requests(np.random.default_rng(seed), 70)
    pods = script.pods_of(
        Trace(name="made", arrivals=tuple(Arrival(at_s=0.0, workload=w, work=1.0) for w in asked))
    )
    at = script.instance_of(NODES, pods, pods.shape)
    found = script.place_in_turn(rating.choose, measures.occupy, at, np.array(WEIGHTS))

    state = State(fleet(*NODES))
    state.apply([waiting(w, seq=i) for i, w in enumerate(asked)])
    policy = msgspec.structs.replace(parse("fifo+leftovers"), mix=pods.mix)
    decision, _ = step(state, policy, Memory(), 0.0, np.random.default_rng(0), explained=False)
    on = {a.key: a.placements[0].node for a in decision.actions if isinstance(a, Place)}

    assert [NODES[i].name if i >= 0 else None for i in found] == [on.get(w.name) for w in asked]
    assert 0 < len(on) < len(asked)
