"""Every allocation fits, says so whatever the order of jobs, and the price method is as good as it proves."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from tests.unit.policies.sharing.problems import assert_feasible, random_sharing, reached

from suanli.policies.sharing import levels
from suanli.policies.sharing.agnostic import agnostic
from suanli.policies.sharing.fair import hierarchical, max_min, water_filling
from suanli.policies.sharing.finish import finish_time_fairness, makespan
from suanli.policies.sharing.first_come import first_come
from suanli.policies.sharing.prices import Market, Raised, raise_level
from suanli.policies.sharing.purchase import total_cost
from suanli.policies.sharing.throughput import max_throughput, min_cost
from suanli.policies.sharing.values import Allocation, Sharing, proportional_speed, usable_speed
from suanli.policies.table import Floats, Indices

ALLOCATIONS = (
    max_min,
    water_filling,
    hierarchical,
    finish_time_fairness,
    makespan,
    max_throughput,
    min_cost,
    first_come,
)
SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.tuples(st.integers(1, 25), st.integers(1, 5))


@pytest.mark.parametrize("allocation", [*ALLOCATIONS, *map(agnostic, ALLOCATIONS)])
@settings(max_examples=15)
@given(seed=SEEDS, size=SIZES)
def test_every_allocation_fits(allocation: Allocation, seed: int, size: tuple[int, int]) -> None:
    problem = random_sharing(np.random.default_rng(seed), *size)
    assert_feasible(problem, allocation(problem))


@settings(max_examples=40)
@given(seed=SEEDS, size=SIZES)
def test_max_min_is_what_another_formulation_says(seed: int, size: tuple[int, int]) -> None:
    problem = random_sharing(np.random.default_rng(seed), *size)
    assert least_level(problem, max_min(problem)) == pytest.approx(by_linprog(problem), rel=1e-5, abs=1e-9)


@settings(max_examples=40)
@given(seed=SEEDS, size=SIZES)
def test_the_price_method_reaches_the_optimum_and_proves_it(seed: int, size: tuple[int, int]) -> None:
    problem = random_sharing(np.random.default_rng(seed), *size)
    raised, market = by_prices(problem)
    if raised is None:
        return
    best = by_linprog(problem)
    assert raised.level <= best * (1 + 1e-6)
    assert raised.bound >= best * (1 - 1e-6)
    assert raised.level >= raised.bound * (1 - 1e-3)
    levels_reached = (market.speed * raised.x).sum(axis=1)
    assert levels_reached.min() >= raised.level * (1 - 1e-6)
    assert_proved(market, raised)


@settings(max_examples=20)
@given(seed=SEEDS, size=SIZES)
def test_the_order_of_jobs_changes_nothing(seed: int, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(seed)
    problem = random_sharing(rng, *size)
    order: Indices = rng.permutation(size[0]).astype(np.intp)
    shuffled = permuted(problem, order)
    for allocation in (max_min, water_filling, hierarchical, makespan, first_come):
        assert allocation(shuffled) == pytest.approx(allocation(problem)[order], abs=1e-5)


@settings(max_examples=10)
@given(seed=SEEDS)
def test_beyond_the_exact_size_the_worst_off_lose_next_to_nothing(seed: int) -> None:
    problem = random_sharing(np.random.default_rng(seed), 300, 4)
    x = max_min(problem)
    assert_feasible(problem, x)
    assert least_level(problem, x) >= by_linprog(problem) * (1 - 2 * levels.TOLERANCE)


@settings(max_examples=15)
@given(seed=SEEDS, size=SIZES)
def test_water_filling_is_fair_to_the_least_and_wastes_nothing(seed: int, size: tuple[int, int]) -> None:
    """The least is as well off as in the one-level solution, and the sum of levels is no smaller."""
    problem = random_sharing(np.random.default_rng(seed), *size)
    one, filled = max_min(problem), water_filling(problem)
    assert least_level(problem, filled) == pytest.approx(least_level(problem, one), rel=1e-4, abs=1e-7)


@settings(max_examples=25)
@given(seed=SEEDS, size=SIZES)
def test_nobody_can_be_fairer_by_finish_times(seed: int, size: tuple[int, int]) -> None:
    """No ratio that is 1 % better has an allocation: tried by a linear program."""
    problem = random_sharing(np.random.default_rng(seed), *size)
    x = finish_time_fairness(problem)
    able = usable_speed(problem).any(axis=1)
    if not able.any():
        return
    n = len(problem.devices)
    share = problem.capacity / (n * problem.devices[:, None])
    share = share / np.maximum(share.sum(axis=1, keepdims=True), 1.0)
    fair_s = problem.fair_s + problem.remaining / np.maximum((problem.speed * share).sum(axis=1), 1e-300)
    with np.errstate(divide="ignore"):
        ratios = (problem.elapsed_s + problem.remaining / reached(problem, x)) / fair_s
    worst = float(ratios[able].max())
    spare_s = 0.99 * worst * fair_s - problem.elapsed_s
    fastest = usable_speed(problem).max(axis=1)
    if (spare_s[able] <= 0).any() or (problem.remaining / spare_s > fastest)[able].any():
        return
    needed = np.where(able, problem.remaining / spare_s, 0.0)
    assert level_for(problem, np.where(able, 0.0, 0.0) + needed) < 1.0


def by_prices(problem: Sharing) -> tuple[Raised | None, Market]:
    speed = usable_speed(problem)
    able = speed.any(axis=1)
    scale = problem.devices / np.maximum(proportional_speed(problem), 1e-300)
    a = np.ascontiguousarray((speed * scale[:, None])[able])
    market = Market(a, problem.devices[able], problem.capacity)
    if not able.any():
        return None, market
    weight = problem.weight[able]
    raised = raise_level(
        Market(np.ascontiguousarray(a / weight[:, None]), market.devices, market.capacity),
        lambda level: (np.full(len(a), level), np.ones(len(a))),
        start=np.zeros(a.shape),
        low=0.0,
        high=float((a / weight[:, None]).max(axis=1).min()),
        tolerance=5e-4,
    )
    return raised, Market(a / weight[:, None], market.devices, market.capacity)


def assert_proved(market: Market, raised: Raised) -> None:
    """At its prices all capacity is worth 1, and what lies beyond the bound costs more, or is beyond somebody."""
    assert float(raised.price @ market.capacity) == pytest.approx(1.0)
    beyond = raised.bound * (1 + 1e-6)
    if beyond >= market.speed.max(axis=1).min():
        return
    n = len(market.devices)
    price = np.ascontiguousarray(raised.price)
    cost, _, _ = total_cost(
        np.ascontiguousarray(market.speed), market.devices, price, np.full(n, beyond), np.ones(n)
    )
    assert cost >= 1.0 - 1e-9


def least_level(problem: Sharing, x: Floats) -> float:
    able = usable_speed(problem).any(axis=1)
    scale = problem.devices / (problem.weight * np.maximum(proportional_speed(problem), 1e-300))
    return float((reached(problem, x) * scale)[able].min(initial=np.inf)) if able.any() else 0.0


def by_linprog(problem: Sharing) -> float:
    able = usable_speed(problem).any(axis=1)
    scale = problem.devices / (problem.weight * np.maximum(proportional_speed(problem), 1e-300))
    return level_for(problem, np.where(able, 1.0 / scale, 0.0)) if able.any() else 0.0


def level_for(problem: Sharing, target: Floats) -> float:
    """The largest z such that all jobs can have z times their target speeds."""
    speed = usable_speed(problem)
    n, m = speed.shape
    rows = np.zeros((2 * n + m, n * m + 1))
    for i in range(n):
        rows[i, i * m : (i + 1) * m] = -speed[i]
        rows[i, -1] = target[i]
        rows[n + i, i * m : (i + 1) * m] = 1.0
        for j in range(m):
            rows[2 * n + j, i * m + j] = problem.devices[i]
    limits = np.concatenate([np.zeros(n), np.ones(n), problem.capacity])
    answer = linprog(np.append(np.zeros(n * m), -1.0), rows, limits, bounds=(0, None))
    return float(answer.x[-1])


def permuted(problem: Sharing, order: Indices) -> Sharing:
    rows = ("speed", "devices", "weight", "entity", "remaining", "elapsed_s", "fair_s", "done", "current")
    more = ("seq", "deadline_left_s")
    return msgspec.structs.replace(problem, **{name: getattr(problem, name)[order] for name in rows + more})
