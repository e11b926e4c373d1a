"""One state to read from: taken under the mutex in an instant, unchanged by what the loop does next."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import msgspec

from suanli.control.controller import Controller
from suanli.domain.decision import Decision
from suanli.domain.errors import Unavailable
from suanli.domain.fleet import Fleet
from suanli.domain.observation import AttemptView, Observation
from suanli.domain.record import Record
from suanli.domain.world import World

MUTEX_WAIT_S = 10.0


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """`fleet` is what decisions count with, the declared one capped by what was found; `unusable`: why a node isn't."""

    world: World
    decision: Decision
    seen: Observation
    fleet: Fleet
    unusable: dict[str, str]
    load: Mapping[str, Mapping[str, float]]
    now_s: float

    def attempts(self) -> dict[tuple[str, int], AttemptView]:
        return {(view.key, view.number): view for view in self.seen.attempts}

    def attempt_of(self, record: Record) -> AttemptView | None:
        """What the engine sees of the live attempt."""
        if record.attempt is None:
            return None
        number = record.attempt.number
        return next((v for v in self.seen.attempts if v.key == record.key and v.number == number), None)


def take(controller: Controller) -> Snapshot:
    """O(workloads + nodes). Raises Unavailable where the loop does not come to rest."""
    with held(controller):
        state = controller.state
        return Snapshot(
            world=controller.world.copy(),
            decision=controller.decision,
            seen=controller.seen,
            fleet=state.fleet,
            unusable=state.unusable,
            load=state.load,
            now_s=controller.ports.clock.now_s(),
        )


@contextmanager
def held(controller: Controller) -> Iterator[None]:
    """The controller's mutex, waited for no longer than a caller would wait for an answer."""
    if not controller.mutex.acquire(timeout=MUTEX_WAIT_S):
        raise Unavailable(
            "The controller is busy.",
            remedy="Try again; if it stays so, look at `suanli doctor` and the controller's log.",
            evidence={"waited_s": MUTEX_WAIT_S},
            code="SL-BUSY",
        )
    try:
        yield
    finally:
        controller.mutex.release()
