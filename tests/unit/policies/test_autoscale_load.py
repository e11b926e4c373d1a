"""What came lately, as gateways' workers tell it: piece by piece, each at its own time, sometimes no more."""

import random

import pytest

from suanli.policies.autoscale.load import DISPERSION_MAX, STRETCHES_S, TOLD_S, Load


def tell(
    load: Load, rate: float, from_s: float, until_s: float, *, source: int = 1, every_s: float = 0.5
) -> None:
    """Evenly, in pieces of `every_s`."""
    for i in range(round((until_s - from_s) / every_s)):
        began_s = from_s + i * every_s
        load.arrived(source, began_s, began_s + every_s, round(rate * every_s))


def rates(load: Load, now_s: float) -> dict[float, float]:
    return {length_s: count / length_s for length_s, count in load.arrivals(now_s)}


def test_rates_are_counted_over_short_and_long_stretches() -> None:
    load = Load(0.0)
    tell(load, 20.0, 0.0, 95.0)
    tell(load, 80.0, 95.0, 100.0)
    assert rates(load, 100.0) == pytest.approx({1.0: 80.0, 2.0: 80.0, 5.0: 80.0, 15.0: 40.0, 60.0: 25.0})


def test_what_was_not_yet_told_is_not_taken_for_silence() -> None:
    load = Load(0.0)
    tell(load, 40.0, 0.0, 100.0)
    tell(load, 60.0, 0.3, 99.8, source=2)
    assert set(rates(load, 100.0 + TOLD_S / 2).values()) == {100.0}


def test_a_worker_that_is_gone_counts_no_longer_than_a_stretch() -> None:
    load = Load(0.0)
    tell(load, 40.0, 0.0, 200.0)
    tell(load, 60.0, 0.0, 100.0, source=2)
    now = rates(load, 102.0 + TOLD_S)
    assert now[1.0] == now[2.0] == 40.0
    assert now[60.0] > 90.0
    assert set(rates(load, 200.0).values()) == {40.0}


def test_stretches_are_no_longer_than_what_is_known() -> None:
    load = Load(1000.0)
    tell(load, 20.0, 1000.0, 1003.0)
    assert load.arrivals(1003.0) == ((1.0, 20), (2.0, 40), (3.0, 60))
    assert Load(1000.0).arrivals(1000.0) == ()


def test_memory_is_bounded_by_the_longest_stretch() -> None:
    load = Load(0.0)
    tell(load, 20.0, 0.0, 10_000.0)
    assert len(load._pieces) <= STRETCHES_S[-1] / 0.5 + 2


@pytest.mark.parametrize("piece", [(5.0, 5.0), (5.0, 4.0)])
def test_a_piece_without_length_says_nothing(piece: tuple[float, float]) -> None:
    load = Load(0.0)
    load.arrived(1, *piece, 100)
    assert {count for _, count in load.arrivals(10.0)} == {0}


def pieces_of(load: Load, counts: list[int]) -> float:
    for i, count in enumerate(counts):
        load.arrived(1, float(i), i + 1.0, count)
    return load.dispersion()


def test_dispersion_tells_bursts_from_chance_and_from_growth() -> None:
    rng = random.Random(3)
    chance = [[sum(rng.random() < 0.05 for _ in range(400)) for _ in range(60)] for _ in range(10)]
    bursts = [100 if i % 5 == 0 else 0 for i in range(60)]
    growing = [2 * i for i in range(60)]
    found = sorted(pieces_of(Load(0.0), counts) for counts in chance)
    assert 0.5 < found[0] < 1.0 < found[-1] < 2.0
    assert pieces_of(Load(0.0), bursts) == DISPERSION_MAX
    assert pieces_of(Load(0.0), growing) < 0.5
    assert pieces_of(Load(0.0), bursts[:5]) == 1.0


def test_waiting_and_ongoing_requests_are_averaged_over_the_last_seconds() -> None:
    load = Load(0.0)
    assert load.ongoing() == (0.0, 0.0)
    for second in range(100):
        load.sample(float(second), 4 if second >= 95 else 0, 6 if second >= 95 else 2)
    queued, ongoing = load.ongoing()
    assert queued == pytest.approx(20 / 11)
    assert ongoing == pytest.approx((5 * 6 + 6 * 2) / 11)
