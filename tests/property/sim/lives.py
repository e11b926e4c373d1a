"""Random traces on a small mixed fleet, in the middle of which anything may be asked."""

import msgspec
import numpy as np

from suanli.domain.fleet import Fleet, Node
from suanli.domain.resources import AcceleratorDemand, Demand
from suanli.domain.workload import Kind, Workload
from suanli.policies.registry import parse
from suanli.sim.faults import node_failures
from suanli.sim.simulation import Conditions, Simulation
from suanli.sim.trace import Arrival, Trace

FLEET = Fleet(
    name="lives",
    nodes=tuple(
        Node(name=f"n{i}", cpus=16, memory_bytes=2**36, accelerators=(model,) * 4)
        for i, model in enumerate(("H100", "H100", "T4", "T4"))
    ),
)
SIZES = ((1, 0.5), (1, 1.0), (1, 2.0), (1, 4.0), (2, 4.0))


def life(
    seed: int,
    policy: str,
    jobs: int = 60,
    conditions: Conditions = Conditions(),  # noqa: B008 - frozen
    *,
    failures: bool = False,
    priorities: tuple[int, ...] = (30, 50, 70),
    migrate: float = 0.0,
) -> Simulation:
    """A simulation that has not begun."""
    rng = np.random.default_rng(seed)
    at_s, arrivals = 0.0, list[Arrival]()
    for i in range(jobs):
        at_s += float(rng.exponential(200.0))
        nodes, count = SIZES[int(rng.integers(len(SIZES)))]
        models = (("H100", "T4"), ("H100",), ("T4",))[int(rng.integers(3))]
        work = float(rng.lognormal(6.5, 1.0))
        workload = Workload(
            name=f"j{i}",
            kind=Kind.TRAIN,
            run=("train",),
            nodes=nodes,
            demand=Demand(
                cpus=max(1.0, count), accelerators=tuple(AcceleratorDemand(m, count) for m in models)
            ),
            speeds={"H100": 4.0, "T4": 1.0} if rng.random() < 0.5 else {},
            priority=priorities[int(rng.integers(len(priorities)))],
            checkpoint_every_s=60.0 if rng.random() < 0.5 else None,
            team=("a", "b")[int(rng.integers(2))],
            duration_s=work * float(rng.lognormal(0.0, 0.3)) if rng.random() < 0.7 else None,
        )
        arrivals.append(Arrival(at_s=at_s, workload=workload, work=work))
    faults = node_failures(FLEET, 20_000.0, 8_000.0, 500.0, rng) if failures else ()
    return Simulation(
        Trace(name=f"life {seed}", arrivals=tuple(arrivals)),
        msgspec.structs.replace(FLEET, migrate=migrate),
        parse(policy),
        conditions,
        np.random.default_rng(seed),
        faults=faults,
    )
