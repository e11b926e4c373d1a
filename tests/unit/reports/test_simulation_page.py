"""Simulations on a page and in a table."""

import math
import re
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from suanli.domain.fleet import Fleet, Node
from suanli.domain.resources import AcceleratorDemand, Demand
from suanli.domain.workload import Kind, Workload
from suanli.policies.registry import parse
from suanli.reports.simulation import write
from suanli.reports.simulation_figures import (
    BARS_MAX,
    DEVICES_MAX,
    averaged,
    completion_times,
    device_rows,
    devices_in_use,
    gantt,
    gantt_rows,
    over_demand,
    pareto_front,
    runs_of,
    trade_offs,
)
from suanli.reports.simulation_table import result_table, run_names
from suanli.sim.metrics import measure
from suanli.sim.outcome import Level, Outcome
from suanli.sim.simulation import Conditions, Simulation
from suanli.sim.trace import Arrival, Trace

FLEET = Fleet(
    name="lab",
    nodes=tuple(
        Node(name=f"n{i}", cpus=8, memory_bytes=2**33, accelerators=("T4", "T4"), price_per_hour=1.0)
        for i in range(2)
    ),
)


def job(name: str, devices: float = 1, nodes: int = 1) -> Workload:
    demand = Demand(cpus=1, accelerators=(AcceleratorDemand("T4", devices),))
    return Workload(name=name, kind=Kind.TRAIN, run=(), demand=demand, nodes=nodes)


def simulated(
    policy: str, *, oracle: bool = False, names: tuple[str, ...] = ("a", "b", "c", "d"), work: float = 3600.0
) -> Outcome:
    arrivals = tuple(
        Arrival(at_s=60.0 * i, work=work / (i + 1), workload=job(name, devices=2 if i % 2 else 1))
        for i, name in enumerate(names)
    )
    conditions = Conditions(oracle=oracle)
    trace = Trace(name="small", arrivals=arrivals)
    return Simulation(trace, FLEET, parse(policy), conditions, np.random.default_rng(1)).run()


def drawn(figure: Any) -> Any:
    """The series of a chart."""
    return figure.data


@pytest.fixture(scope="module")
def outcomes() -> list[Outcome]:
    return [simulated("fifo"), simulated("srtf", oracle=True)]


def test_the_page_of_a_comparison_needs_nothing_from_anywhere(
    outcomes: list[Outcome], tmp_path: Path
) -> None:
    text = write(tmp_path / "r.html", "Two policies", outcomes).read_text(encoding="utf-8")
    assert re.findall(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=", text) == []
    headings = re.findall(r"<h2>(.*?)</h2>", text)
    assert headings[:5] == ["What is worth what", "Completion times", "By size", "In use", "Queue"]
    assert headings[5:] == ["Who ran where: fifo", "Who ran where: srtf (oracle)"]
    assert "An oracle was told" in text


def test_a_single_run_has_no_trade_off_and_its_whole_name(outcomes: list[Outcome], tmp_path: Path) -> None:
    text = write(tmp_path / "r.html", "One policy", outcomes[:1]).read_text(encoding="utf-8")
    assert "What is worth what" not in text
    assert "Who ran where: fifo+as-requested+best-fit" in text
    assert "oracle was told" not in text


def test_names_of_users_are_text_on_the_page(tmp_path: Path) -> None:
    outcome = simulated("fifo", names=("<b>x</b>", "</script><script>alert(1)</script>"))
    text = write(tmp_path / "r.html", "<i>title</i>", [outcome]).read_text(encoding="utf-8")
    assert "alert(1)</script>" not in text
    assert "<b>x</b>" not in text
    assert "<i>title</i>" not in text


def test_where_nothing_ends_the_page_shows_what_is_held_as_more_is_asked_for(tmp_path: Path) -> None:
    outcome = simulated("fifo", work=math.inf)
    text = write(tmp_path / "r.html", "Pods that stay", [outcome]).read_text(encoding="utf-8")
    assert re.findall(r"<h2>(.*?)</h2>", text)[:3] == ["Held and fragmented", "In use", "Queue"]
    held, fragmented = drawn(over_demand(runs_of([outcome])))
    assert list(held.x) == [25, 75, 100, 150]
    assert list(held.y) == [25, 75, 100, 100]
    assert fragmented.y[-1] == 0


def test_the_table_marks_what_is_better_and_only_that(outcomes: list[Outcome]) -> None:
    runs = [measure(outcome) for outcome in outcomes]
    slower = msgspec.structs.replace(runs[1], jct_mean_s=(runs[0].jct_mean_s or 0) * 2, cost=runs[0].cost)
    table = result_table([runs[0], slower])
    names = [row[0] for row in table.rows]
    assert (names.index("JCT, mean"), 1) in table.best
    assert (names.index("JCT, mean"), 2) not in table.best
    assert not any(row == names.index("cost of what was held, $") for row, _ in table.best)
    assert "deadlines met" not in names


def test_a_metric_that_is_not_there_is_a_dash(outcomes: list[Outcome]) -> None:
    nothing = msgspec.structs.replace(measure(outcomes[0]), jct_mean_s=None)
    table = result_table([nothing])
    assert {row[0]: row[1] for row in table.rows}["JCT, mean"] == "–"


def test_runs_are_named_by_the_parts_in_which_they_differ(outcomes: list[Outcome]) -> None:
    base = measure(outcomes[0])
    named = [
        msgspec.structs.replace(base, policy=policy, oracle=oracle)
        for policy, oracle in [("fifo+as-requested+fgd", False), ("sjf+as-requested+random", True)]
    ]
    assert run_names(named) == ["fifo+fgd", "sjf+random (oracle)"]
    assert run_names(named[:1]) == ["fifo+as-requested+fgd"]
    assert run_names([named[0], named[0]]) == ["fifo+as-requested+fgd"] * 2


@pytest.mark.parametrize(
    ("points", "front"),
    [
        ([(1, 1), (2, 2)], {0}),
        ([(1, 2), (2, 1), (2, 2)], {0, 1}),
        ([(1, 1), (1, 1)], {0, 1}),
        ([(1, 2, 3), (3, 2, 1), (2, 2, 2), (2, 2, 3)], {0, 1, 2}),
        ([], set()),
    ],
)
def test_the_front_is_what_nothing_else_beats(points: list[tuple[float, ...]], front: set[int]) -> None:
    assert pareto_front(points) == front


def test_long_series_keep_their_mean_when_they_are_thinned() -> None:
    rng = np.random.default_rng(4)
    at_s = np.concatenate([[0.0], np.cumsum(rng.exponential(10.0, 5000))])
    level = rng.integers(0, 50, 5001).astype(float)
    exact = np.sum(np.diff(at_s) * level[:-1]) / at_s[-1]
    edges, means = averaged(at_s, level, 100)
    assert len(edges) == len(means) == 101
    assert means[:-1].mean() == pytest.approx(exact)


def test_the_share_in_use_counts_devices_of_all_there_are(outcomes: list[Outcome]) -> None:
    (line,) = drawn(devices_in_use(runs_of(outcomes[:1])))
    assert max(line.y) == 1.0
    assert line.y[0] == 0.25


def test_the_curve_of_completion_ends_at_the_share_that_was_done(outcomes: list[Outcome]) -> None:
    (curve,) = drawn(completion_times(runs_of(outcomes[:1])))
    assert (len(curve.x), curve.y[-1]) == (4, 1.0)
    half = msgspec.structs.replace(
        outcomes[0],
        records=tuple(
            msgspec.structs.replace(r, ended_s=None) if r.key in "ab" else r for r in outcomes[0].records
        ),
    )
    (curve,) = drawn(completion_times(runs_of([half])))
    assert curve.y[-1] == 0.5


def test_filled_markers_are_the_runs_that_nothing_beats(outcomes: list[Outcome]) -> None:
    dearer = Fleet(
        name="dearer", nodes=tuple(msgspec.structs.replace(node, price_per_hour=2.0) for node in FLEET.nodes)
    )
    (points,) = drawn(trade_offs(runs_of([outcomes[0], msgspec.structs.replace(outcomes[0], fleet=dearer)])))
    assert list(points.marker.symbol) == ["circle", "circle-open"]
    assert points.y[1] == pytest.approx(2 * points.y[0])


def test_every_device_of_a_gang_is_a_bar_of_the_gantt(outcomes: list[Outcome]) -> None:
    figure = gantt(runs_of(outcomes[:1])[0])
    bars = {(row, base) for trace in drawn(figure) for row, base in zip(trace.y, trace.base, strict=True)}
    assert len(bars) == sum(
        len(placement.share.devices) for stay in outcomes[0].stays for placement in stay.placements
    )
    assert {row for row, _ in bars} <= {"n0/0", "n0/1", "n1/0", "n1/1"}


def test_the_gantt_of_a_large_run_is_bounded(outcomes: list[Outcome]) -> None:
    many = Fleet(
        name="many", nodes=tuple(msgspec.structs.replace(FLEET.nodes[0], name=f"n{i}") for i in range(500))
    )
    large = msgspec.structs.replace(outcomes[0], fleet=many, stays=outcomes[0].stays * 3000)
    assert len(device_rows(large)) == DEVICES_MAX
    assert len(gantt_rows(large)) == BARS_MAX


def test_a_fleet_without_accelerators_shows_its_cores(outcomes: list[Outcome]) -> None:
    plain = Fleet(name="plain", nodes=(Node(name="n0", cpus=8, memory_bytes=1),))
    cores = msgspec.structs.replace(
        outcomes[0],
        fleet=plain,
        stays=(),
        levels=(Level(0, 0, 1, 0, 4), Level(9, 0, 0, 0, 0)),
    )
    (line,) = drawn(devices_in_use(runs_of([cores])))
    assert list(line.y) == [0.5, 0.0]
