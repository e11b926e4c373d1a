"""What Gavel ships is imitated: its divisions are possible ones, its rounds of whole steps."""

import importlib
import json
import os
from pathlib import Path
from types import ModuleType

import msgspec
import numpy as np
import pytest
from scipy.optimize import linprog

from suanli.control.trials import Question, Setting, prepare
from suanli.policies.sharing.values import Sharing
from suanli.policies.table import Floats

ROOT = Path(__file__).resolve().parents[3]
SCRIPTS = ROOT / "benchmarks"
DATA = Path(os.environ.get("SUANLI_DATA") or ROOT.parent / "shared" / "data") / "gavel"


@pytest.fixture
def shipped(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module("gavel_shipped")


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module("gavel_steps")


def jobs(rng: np.random.Generator, n: int) -> Sharing:
    return Sharing(
        speed=rng.uniform(0.5, 20.0, (n, 3)),
        devices=rng.choice([1.0, 2.0, 4.0], n),
        weight=np.ones(n),
        entity=np.zeros(n, dtype=np.intp),
        entity_weight=np.ones(1),
        remaining=rng.uniform(1e3, 1e5, n),
        elapsed_s=rng.uniform(0.0, 1e4, n),
        fair_s=rng.uniform(0.0, 1e4, n),
        done=np.zeros(n),
        current=np.full(n, -1, dtype=np.intp),
        seq=np.arange(n),
        deadline_left_s=np.full(n, np.inf),
        capacity=np.array([8.0, 6.0, 4.0]),
        price=np.ones(3),
    )


def is_possible(sharing: Sharing, x: Floats) -> bool:
    within = bool((x >= 0).all() and (x.sum(axis=1) <= 1 + 1e-6).all())
    return within and bool((sharing.devices @ x <= sharing.capacity + 1e-5).all())


def earliest_s(sharing: Sharing) -> float:
    """The makespan's linear program: seconds on each type, and the instant by which all has ended."""
    n, m = sharing.speed.shape
    job, kind = np.arange(n * m) // m, np.arange(n * m) % m
    own, types = np.eye(n)[:, job], np.eye(m)[:, kind]
    above = np.block(
        [
            [-own * sharing.speed.ravel(), np.zeros((n, 1))],
            [own, -np.ones((n, 1))],
            [types * sharing.devices[job], -sharing.capacity[:, None]],
        ]
    )
    most = np.concatenate([-sharing.remaining, np.zeros(n + m)])
    return float(linprog(np.eye(1, n * m + 1, n * m)[0], above, most).fun)


@pytest.mark.parametrize("seed", range(5))
def test_the_makespan_as_shipped_ends_within_a_twentieth_of_the_earliest(
    shipped: ModuleType, seed: int
) -> None:
    sharing = jobs(np.random.default_rng(seed), 12)
    x = shipped.makespan(sharing)
    assert is_possible(sharing, x)
    end_s = float((sharing.remaining / (sharing.speed * x).sum(axis=1)).max())
    assert 1 - 1e-5 <= end_s / earliest_s(sharing) <= shipped.ENOUGH + 1e-5


@pytest.mark.parametrize("seed", range(3))
def test_finish_times_as_shipped_are_as_fair_as_a_step_away_from_them_can_tell(
    shipped: ModuleType, seed: int
) -> None:
    sharing = jobs(np.random.default_rng(seed), 12)
    x = shipped.finish_time_fairness(sharing)
    assert is_possible(sharing, x)
    alike = shipped.believed(sharing)
    fair_s = sharing.fair_s + sharing.remaining / shipped.isolated_speed(alike)

    def possible(ratio: float) -> bool:
        """All types are one pool, of which each job needs what the ratio asks for, at most all of its time."""
        need = sharing.remaining / np.maximum(ratio * fair_s - sharing.elapsed_s, 1e-9) / alike.speed[:, 0]
        return bool((need <= 1).all() and sharing.devices @ need <= sharing.capacity.sum())

    reached = (sharing.elapsed_s + sharing.remaining / (alike.speed * x).sum(axis=1)) / fair_s
    worst = float(reached.max())
    assert possible(worst * (1 + 1e-5))
    assert not possible(worst * (1 - 1e-4))


def test_fifo_as_shipped_gives_more_of_the_last_type_than_there_is(shipped: ModuleType) -> None:
    sharing = jobs(np.random.default_rng(0), 30)
    given = shipped.fifo()(msgspec.structs.replace(sharing, devices=np.ones(30)))
    assert given.sum(axis=0)[2] > sharing.capacity[2]


def setting(trace: Path, throughputs: Path, fleet: str) -> Setting:
    return prepare(Question(trace=f"gavel:{trace}", fleet=fleet, policies=("fifo",), throughputs=throughputs))


def test_a_round_ends_with_its_last_whole_step(steps: ModuleType, tmp_path: Path) -> None:
    job = "LM\trun\tdir\t--steps\t1\t{steps}\t1\t1\t-1\t0\n"
    trace, throughputs = tmp_path / "two.trace", tmp_path / "throughputs.json"
    trace.write_text(job.format(steps=6) + job.format(steps=3))
    throughputs.write_text(json.dumps({"v100": {"('LM', 1)": {"null": 0.01}}}))
    # three steps of 100 s fit into 360 s, and the two take turns on the one device
    ended_s = steps.ends_s(
        setting(trace, throughputs, "gavel:1xV100"), lambda sharing: np.ones((len(sharing.devices), 1))
    )
    assert ended_s == pytest.approx([900.0, 600.0])


@pytest.mark.skipif(not DATA.exists(), reason="needs the folder gavel that SUANLI_DATA names")
def test_fifo_as_shipped_has_the_published_figures(shipped: ModuleType, steps: ModuleType) -> None:
    fleet, throughputs = "gavel:8xV100,16xP100,24xK80", DATA / "simulation_throughputs.json"
    for name, jct_h, makespan_h in (("max_min_fairness", 9.97, 54.6), ("minimize_makespan", 58.8, 76.2)):
        of = setting(DATA / f"{name}.trace", throughputs, fleet)
        ended_s = steps.ends_s(of, shipped.fifo())
        mean_s = float((ended_s - [arrival.at_s for arrival in of.trace.arrivals]).mean())
        assert mean_s / 3600 == pytest.approx(jct_h, rel=1e-3)
        assert float(ended_s.max()) / 3600 == pytest.approx(makespan_h, rel=1e-3)
