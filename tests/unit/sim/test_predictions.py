"""How far off durations were foreseen, counted by hand."""

import numpy as np
import pytest
from tests.building import fleet, node, workload

from suanli.policies.registry import parse
from suanli.sim.outcome import Outcome
from suanli.sim.predictions import predictions_of
from suanli.sim.simulation import Conditions, Simulation
from suanli.sim.trace import Arrival, Trace


def played(*jobs: tuple[float, float, float | None], oracle: bool = False) -> Outcome:
    """Jobs by (instant, work, declared duration), all of one program."""
    arrivals = tuple(
        Arrival(at_s=at_s, workload=workload(f"j{i}", gpus=1, run=("p",), duration_s=declared_s), work=work)
        for i, (at_s, work, declared_s) in enumerate(jobs)
    )
    trace = Trace(name="t", arrivals=arrivals)
    rng = np.random.default_rng(0)
    return Simulation(trace, fleet(node(gpus=8)), parse("fifo"), Conditions(oracle=oracle), rng).run()


def test_what_is_learned_comes_from_likes_that_were_done_before_it_came() -> None:
    found = predictions_of(played((0, 100, None), (50, 30, None), (200, 200, None)))
    assert found is not None
    assert found.known_share == pytest.approx(1 / 3)  # the third, from 100 and 30: 65 instead of 200
    assert (found.off_p50, found.off_p90) == pytest.approx((200 / 65, 200 / 65))


def test_declared_durations_are_off_by_a_factor_either_way() -> None:
    found = predictions_of(played((0, 100, 50), (0, 100, 200), (0, 100, 100)))
    assert found is not None
    assert found.known_share == 1
    assert found.off_p50 == pytest.approx(2)


def test_of_an_oracle_and_of_nothing_there_is_nothing_to_tell() -> None:
    assert predictions_of(played((0, 100, None), oracle=True)) is None
    assert predictions_of(played()) is None


def test_where_nothing_was_known_there_is_no_error() -> None:
    found = predictions_of(played((0, 100, None)))
    assert found is not None
    assert (found.known_share, found.off_p50, found.off_p90) == (0, None, None)
