"""Small fleets, workloads and records for the tests of the core. The defaults are dull on purpose."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from suanli.domain import events as ev
from suanli.domain.decision import Decision, Memory, Place, Stop
from suanli.domain.fleet import Fleet, Node
from suanli.domain.record import Attempt, Placement, Record, Status
from suanli.domain.resources import AcceleratorDemand, Demand, Share
from suanli.domain.transition import apply
from suanli.domain.workload import Kind, Workload
from suanli.kernel.state import State
from suanli.kernel.step import step
from suanli.policies.registry import parse

NOW_S = 1_000_000.0
GIB = 2**30
GPU = "A100-80GB"


def node(name: str = "n0", *, cpus: float = 8.0, gpus: int = 0, model: str = GPU, **more: Any) -> Node:
    more.setdefault("memory_bytes", 64 * GIB)
    more.setdefault("accelerators", (model,) * gpus)
    return Node(name=name, cpus=cpus, **more)


def nodes(count: int, **more: Any) -> tuple[Node, ...]:
    return tuple(node(f"n{i}", **more) for i in range(count))


def fleet(*members: Node, **more: Any) -> Fleet:
    return Fleet(name="lab", nodes=members, **more)


def workload(
    name: str = "w", *, cpus: float = 1.0, gpus: float = 0, model: str | Sequence[str] = GPU, **more: Any
) -> Workload:
    """Asks for `gpus` of any of the models on each node."""
    models = (model,) if isinstance(model, str) else model
    sizes = {k: more.pop(k) for k in ("memory_bytes", "disk_bytes", "network_bps") if k in more}
    accelerators = tuple(AcceleratorDemand(m, gpus) for m in models) if gpus else ()
    more.setdefault("kind", Kind.TRAIN)
    more.setdefault("run", ("train",))
    return Workload(name=name, demand=Demand(cpus=cpus, accelerators=accelerators, **sizes), **more)


def waiting(what: Workload, *, seq: int = 1, waited_s: float = 0.0, **more: Any) -> Record:
    """A record that has waited so long by NOW_S."""
    more.setdefault("key", what.name)
    more.setdefault("submitted_s", NOW_S - waited_s)
    more.setdefault("status", Status.HELD if what.held else Status.WAITING)
    return Record(workload=what, seq=seq, waiting_since_s=NOW_S - waited_s, **more)


def running(
    what: Workload,
    *on: str | tuple[str, tuple[int, ...]],
    unsaved_s: float = 600.0,
    seq: int = 1,
    status: Status = Status.RUNNING,
    ready: bool = True,
    **more: Any,
) -> Record:
    """A record that holds what it asks for on those nodes, devices named, and saved its work `unsaved_s` ago."""
    attempt = Attempt(
        number=1,
        placements=tuple(
            _held(what.demand, *(spot if isinstance(spot, tuple) else (spot, ()))) for spot in on
        ),
        placed_s=NOW_S - 7300,
        started_s=None if status is Status.STARTING else NOW_S - 7200,
        checkpoint_s=NOW_S - unsaved_s,
        ready_s=NOW_S - 7100 if ready else None,
    )
    before = waiting(what, seq=seq, waited_s=7300, attempts_made=1, **more)
    return msgspec.structs.replace(before, status=status, attempt=attempt)


def _held(demand: Demand, name: str, devices: tuple[int, ...]) -> Placement:
    asked = demand.accelerators[0] if demand.accelerators else None
    share = Share(
        cpus=demand.cpus,
        memory_bytes=demand.memory_bytes,
        disk_bytes=demand.disk_bytes,
        network_bps=demand.network_bps,
        accelerator=asked.model if asked else "",
        devices=devices,
        device_share=min(asked.count, 1.0) if asked else 1.0,
    )
    return Placement(name, share)


def succeeded(
    what: Workload, *, ran_s: float = 60.0, ended_s: float = NOW_S, seq: int = 1, **more: Any
) -> Record:
    before = waiting(what, seq=seq, **more)
    return msgspec.structs.replace(before, status=Status.SUCCEEDED, run_s=ran_s, ended_s=ended_s)


def state_of(
    of: Fleet,
    *records: Record,
    unusable: Mapping[str, str] | None = None,
    load: Mapping[str, float] | None = None,
    use: Mapping[str, float] | None = None,
) -> State:
    """`load` is the CPU fraction by node."""
    state = State(of)
    state.set_nodes(of, unusable or {})
    state.apply(records)
    state.load = {name: {"cpu_fraction": fraction} for name, fraction in (load or {}).items()}
    state.use = use or {}
    return state


def decide(
    state: State, policy: str = "priority+best-fit", memory: Memory | None = None, now_s: float = NOW_S
) -> tuple[Decision, Memory]:
    return step(state, parse(policy), memory or Memory(), now_s, np.random.default_rng(0))


def placed(decision: Decision) -> dict[str, tuple[str, ...]]:
    """Nodes by key of what the decision starts, in the order in which it starts them."""
    return {a.key: tuple(p.node for p in a.placements) for a in decision.actions if isinstance(a, Place)}


def stopped(decision: Decision) -> dict[str, str]:
    """What each is stopped for, by key of what the decision stops."""
    return {a.key: a.stopped_for or a.cause.value for a in decision.actions if isinstance(a, Stop)}


def token(decision: Decision, key: str) -> str:
    why = decision.reason_for(key)
    return why.token if why else "no reason"


def happened(record: Record, *events: ev.WorkloadEvent, at_s: float = NOW_S) -> Record:
    for event in events:
        record = apply(record, ev.Entry(seq=record.seq, at_s=at_s, actor="test", event=event))
    return record
