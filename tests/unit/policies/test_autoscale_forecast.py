"""What the last days foretell, and when they are believed."""

import math
import random
from collections.abc import Callable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from suanli.policies.autoscale.forecast import BIN_S, BINS_A_DAY, Past, bins_kept, forecast

MONDAY = int(datetime(2026, 3, 2, tzinfo=UTC).timestamp() // BIN_S)
"""Its first bin."""


def recorded(rate: Callable[[int], float | None], days: float, until: int) -> Past:
    first = until - round(days * BINS_A_DAY)
    return Past(first=first, rates=tuple(rate(number) for number in range(first, until)))


def diurnal(number: int) -> float:
    """Between 10 at midnight and 110 at noon."""
    return 60.0 - 50.0 * math.cos(2 * math.pi * (number - MONDAY) / BINS_A_DAY)


def noisy(rate: Callable[[int], float], share: float) -> Callable[[int], float]:
    return lambda number: rate(number) * random.Random(number).uniform(1 - share, 1 + share)


def office(number: int) -> float:
    """100 from 8 to 18 on weekdays, otherwise 5."""
    day, part = divmod(number - MONDAY, BINS_A_DAY)
    return 100.0 if day % 7 < 5 and 8 * 12 <= part < 18 * 12 else 5.0


def wander(number: int) -> float:
    """A random walk that knows no time of day."""
    rng, level = random.Random(7), 50.0
    for _ in range(number - MONDAY + 10 * BINS_A_DAY):
        level = max(1.0, level + rng.uniform(-3, 3))
    return level


def test_a_day_like_the_last_ones_is_foretold_before_it_rises() -> None:
    six = MONDAY + 6 * 12
    soon = forecast(recorded(noisy(diurnal, 0.01), 5, six), "daily", "UTC", six * BIN_S, 10.0)
    later = forecast(recorded(noisy(diurnal, 0.1), 5, six), "daily", "UTC", six * BIN_S, 3600.0)
    assert soon.per_s == pytest.approx(diurnal(six + 1), rel=0.1)
    assert later.per_s == pytest.approx(diurnal(six + 13), rel=0.1)
    assert "are foretold; it was off by" in later.why


def test_what_the_present_tells_as_well_needs_no_forecast() -> None:
    """A tenth of chance, and replicas that are there in seconds: in five minutes the day grows by less than that."""
    six = MONDAY + 6 * 12
    assert forecast(recorded(noisy(diurnal, 0.1), 5, six), "daily", "UTC", six * BIN_S, 10.0).per_s is None


def test_the_step_of_a_working_day_is_ready_for_before_it_comes() -> None:
    eight = MONDAY + BINS_A_DAY + 8 * 12
    past = recorded(noisy(office, 0.2), 15, eight)
    before = forecast(past, "weekly", "UTC", eight * BIN_S - 360.0, 120.0)
    assert before.per_s == pytest.approx(100.0, rel=0.2)
    assert forecast(past, "weekly", "UTC", eight * BIN_S - 3600.0, 120.0).per_s == pytest.approx(5.0, rel=0.2)


def test_weeks_know_that_saturday_is_none_of_the_working_days() -> None:
    nine = MONDAY + 5 * BINS_A_DAY + 9 * 12
    weekly = forecast(recorded(office, 21, nine), "weekly", "UTC", nine * BIN_S, 0.0)
    daily = forecast(recorded(office, 5, nine), "daily", "UTC", nine * BIN_S, 0.0)
    assert weekly.per_s == 5.0
    assert daily.per_s != 5.0


def test_traffic_that_wanders_is_not_foretold() -> None:
    now = MONDAY + 100
    rates = {number: wander(number) for number in range(now - 5 * BINS_A_DAY, now, 1)}
    found = forecast(recorded(rates.__getitem__, 5, now), "daily", "UTC", now * BIN_S, 60.0)
    assert found.per_s is None
    assert found.why.startswith("no forecast: it would have been off by")


@pytest.mark.parametrize("seed", range(20))
def test_noise_alone_is_not_foretold(seed: int) -> None:
    now = MONDAY + 100
    past = recorded(lambda number: random.Random(number * 31 + seed).uniform(10, 90), 5, now)
    assert forecast(past, "daily", "UTC", now * BIN_S, 60.0).per_s is None


def test_one_odd_day_foretells_nothing() -> None:
    noon = MONDAY + 12 * 12
    odd = range(noon - 2 * BINS_A_DAY - 2, noon - 2 * BINS_A_DAY + 3)
    past = recorded(lambda n: 1000.0 if n in odd else diurnal(n), 5, noon)
    assert forecast(past, "daily", "UTC", noon * BIN_S, 0.0).per_s == pytest.approx(110.0, rel=0.01)


@pytest.mark.parametrize("days", [0.0, 0.5, 1.4])
def test_without_two_seasons_there_is_no_forecast(days: float) -> None:
    found = forecast(recorded(diurnal, days, MONDAY), "daily", "UTC", MONDAY * BIN_S, 60.0)
    assert (found.per_s, found.why) == (
        None,
        "no forecast: too little of the last 2 days has been recorded",
    )


def test_bins_that_nobody_recorded_are_bridged_by_the_other_days() -> None:
    six = MONDAY + 6 * 12
    gone = range(six - BINS_A_DAY - 20, six - BINS_A_DAY + 20)
    past = recorded(lambda n: None if n in gone else diurnal(n), 5, six)
    assert forecast(past, "daily", "UTC", six * BIN_S, 0.0).per_s == pytest.approx(diurnal(six + 1))


def test_the_same_time_is_what_the_clocks_of_the_zone_show() -> None:
    """On 29 March 2026 they go from 2 to 3 in Berlin: 8 o'clock of the day before was 23 hours ago."""
    zone = "Europe/Berlin"

    def opens(number: int) -> float:
        return 100.0 if 8 <= datetime.fromtimestamp(number * BIN_S, ZoneInfo(zone)).hour < 18 else 5.0

    for hour, per_s in ((2, 5.0), (7, 5.0), (9, 100.0)):
        now_s = datetime(2026, 3, 29, hour, 40, tzinfo=ZoneInfo(zone)).timestamp()
        past = recorded(opens, 5, int(now_s // BIN_S))
        assert forecast(past, "daily", zone, now_s, 0.0).per_s == per_s


def test_a_past_keeps_its_last_bins_and_leaves_out_what_was_not_seen() -> None:
    past = Past()
    for number in (10, 11, 13):
        past = past.followed_by(number, float(number), kept=4)
    assert past == Past(first=10, rates=(10.0, 11.0, None, 13.0))
    assert past.followed_by(14, 14.0, kept=4) == Past(first=11, rates=(11.0, None, 13.0, 14.0))
    assert past.followed_by(12, 0.0, kept=4) == past
    assert past.followed_by(10**9, 1.0, kept=4) == Past(first=10**9, rates=(1.0,))
    assert bins_kept("weekly") > 5 * 7 * BINS_A_DAY
