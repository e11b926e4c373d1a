"""A service on a virtual clock: what queueing theory says, and what brute force says where that is possible."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from suanli.domain.workload import Access
from suanli.policies.balancing import BALANCERS
from suanli.sim.serving import Fleet, Overheads, Requests, Seconds, Served, serve
from suanli.sim.serving_arrivals import Stretch, always, even, poisson, requests_of, sampled

ONE_EACH = Access(concurrency=1, queue=10**9, queue_s=1e9)
"""A replica works on one request, all others wait at the gateway."""


def _served(arrive_s: Sequence[float], work_s: Sequence[float], fleet: Fleet, access: Access) -> Served:
    return serve(Requests(np.array(arrive_s), np.array(work_s)), fleet, access)


def _waits(served: Served) -> Seconds:
    return served.latency_s - served.requests.work_s


def _erlang_c(servers: int, offered: float) -> float:
    """The chance to wait, term by term."""
    terms = [offered**k / math.factorial(k) for k in range(servers)]
    last = offered**servers / math.factorial(servers) * servers / (servers - offered)
    return last / (sum(terms) + last)


def _holds(values: Seconds, expected: float) -> bool:
    """Whether the mean of correlated values is what is expected, within four standard errors (of 50 batches' means)."""
    means = np.array([batch.mean() for batch in np.array_split(values, 50)])
    error = means.std(ddof=1) / math.sqrt(len(means))
    assert error < 0.05 * expected, "too few to tell"
    return abs(values.mean() - expected) < 4 * error


# --- theory


@pytest.mark.parametrize(("servers", "busy"), [(1, 0.5), (2, 0.7), (5, 0.8)])
def test_with_exponential_times_waits_are_those_of_erlang(servers: int, busy: float) -> None:
    rng = np.random.default_rng(11)
    arrive_s = poisson([Stretch(servers * busy, 150_000 / servers)], rng)
    requests = Requests(arrive_s, rng.exponential(1.0, len(arrive_s)))
    waits = _waits(serve(requests, Fleet(speeds=(1.0,) * servers), ONE_EACH))
    chance = _erlang_c(servers, servers * busy)
    assert _holds((waits > 1e-9).astype(float), chance)
    assert _holds(waits, chance / (servers * (1 - busy)))


@pytest.mark.parametrize("busy", [0.3, 0.6, 0.85])
def test_with_equal_times_at_one_replica_waits_are_those_of_pollaczek_and_khinchine(busy: float) -> None:
    rng = np.random.default_rng(5)
    requests = requests_of(poisson([Stretch(busy, 150_000)], rng), always(1.0), rng)
    waits = _waits(serve(requests, Fleet(), ONE_EACH))
    assert _holds(waits, busy / (2 * (1 - busy)))


# --- brute force


def _pooled(arrive_s: Sequence[float], work_s: Sequence[float], servers: int) -> list[float]:
    """First come, first served, by whichever server is free first (Kiefer, Wolfowitz 1955)."""
    free_s = [0.0] * servers
    over_s: list[float] = []
    for at_s, takes_s in zip(arrive_s, work_s, strict=True):
        server = free_s.index(min(free_s))
        free_s[server] = max(free_s[server], at_s) + takes_s
        over_s.append(free_s[server] - at_s)
    return over_s


WHOLE = st.lists(st.tuples(st.integers(0, 6), st.integers(1, 9)), min_size=1, max_size=40)
"""Times between arrivals and of work, in whole numbers: then equal means equal."""


@given(WHOLE, st.integers(1, 4), st.sampled_from(sorted(BALANCERS)))
def test_whoever_chooses_equal_replicas_that_take_one_request_serve_as_one_queue(
    told: list[tuple[int, int]], servers: int, balance: str
) -> None:
    arrive_s = np.cumsum([gap for gap, _ in told]).astype(float)
    work_s = [float(work) for _, work in told]
    access = Access(balance=balance, concurrency=1, queue=10**6, queue_s=1e6)
    served = _served(list(arrive_s), work_s, Fleet(speeds=(1.0,) * servers), access)
    assert served.latency_s.tolist() == _pooled(list(arrive_s), work_s, servers)


@given(WHOLE, st.integers(1, 4))
def test_in_turn_each_replica_has_a_queue_of_its_own(told: list[tuple[int, int]], servers: int) -> None:
    arrive_s = np.cumsum([gap for gap, _ in told]).astype(float)
    work_s = np.array([float(work) for _, work in told])
    access = Access(balance="round-robin", concurrency=0)
    served = _served(list(arrive_s), list(work_s), Fleet(speeds=(1.0,) * servers), access)
    for turn in range(servers):
        own = slice(turn, None, servers)
        assert served.latency_s[own].tolist() == _pooled(list(arrive_s[own]), list(work_s[own]), 1)


@given(
    WHOLE,
    st.integers(1, 3),
    st.sampled_from(sorted(BALANCERS)),
    st.integers(0, 2),
    st.integers(0, 3),
    st.integers(1, 20),
    st.none() | st.integers(0, 100),
)
def test_every_request_is_answered_or_refused_or_still_there(
    told: list[tuple[int, int]],
    replicas: int,
    balance: str,
    concurrency: int,
    queue: int,
    queue_s: int,
    to_s: int | None,
) -> None:
    requests = Requests(
        np.cumsum([float(gap) for gap, _ in told]), np.array([float(work) for _, work in told])
    )
    access = Access(balance=balance, concurrency=concurrency, queue=queue, queue_s=queue_s)
    served = serve(requests, Fleet(speeds=(1.0,) * replicas), access, to_s=to_s)
    answered = np.isfinite(served.latency_s)
    assert not (answered & served.refused).any()
    assert (served.latency_s >= requests.work_s).all()
    there = ~answered & ~served.refused
    if to_s is None:
        assert not there.any()
    else:
        came = requests.arrive_s <= to_s
        assert (~came <= there).all()
        if concurrency:
            assert sum(there & came) <= queue + replicas * concurrency
    if concurrency == 0:
        assert not served.refused.any()


# --- the gateway's rules


def test_a_request_that_finds_the_queue_full_is_refused() -> None:
    access = Access(concurrency=1, queue=1, queue_s=100.0)
    served = _served([0.0, 0.1, 0.2], [1.0, 1.0, 1.0], Fleet(), access)
    assert served.refused.tolist() == [False, False, True]
    assert served.latency_s.tolist() == [1.0, pytest.approx(1.9), math.inf]


def test_a_request_waits_no_longer_than_it_may() -> None:
    access = Access(concurrency=1, queue=10, queue_s=0.5)
    served = _served([0.0, 0.1, 0.9], [1.0, 1.0, 1.0], Fleet(), access)
    assert served.refused.tolist() == [False, True, False]
    assert served.latency_s[2] == pytest.approx(1.1)  # the place that was given up is free


def test_the_faster_of_unlike_replicas_gets_more() -> None:
    rng = np.random.default_rng(2)
    requests = requests_of(poisson([Stretch(30.0, 100.0)], rng), always(0.05), rng)
    fleet = Fleet(speeds=(1.0, 0.25))
    apart = {
        balance: serve(requests, fleet, Access(balance=balance)).latency_s.mean()
        for balance in ("weighted", "round-robin")
    }
    assert apart["weighted"] < 0.5 * apart["round-robin"]


def test_overheads_add_to_latency_and_hold_the_place_that_they_hold() -> None:
    access = Access(concurrency=1)
    overheads = Overheads(entry_s=0.125, hop_s=0.25, slack_s=0.5)
    served = serve(Requests(np.array([0.0, 0.0]), np.array([1.0, 1.0])), Fleet(), access, overheads=overheads)
    assert served.latency_s.tolist() == [1.875, 3.625]


def test_replicas_that_work_on_several_at_a_time_let_the_others_wait() -> None:
    served = _served([0.0, 0.0, 0.0], [1.0, 2.0, 1.0], Fleet(at_once=2), Access())
    assert served.latency_s.tolist() == [1.0, 2.0, 2.0]


# --- what is drawn


def test_the_same_seed_gives_the_same_bytes() -> None:
    def once() -> bytes:
        rng = np.random.default_rng(42)
        arrive_s = poisson([Stretch(15.0, 20.0), Stretch(60.0, 20.0)], rng)
        requests = requests_of(arrive_s, sampled([0.01, 0.05, 0.1]), rng)
        served = serve(requests, Fleet(speeds=(1.0,) * 3), Access(balance="power-of-two"))
        return served.latency_s.tobytes()

    assert once() == once()


def test_arrivals_have_the_rates_of_their_stretches() -> None:
    stretches = [Stretch(10.0, 100.0), Stretch(40.0, 100.0)]
    chance, regular = poisson(stretches, np.random.default_rng(3)), even(stretches)
    assert (np.diff(chance) >= 0).all()
    assert np.sum(chance < 100.0) == pytest.approx(1000, abs=100)
    assert np.sum(chance >= 100.0) == pytest.approx(4000, abs=200)
    assert (np.sum(regular < 100.0), np.sum(regular >= 100.0)) == (1000, 4000)
