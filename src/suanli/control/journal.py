"""What the log tells of each workload beyond its record: its latest events in words, where it ran, what that cost."""

from collections import deque
from collections.abc import Mapping
from threading import Lock

import msgspec

from suanli.control.planning import share_price
from suanli.domain import events as ev
from suanli.domain.fleet import Fleet, Node
from suanli.domain.record import Placement
from suanli.policies.scale import is_scaled
from suanli.ports.store import Store

LINES_KEPT = 50
ENTRIES_PER_READ = 10_000


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a workload, in words."""

    seq: int
    at_s: float
    actor: str
    event: str
    sentence: str


class Journal:
    """A fold of the log beside the world's, brought up to date when it is read. Safe for threads. O(1) for an entry.

    Costs count from the placement of an attempt to its end, since that is how long its nodes were held, at the prices
    of the fleet declared at its placement.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._seq = 0
        self._fleet: Fleet | None = None
        self._nodes: dict[str, Node] = {}
        self._lives: dict[str, _Life] = {}
        self._lock = Lock()

    def catch_up(self) -> None:
        """Fold what was appended since. O(new entries), the first time all of them."""
        with self._lock:
            while entries := self._store.entries(self._seq, ENTRIES_PER_READ):
                for entry in entries:
                    self._fold(entry)
                self._seq = entries[-1].seq

    def lines(self, key: str, latest: int = LINES_KEPT) -> tuple[Line, ...]:
        """The latest events of a workload, oldest first."""
        with self._lock:
            life = self._lives.get(key)
            return tuple(life.lines)[max(0, len(life.lines) - latest) :] if life else ()

    def nodes(self, key: str) -> tuple[str, ...]:
        """Where its latest attempt ran or runs."""
        life = self._lives.get(key)
        return life.nodes if life else ()

    def cost(self, key: str, now_s: float) -> float:
        """US dollars for all it has held so far."""
        life = self._lives.get(key)
        return round(life.cost_until(now_s), 6) if life else 0.0

    def _fold(self, entry: ev.Entry) -> None:
        event = entry.event
        if isinstance(event, ev.FleetDeclared):
            self._fleet = event.fleet
            self._nodes = {node.name: node for node in event.fleet.nodes}
        if not isinstance(event, ev.WorkloadEvent):
            return
        life = self._lives.setdefault(event.key, _Life())
        if isinstance(event, ev.Submitted):
            life.begin()
        elif isinstance(event, ev.Placed):
            price = sum(self._price(placement) for placement in event.placements)
            life.place(tuple(p.node for p in event.placements), price, entry.at_s)
        elif isinstance(event, ev.Ended):
            life.end(entry.at_s)
        line = Line(
            seq=entry.seq,
            at_s=entry.at_s,
            actor=entry.actor,
            event=str(event.__struct_config__.tag),
            sentence=told(event),
        )
        life.lines.append(line)

    def _price(self, placement: Placement) -> float:
        node = self._nodes.get(placement.node)
        if node is None and self._fleet and self._fleet.scaling:
            scaling = self._fleet.scaling
            node = scaling.template if is_scaled(scaling, placement.node) else None
        return share_price(node, placement.share) if node else 0.0


class _Life:
    """Mutable: what one workload has gone through."""

    __slots__ = ("cost", "lines", "nodes", "placed_s", "price_per_hour")

    def __init__(self) -> None:
        self.lines: deque[Line] = deque(maxlen=LINES_KEPT)
        self.nodes: tuple[str, ...] = ()
        self.cost = 0.0
        self.price_per_hour = 0.0
        self.placed_s: float | None = None

    def begin(self) -> None:
        """A new submission of the name owes nothing for the former one."""
        self.nodes, self.cost, self.placed_s = (), 0.0, None

    def place(self, nodes: tuple[str, ...], price_per_hour: float, at_s: float) -> None:
        self.nodes, self.price_per_hour, self.placed_s = nodes, price_per_hour, at_s

    def end(self, at_s: float) -> None:
        self.cost, self.placed_s = self.cost_until(at_s), None

    def cost_until(self, now_s: float) -> float:
        if self.placed_s is None:
            return self.cost
        return self.cost + self.price_per_hour * max(0.0, now_s - self.placed_s) / 3600.0


def told(event: ev.WorkloadEvent) -> str:
    """An event in words."""
    match event:
        case ev.Placed():
            return f"attempt {event.number} placed on {', '.join(p.node for p in event.placements)}"
        case ev.StopBegun():
            stopped_for = f" for {event.stopped_for}" if event.stopped_for else ""
            return f"attempt {event.number} told to end: {event.cause.value}{stopped_for}"
        case ev.Ended():
            code = f", exit code {event.exit_code}" if event.exit_code is not None else ""
            detail = f": {event.detail}" if event.detail else ""
            return f"attempt {event.number} ended: {event.cause.value}{code}{detail}"
        case ev.Checkpointed():
            return f"attempt {event.number} saved step {event.step}"
        case ev.Started() | ev.Ready():
            return f"attempt {event.number} {_WORDS[type(event)]}"
        case _:
            return _WORDS[type(event)]


def told_of_service(event: ev.ServiceEvent) -> str:
    """An event of a service as a whole in words."""
    match event:
        case ev.Revised():
            return f"revision {event.number} {event.origin or 'applied'}"
        case ev.Shifted():
            shares = ", ".join(f"{share:.0%} to revision {number}" for number, share in event.shares.items())
            return f"traffic: {shares}"
        case ev.Settled():
            return f"revision {event.number} serves alone"
        case ev.TakenBack():
            return f"revision {event.number} taken back to {event.to}: {event.why}"
        case ev.Scaled():
            return f"{event.replicas} replicas wanted" + (f": {event.why}" if event.why else "")
        case ev.ServicePaused():
            return "paused"
        case ev.ServiceResumed():
            return "resumed"
        case ev.ServiceEnded():
            return "ended"


_WORDS: Mapping[type, str] = {
    ev.Submitted: "accepted",
    ev.Held: "held",
    ev.Released: "released",
    ev.Started: "runs",
    ev.Ready: "answers its health check",
    ev.StopRequested: "asked to stop",
    ev.Retried: "asked to run again",
}
