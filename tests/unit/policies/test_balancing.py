"""Balancers: who gets a request, whatever the replicas have to do."""

import math
from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suanli.policies.balancing import BALANCERS, BOUND, affine, mixed, smooth, sticky, weighted


@dataclass
class Replica:
    in_flight: int = 0
    in_flight_max: int = 0
    speed: float = 1.0
    name_hash: int = 0


REPLICAS = st.lists(
    st.builds(
        Replica,
        in_flight=st.integers(0, 50),
        speed=st.floats(0.1, 10),
        name_hash=st.integers(0, 2**64 - 1),
    ),
    min_size=1,
    max_size=12,
)
HASH = st.integers(0, 2**64 - 1)


@given(st.sampled_from(sorted(BALANCERS)), REPLICAS, st.integers(0, 10**9), st.none() | HASH)
def test_every_balancer_chooses_one_of_the_candidates(
    name: str, replicas: list[Replica], turn: int, affinity: int | None
) -> None:
    assert 0 <= BALANCERS[name](replicas, turn, affinity) < len(replicas)


@given(REPLICAS, st.integers(0, 10**9))
def test_least_outstanding_is_the_least(replicas: list[Replica], turn: int) -> None:
    chosen = replicas[BALANCERS["least-outstanding"](replicas, turn, None)]
    assert chosen.in_flight == min(replica.in_flight for replica in replicas)


@pytest.mark.parametrize("name", sorted(BALANCERS))
@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_equal_idle_replicas_get_equal_shares(name: str, count: int) -> None:
    replicas = [Replica(name_hash=mixed(index)) for index in range(count)]
    turns = 100 * count
    got = Counter(BALANCERS[name](replicas, turn, None) for turn in range(turns))
    spread = 0.35 if name == "power-of-two" else 0.0
    assert all(abs(got[index] - 100) <= 100 * spread for index in range(count))


@given(REPLICAS, st.integers(0, 10**9))
def test_power_of_two_never_takes_the_busiest_alone(replicas: list[Replica], turn: int) -> None:
    chosen = replicas[BALANCERS["power-of-two"](replicas, turn, None)]
    busiest = max(replica.in_flight for replica in replicas)
    if [replica.in_flight for replica in replicas].count(busiest) == 1 and len(replicas) > 1:
        assert chosen.in_flight < busiest


@given(st.lists(st.sampled_from([0.25, 0.5, 1.0, 2.0, 4.0]), min_size=1, max_size=8))
def test_under_steady_load_unlike_replicas_get_requests_by_their_speed(speeds: list[float]) -> None:
    replicas = [Replica(speed=speed) for speed in speeds]
    for turn in range(400):
        replicas[weighted(replicas, turn, None)].in_flight += 1
    for replica in replicas:
        due = 400 * replica.speed / sum(speeds)
        assert abs(replica.in_flight - due) <= len(speeds) + 1


@given(REPLICAS, HASH)
def test_affinity_keeps_within_its_bound(replicas: list[Replica], affinity: int) -> None:
    chosen = replicas[affine(replicas, 0, affinity)]
    total = sum(replica.in_flight for replica in replicas)
    assert chosen.in_flight + 1 <= math.ceil(BOUND * (total + 1) / len(replicas))


@given(st.integers(2, 10), st.lists(HASH, min_size=20, max_size=60, unique=True))
def test_when_a_replica_goes_only_its_own_sessions_move(count: int, sessions: list[int]) -> None:
    replicas = [Replica(name_hash=mixed(index)) for index in range(count)]
    before = {session: replicas[affine(replicas, 0, session)] for session in sessions}
    gone, *left = replicas
    for session, replica in before.items():
        if replica is not gone:
            assert left[affine(left, 0, session)] is replica


def test_sessions_spread_over_replicas() -> None:
    replicas = [Replica(name_hash=mixed(index)) for index in range(5)]
    got = Counter(affine(replicas, 0, mixed(session)) for session in range(5000))
    assert all(850 < got[index] < 1150 for index in range(5))


SHARES = st.lists(st.integers(0, 100), min_size=1, max_size=5).filter(lambda shares: sum(shares) > 0)


@given(SHARES)
def test_shares_are_exact_over_each_round(parts: list[int]) -> None:
    total = sum(parts)
    shares = [part / total for part in parts]
    credit = [0.0] * len(shares)
    got: Counter[int] = Counter()
    for _ in range(total):
        chosen, credit = smooth(credit, shares)
        got[chosen] += 1
    assert [got[index] for index in range(len(parts))] == parts


def test_five_percent_is_five_of_any_hundred() -> None:
    credit, chosen = [0.0, 0.0], []
    for _ in range(1000):
        index, credit = smooth(credit, [0.95, 0.05])
        chosen.append(index)
    windows = [sum(chosen[start : start + 100]) for start in range(900)]
    assert (min(windows), max(windows)) == (5, 5)


@given(st.lists(HASH, min_size=50, max_size=50), st.floats(0, 1), st.floats(0, 1))
def test_a_session_stays_and_a_growing_revision_only_takes(sessions: list[int], a: float, b: float) -> None:
    small, large = sorted((a, b))
    for session in sessions:
        before, after = sticky(session, [1 - small, small]), sticky(session, [1 - large, large])
        assert before == sticky(session, [1 - small, small])
        assert after >= before


def test_sticky_sessions_keep_the_shares() -> None:
    got = Counter(sticky(mixed(session), [0.7, 0.1, 0.2]) for session in range(10_000))
    assert abs(got[0] - 7000) < 200
    assert abs(got[1] - 1000) < 150
    assert abs(got[2] - 2000) < 200
