"""Made traces hold what they promise for every seed."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suanli.domain.errors import UsageError
from suanli.domain.fleet import Fleet, Node
from suanli.traces import fleet_of
from suanli.traces.generate import GENERATORS
from suanli.traces.mix import DAY_S, Mix
from suanli.traces.own import write_own
from suanli.traces.read import read
from suanli.traces.table import models_of

SMALL = fleet_of("gavel:8xV100,16xP100,24xK80")
LARGE = Fleet(
    name="large",
    nodes=tuple(
        Node(name=f"{model}-{i}", cpus=64, memory_bytes=2**39, accelerators=(model,) * count)
        for model, count in [("H100", 8), ("T4", 2), ("G2", 4)]
        for i in range(16)
    ),
)


def made(kind: str, seed: int, fleet: Fleet = SMALL, jobs: int = 300, load: float = 0.7):
    return GENERATORS[kind](fleet, jobs, load, np.random.default_rng(seed))


@settings(max_examples=20)
@given(st.sampled_from(sorted(GENERATORS)), st.integers(0, 2**32), st.sampled_from([SMALL, LARGE]))
def test_every_job_can_run_on_the_fleet_and_comes_in_order(kind: str, seed: int, fleet: Fleet) -> None:
    rows = made(kind, seed, fleet, jobs=60).rows
    assert len(rows) == 60
    assert len({row.name for row in rows}) == 60
    assert [row.at_s for row in rows] == sorted(row.at_s for row in rows)
    for row in rows:
        assert 0 < row.work < float("inf")
        assert row.deadline_s is None or row.deadline_s > row.at_s
        assert set(row.accelerators) <= set(models_of(fleet))
        assert set(row.speeds) <= set(row.accelerators)
        for model in row.accelerators:
            hosts = [
                node for node in fleet.nodes if node.accelerators.count(model) >= row.accelerators_per_node
            ]
            assert len(hosts) >= row.nodes
            assert all(node.cpus >= row.cpus and node.memory_bytes >= row.memory_bytes for node in hosts)


@pytest.mark.parametrize("kind", sorted(GENERATORS))
def test_a_seed_makes_the_same_trace_and_another_seed_another(kind: str) -> None:
    assert made(kind, 5) == made(kind, 5)
    assert made(kind, 5) != made(kind, 6)


@pytest.mark.parametrize("kind", sorted(GENERATORS))
def test_what_is_asked_for_is_the_load_times_what_there_is(kind: str) -> None:
    mix = Mix(sigma=0.5, longest_s=DAY_S)
    rows = GENERATORS[kind](SMALL, 3000, 0.7, np.random.default_rng(1), mix).rows
    asked_s = sum(row.nodes * row.accelerators_per_node * row.work for row in rows)
    assert asked_s / rows[-1].at_s / 48 == pytest.approx(0.7, rel=0.15)


def test_sizes_and_durations_have_heavy_tails() -> None:
    rows = [row for row in made("poisson", 3, LARGE, jobs=4000).rows if row.accelerators]
    work_s = np.sort([row.nodes * row.accelerators_per_node * row.work for row in rows])[::-1]
    assert work_s[: len(work_s) // 100].sum() > 0.25 * work_s.sum()
    single = np.mean([row.nodes * row.accelerators_per_node <= 1 for row in rows])
    assert 0.9 < single < 0.96


def test_more_comes_by_day_than_by_night() -> None:
    mix = Mix(sigma=0.5)
    rows = GENERATORS["diurnal"](SMALL, 4000, 0.7, np.random.default_rng(2), mix).rows
    hours = np.array([row.at_s % DAY_S / 3600 for row in rows])
    by_day = np.mean((hours >= 9) & (hours < 15))
    by_night = np.mean((hours >= 21) | (hours < 3))
    assert by_day > 2.5 * by_night


def test_bursts_are_of_one_team_program_and_size_and_gaps_vary_more_than_evenly() -> None:
    rows = made("bursts", 4, jobs=1000).rows
    gaps_s = np.diff([row.at_s for row in rows])
    assert gaps_s.std() / gaps_s.mean() > 2
    close = [(one, other) for one, other in itertools.pairwise(rows) if other.at_s - one.at_s == 1]
    alike = [one.program == other.program and one.team == other.team for one, other in close]
    assert np.mean(alike) > 0.95


def test_accelerators_of_unknown_speed_are_taken_as_alike() -> None:
    fleet = fleet_of("gavel:4xV100,4xG2")
    rows = [row for row in made("poisson", 1, fleet).rows if row.accelerators]
    assert all(row.speeds == {} for row in rows if "G2" in row.accelerators)


def test_a_fleet_without_accelerators_is_refused() -> None:
    with pytest.raises(UsageError, match="no accelerators"):
        made("poisson", 1, Fleet(name="f", nodes=(Node(name="n", cpus=4, memory_bytes=2**30),)))


@settings(max_examples=10)
@given(st.sampled_from(sorted(GENERATORS)), st.integers(0, 2**32))
def test_any_made_trace_survives_our_csv(
    tmp_path_factory: pytest.TempPathFactory, kind: str, seed: int
) -> None:
    path = tmp_path_factory.mktemp("made") / "t.csv"
    table = made(kind, seed, LARGE, jobs=40)
    write_own(table, path)
    assert read(str(path)).rows == table.rows
