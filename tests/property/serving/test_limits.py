"""No window sees more than the limit, no period more than the budget: whatever arrives, and whoever dies when."""

import asyncio
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.property.serving.gateway_days import CHAT, Day, Killed, key_of

from suanli.serving.admission import windows
from suanli.serving.gateway.routes import Key, Price, Routes

DAY_S = 3.0
BUDGET_USD = 0.03
PERIOD_S = 2.0


BY_TOKEN = Price(usd_per_token_in=7e-6, usd_per_token_out=5e-5)
"""As a service declares it, without a price of seconds."""


def day_of(folder: str, keys: Sequence[Key], workers: int, seed: int, price: Price = CHAT.price) -> Day:
    route = msgspec.structs.replace(CHAT, price=price)
    return Day(Path(folder), Routes(version=1, routes=(route,), keys=tuple(keys)), workers, seed)


def most_in_any(window_s: float, uses: Sequence[tuple[float, int]]) -> int:
    """The most that any half-open window of that length contains, by a sliding sum."""
    most = total = first = 0
    ordered = sorted(uses)
    for at_s, amount in ordered:
        total += amount
        while ordered[first][0] <= at_s - window_s:
            total -= ordered[first][1]
            first += 1
        most = max(most, total)
    return most


@settings(max_examples=40)
@given(
    rates=st.lists(st.sampled_from([0.5, 2.5, 7, 20, 60]), min_size=1, max_size=3),
    workers=st.integers(1, 4),
    requests=st.integers(20, 300),
    deaths=st.lists(st.tuples(st.floats(0.1, 5.0), st.integers(0, 3)), max_size=3),
    seed=st.integers(0, 2**32),
)
def test_no_window_sees_more_requests_than_its_limit_whoever_dies(
    rates: list[float], workers: int, requests: int, deaths: list[tuple[float, int]], seed: int
) -> None:
    async def live(folder: str) -> Day:
        keys = [key_of(f"k{i}", requests_per_s=rate) for i, rate in enumerate(rates)]
        day = day_of(folder, keys, workers, seed)
        await day.start()
        day.plan(requests, DAY_S, [key.name for key in keys], 100)
        for at_s, who in deaths:
            await day.run(day.at_s + at_s)
            if alive := day.alive():
                alive[who % len(alive)].die()
                await day.add_worker()
        await day.run(day.at_s + DAY_S)
        return day

    with tempfile.TemporaryDirectory() as folder:
        day = asyncio.run(live(folder))
    for i, rate in enumerate(rates):
        limit, window_s = windows.of_requests(rate)
        assert most_in_any(window_s, [(at_s, 1) for at_s, key in day.entered if key == f"k{i}"]) <= limit
    assert day.entered
    assert deaths or len(day.entered) + len(day.refusals) == requests


@settings(max_examples=15)
@given(
    per_min=st.integers(200, 3000),
    workers=st.integers(1, 4),
    deaths=st.integers(0, 2),
    seed=st.integers(0, 2**32),
)
def test_no_minute_sees_more_tokens_than_its_limit_and_what_runs_fits_in_it_too(
    per_min: int, workers: int, deaths: int, seed: int
) -> None:
    async def live(folder: str) -> Day:
        day = day_of(folder, [key_of("k", tokens_per_min=per_min)], workers, seed)
        await day.start()
        day.plan(200, 100.0, ["k"], 150)
        for _ in range(deaths):
            await day.run(day.at_s + 30.0)
            day.alive()[0].die()
            await day.add_worker()
        await day.run(day.at_s + 130.0)
        return day

    with tempfile.TemporaryDirectory() as folder:
        day = asyncio.run(live(folder))
    assert most_in_any(60.0, [(use.at_s, use.tokens) for use in day.uses]) <= per_min
    assert day.entered


@settings(max_examples=15)
@given(workers=st.integers(1, 4), seed=st.integers(0, 2**32))
def test_who_asks_for_too_much_gets_what_the_limit_allows_but_for_one_percent_a_worker(
    workers: int, seed: int
) -> None:
    rate, seconds = 100, 5.0

    async def live(folder: str) -> Day:
        day = day_of(folder, [key_of("k", requests_per_s=rate)], workers, seed)
        await day.start()
        day.plan(1500, seconds, ["k"], 1)
        await day.run(day.at_s + seconds)
        return day

    with tempfile.TemporaryDirectory() as folder:
        day = asyncio.run(live(folder))
    assert len(day.entered) >= rate * seconds * (1 - 0.01 * (workers + 1))


async def spend(
    folder: str, workers: int, seed: int, dies_at: int | None, *, machine: bool, price: Price = CHAT.price
) -> Day:
    """Until a while after the effect at which supervisor or machine dies; then with a new one."""
    key = key_of("k", budget_usd=BUDGET_USD, budget_period_s=PERIOD_S)
    day = day_of(folder, [key], workers, seed, price)
    day.plan(80, DAY_S, ["k"], 300)
    ends_s = day.at_s + DAY_S + 2.0
    try:
        await day.start(dies_at)
        await day.run(ends_s)
    except Killed:
        if day.supervisor is not None:
            day.supervisor.die()
        if machine:
            for worker in day.workers:
                worker.die()
            day.lose_unsynced(day.disk)
        await day.start()
        await day.run(ends_s)
    for worker in day.workers:
        worker.die()
    return day


def overspent(day: Day) -> dict[int, int]:
    """By period, where more was spent than the budget."""
    spent: Counter[int] = Counter()
    for use in day.uses:
        spent[use.period] += use.nano
    return {period: nano for period, nano in spent.items() if nano > BUDGET_USD * 1e9}


@settings(max_examples=40)
@given(
    workers=st.integers(1, 3),
    seed=st.integers(0, 2**32),
    dies_at=st.integers(1, 300),
    machine=st.booleans(),
    price=st.sampled_from([CHAT.price, BY_TOKEN]),
)
def test_no_crash_lets_more_be_spent_than_the_budget(
    workers: int, seed: int, dies_at: int, machine: bool, price: Price
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        day = asyncio.run(spend(folder, workers, seed, dies_at, machine=machine, price=price))
    assert overspent(day) == {}


def test_a_budget_by_the_token_is_used_up_and_not_overspent() -> None:
    with tempfile.TemporaryDirectory() as folder:
        day = asyncio.run(spend(folder, 2, 7, None, machine=False, price=BY_TOKEN))
    assert overspent(day) == {}
    assert any(refusal.code == "budget_exhausted" for _, refusal in day.refusals)
    assert sum(use.nano for use in day.uses) > BUDGET_USD * 1e9 / 2


def test_at_every_numbered_effect_of_a_day_a_crash_overspends_nothing(record_property: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        whole = asyncio.run(spend(folder, 2, 7, None, machine=False))
    effects = whole.disk.effects
    assert overspent(whole) == {}
    assert any(refusal.code == "budget_exhausted" for _, refusal in whole.refusals)  # it was about something
    for dies_at in range(1, effects + 1):
        with tempfile.TemporaryDirectory() as folder:
            day = asyncio.run(spend(folder, 2, 7, dies_at, machine=dies_at % 2 == 0))
        assert overspent(day) == {}, dies_at
    record_property("crash_points", effects)
    assert effects >= 50
