"""What comes of it under one policy or another: the log up to an instant, and from there simulations."""

from collections.abc import Iterable, Mapping

import msgspec
import numpy as np

from suanli.domain import events as ev
from suanli.domain.decision import Memory
from suanli.domain.fleet import Fleet
from suanli.domain.workload import Kind
from suanli.domain.world import World
from suanli.kernel.state import State
from suanli.policies.parts import Policy
from suanli.policies.registry import parse
from suanli.sim.outcome import Outcome
from suanli.sim.simulation import Conditions, Simulation
from suanli.sim.trace import Trace


class Fork(msgspec.Struct, frozen=True, kw_only=True):
    """Where the ways part: the log up to `at_s`, what comes afterwards, and the policies that go on until `to_s`.

    `work` is what each workload truly has to do, by key. All nodes are there. Instants are those of the log.
    """

    entries: tuple[ev.Entry, ...]
    later: Trace
    fleet: Fleet
    work: Mapping[str, float]
    policies: tuple[str, ...]
    conditions: Conditions
    at_s: float
    to_s: float


def play_on(fork: Fork) -> tuple[Outcome, ...]:
    """Each way to its end: what runs goes on, and what waits waits on. O(steps), as any simulation."""
    world = _world(fork.entries)
    state = State(fork.fleet)
    state.apply(world.records.values())
    left = {
        key: np.inf if record.workload.kind is Kind.SERVE else fork.work[key] - record.done_by(fork.at_s)
        for key, record in world.records.items()
        if not record.status.is_final
    }
    return tuple(_played(fork, state, left, parse(name)) for name in fork.policies)


def _played(fork: Fork, state: State, left: Mapping[str, float], policy: Policy) -> Outcome:
    rng = np.random.default_rng(fork.conditions.seed)
    run = Simulation.going_on(state, Memory(), left, fork.later, policy, fork.conditions, rng, fork.at_s)
    while run.now_s < fork.to_s and run.advance():
        pass
    return run.outcome()


def _world(entries: Iterable[ev.Entry]) -> World:
    world = World()
    for entry in entries:
        world.fold(entry)
    return world
