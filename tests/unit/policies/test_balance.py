"""Since when a node is hot."""

import pytest

from suanli.policies.balance import COOL_FRACTION, HOT_FRACTION, hot_since, hottest


@pytest.mark.parametrize(
    ("before", "peak", "after"),
    [
        ({}, 0.89, {}),
        ({}, 0.90, {"n": 100.0}),
        ({"n": 40.0}, 0.95, {"n": 40.0}),
        ({"n": 40.0}, 0.60, {"n": 40.0}),  # between the two it stays what it was
        ({"n": 40.0}, 0.59, {}),
        ({}, 0.75, {}),
    ],
)
def test_hot_above_the_upper_and_until_below_the_lower_mark(
    before: dict[str, float], peak: float, after: dict[str, float]
) -> None:
    assert (HOT_FRACTION, COOL_FRACTION) == (0.90, 0.60)
    assert hot_since(before, {"n": {"cpu_fraction": peak}}, 100.0) == after


def test_a_node_that_is_not_measured_stays_what_it_was() -> None:
    assert hot_since({"n": 40.0}, {}, 100.0) == {"n": 40.0}


def test_cpu_accelerators_and_network_count_and_memory_does_not() -> None:
    assert hottest({"cpu_fraction": 0.1, "accelerator_fraction": 0.7, "network_fraction": 0.3}) == 0.7
    assert hottest({"cpu_fraction": 0.2, "memory_fraction": 0.99}) == 0.2
    assert hottest({}) == 0.0
