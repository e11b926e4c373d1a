"""The drawing of a placement holds everything it shows, escaped, and lets bars of one node not lie on each other."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from suanli.domain.problem import (
    MAX_UTILISATION,
    MIN_COMPLETION_TIME,
    Gang,
    NodeClass,
    Objective,
    Option,
    PlacementProblem,
)
from suanli.reports.placement_drawing import write
from suanli.solvers.placement.limits import Limits
from suanli.solvers.placement.registry import SOLVERS


def _problem(objective: Objective) -> PlacementProblem:
    def gang(name: str, nodes: int, accelerators: float, duration_s: int) -> Gang:
        option = Option(
            node_class=0, demand=(4.0, accelerators), duration_s=duration_s, cost_usd=1.5, value=accelerators
        )
        return Gang(name=name, nodes=nodes, options=(option,))

    return PlacementProblem(
        name="a<b>",
        resources=("cpus", "accelerators"),
        classes=(NodeClass(name="n", count=3, capacity=(32.0, 8.0)),),
        gangs=(
            gang("<i>wide</i>", 2, 6, 7200),
            gang("half", 1, 4, 3600),
            gang("other-half", 1, 4, 5400),
            gang("late", 1, 8, 1800),
        ),
        objective=objective,
    )


def _bars(page: str) -> list[dict[str, object]]:
    """The traces of the first figure of the page."""
    found = re.search(r"Plotly\.newPlot\(\s*\"[^\"]+\",\s*(\[.*?\]),\s*\{\"", page, re.DOTALL)
    assert found
    return json.loads(found[1])


def _drawn(tmp_path: Path, objective: Objective) -> str:
    problem = _problem(objective)
    answer = SOLVERS["mip"](problem, Limits(), 0)
    return write(tmp_path / "deep" / "page.html", problem, answer).read_text()


@pytest.mark.parametrize("objective", [MAX_UTILISATION, MIN_COMPLETION_TIME], ids=["shares", "time"])
def test_the_page_needs_nothing_but_a_browser_and_escapes_names(tmp_path: Path, objective: Objective) -> None:
    page = _drawn(tmp_path, objective)
    assert "<i>wide</i>" not in page
    assert "&lt;i&gt;wide&lt;/i&gt;" in page
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=", page)


def test_shares_of_a_node_sum_to_at_most_all_of_it(tmp_path: Path) -> None:
    held: dict[str, float] = {}
    for bar in _bars(_drawn(tmp_path, MAX_UTILISATION)):
        for node, share in zip(bar["y"], bar["x"], strict=True):  # pyright: ignore[reportArgumentType]
            held[node] = held.get(node, 0.0) + share
    assert held
    assert max(held.values()) <= 1


def test_bars_on_a_node_do_not_overlap_in_time(tmp_path: Path) -> None:
    bars = _bars(_drawn(tmp_path, MIN_COMPLETION_TIME))
    boxes = np.array([[b["base"][0], b["base"][0] + b["x"][0], b["y"][0], b["width"]] for b in bars], float)  # type: ignore[index]
    assert len(boxes) == 5
    for i, (from_h, to_h, y, width) in enumerate(boxes):
        for other_from, other_to, other_y, other_width in boxes[:i]:
            apart = abs(y - other_y) >= (width + other_width) / 2 - 1e-9
            assert apart or to_h <= other_from or other_to <= from_h
