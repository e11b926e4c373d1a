"""FGD's protocol of arrivals: shuffle, then resample or delete until a share of the fleet's accelerators is asked for.

Source: Weng et al., "Beware of fragmentation", USENIX ATC'23; hkust-adsl/kubernetes-scheduler-simulator,
`pkg/simulator/simulator.go`.
"""

from collections.abc import Iterable
from typing import Any, Protocol, SupportsInt

import msgspec

from suanli.domain.fleet import Fleet
from suanli.domain.workload import Workload
from suanli.sim.trace import Arrival, Trace

EPSILON = 1e-6
"""What a sum of shares may be off by."""


class Draws(Protocol):
    """The two draws that it takes. NumPy's `Generator` has them; other generators replay what others published."""

    def permutation(self, x: int, /) -> Iterable[Any]: ...

    def integers(self, low: int, /) -> SupportsInt: ...


def arrivals(trace: Trace, fleet: Fleet, ratio: float, rng: Draws) -> Trace:
    """The trace's workloads, one a second, in an order drawn by `rng`, asking for `ratio` of all accelerators. O(n).

    By name and shuffled; then copies of random ones are appended until one device of the next would be more than that
    (so that a last one with several may exceed it), or, where all together already ask for more, random ones are left
    out until they don't. A trace that asks for none is only shuffled.
    """
    by_name = sorted(trace.arrivals, key=lambda arrival: arrival.workload.name)
    shuffled = [by_name[index] for index in rng.permutation(len(by_name))]
    target = ratio * sum(len(node.accelerators) for node in fleet.nodes)
    asked = sum(accelerators_of(arrival.workload) for arrival in shuffled)
    if asked > target + EPSILON:
        chosen = _fewer(shuffled, asked, target, rng)
    elif asked > 0:
        chosen = [*shuffled, *_copies(by_name, target - asked, rng)]
    else:
        chosen = shuffled
    return Trace(
        name=trace.name,
        arrivals=tuple(
            msgspec.structs.replace(arrival, at_s=float(second)) for second, arrival in enumerate(chosen)
        ),
    )


def accelerators_of(workload: Workload) -> float:
    """Accelerators that the whole gang asks for, shares of them included."""
    alternatives = workload.demand.accelerators
    return alternatives[0].count * workload.nodes if alternatives else 0.0


def _fewer(chosen: list[Arrival], asked: float, target: float, rng: Draws) -> list[Arrival]:
    kept = list(chosen)
    while asked > target + EPSILON:
        asked -= accelerators_of(kept.pop(int(rng.integers(len(kept)))).workload)
    return kept


def _copies(originals: list[Arrival], room: float, rng: Draws) -> list[Arrival]:
    copies: list[Arrival] = []
    while True:
        drawn = originals[int(rng.integers(len(originals)))]
        asked = accelerators_of(drawn.workload)
        if min(asked / drawn.workload.nodes, 1.0) > room + EPSILON:
            return copies
        room -= asked
        name = f"{drawn.workload.name}-copy-{len(copies)}"
        workload = msgspec.structs.replace(drawn.workload, name=name)
        copies.append(msgspec.structs.replace(drawn, workload=workload))
