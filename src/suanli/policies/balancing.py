"""Which revision of a service, and which of its replicas, gets a request: pure functions, chosen by name.

A balancer is given the replicas that may take a request now, at least one, and what is known of the request; it returns
the index of its choice. All are O(replicas). Ties go round, so that equal replicas get equal shares at any load.
"""

import math
from collections.abc import Callable, Sequence
from typing import Protocol

BOUND = 1.25
"""How far above the mean load affinity may drive a replica (Mirrokni, Thorup, Zadimoghaddam: consistent hashing with
bounded loads, 2018)."""

_MASK = 2**64 - 1


class Candidate(Protocol):
    """A replica: how many requests it works on, and may be given (0: any), its speed relative to the others, and a
    64-bit hash of its name."""

    in_flight: int
    in_flight_max: int

    @property
    def speed(self) -> float: ...
    @property
    def name_hash(self) -> int: ...


Balancer = Callable[[Sequence[Candidate], int, int | None], int]
"""`(candidates, turn, affinity)`: `turn` counts the requests of the service, `affinity` is a hash of what should stay
together, None where nothing should."""


def has_room(candidate: Candidate) -> bool:
    """May it be given one more?"""
    return not candidate.in_flight_max or candidate.in_flight < candidate.in_flight_max


def round_robin(candidates: Sequence[Candidate], turn: int, affinity: int | None) -> int:
    return turn % len(candidates)


def least_outstanding(candidates: Sequence[Candidate], turn: int, affinity: int | None) -> int:
    """The replica with the fewest requests."""
    count = len(candidates)
    best = turn % count
    fewest = candidates[best].in_flight
    for step in range(1, count):
        if not fewest:
            break
        index = (turn + step) % count
        if candidates[index].in_flight < fewest:
            best, fewest = index, candidates[index].in_flight
    return best


def power_of_two(candidates: Sequence[Candidate], turn: int, affinity: int | None) -> int:
    """The less loaded of two drawn ones (Mitzenmacher 2001): near to the best, without everybody rushing to it."""
    count = len(candidates)
    if count == 1:
        return 0
    draw = mixed(turn)
    first = draw % count
    second = (first + 1 + (draw >> 32) % (count - 1)) % count
    return second if candidates[second].in_flight < candidates[first].in_flight else first


def weighted(candidates: Sequence[Candidate], turn: int, affinity: int | None) -> int:
    """Where the request is over first, if requests are equal: fewest to do, divided by speed."""
    count = len(candidates)
    best, shortest = 0, math.inf
    for step in range(count):
        index = (turn + step) % count
        wait = (candidates[index].in_flight + 1) / candidates[index].speed
        if wait < shortest:
            best, shortest = index, wait
    return best


def affine(candidates: Sequence[Candidate], turn: int, affinity: int | None) -> int:
    """The replica that a session, user or prompt always gets, unless it has more than its bounded share to do: then the
    next in the session's own order. Highest random weight (Thaler, Ravishankar 1998): when a replica comes or goes,
    only its own sessions move."""
    if affinity is None:
        return least_outstanding(candidates, turn, None)
    total = sum(candidate.in_flight for candidate in candidates)
    bound = math.ceil(BOUND * (total + 1) / len(candidates))
    best, highest = -1, -1
    for index, candidate in enumerate(candidates):
        if candidate.in_flight < bound:
            weight = mixed(candidate.name_hash ^ affinity)
            if weight > highest:
                best, highest = index, weight
    return best


BALANCERS: dict[str, Balancer] = {
    "round-robin": round_robin,
    "least-outstanding": least_outstanding,
    "power-of-two": power_of_two,
    "weighted": weighted,
    "affinity": affine,
}


def smooth(credit: Sequence[float], shares: Sequence[float]) -> tuple[int, list[float]]:
    """The next in a smooth weighted order, and everybody's credit after it: of any 100 requests in a row a share of 5 %
    gets 5 (give or take the one at the edges), spread evenly. At first all credits are 0. (nginx's algorithm.)"""
    after = [had + share for had, share in zip(credit, shares, strict=True)]
    chosen = max(range(len(after)), key=after.__getitem__)
    after[chosen] -= sum(shares)
    return chosen, after


def sticky(affinity: int, shares: Sequence[float]) -> int:
    """The same revision for the same session as long as shares stand; when one grows, it keeps all that it had, if it
    is the last: sessions come to a new revision and none goes back."""
    point = mixed(affinity) / 2**64 * sum(shares)
    for index in range(len(shares) - 1, -1, -1):
        point -= shares[index]
        if point < 0 and shares[index] > 0:
            return index
    return max(range(len(shares)), key=shares.__getitem__)


def mixed(number: int) -> int:
    """64 bits that look independent of `number`, always the same (the finaliser of splitmix64)."""
    number = (number + 0x9E3779B97F4A7C15) & _MASK
    number = ((number ^ number >> 30) * 0xBF58476D1CE4E5B9) & _MASK
    number = ((number ^ number >> 27) * 0x94D049BB133111EB) & _MASK
    return number ^ number >> 31
