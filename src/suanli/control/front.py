"""The controller's side of its gateways: tells them who serves what, and hears what was asked and how it went."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
import psutil
import structlog

from suanli.control.reach import Reach, Reaching
from suanli.control.routing import routes_of
from suanli.control.traffic import Traffic
from suanli.domain.errors import Unavailable
from suanli.domain.observation import Observation
from suanli.domain.record import Record
from suanli.domain.traffic import Demand, Window
from suanli.domain.workload import Kind
from suanli.domain.world import World
from suanli.serving.gateway.routes import Key, Routes
from suanli.serving.gateway.routes_file import ROUTES_FILE, write_routes
from suanli.serving.gateway.stats import WorkerStats

STATS = "worker-*.json"

KEYS_EVERY_S = 1.0
"""Keys are read anew so often: one that is revoked is refused that much later."""

SILENT_S = 5.0
"""A worker that has written nothing for so long is not counted on."""

_S = TypeVar("_S", Routes, WorkerStats)

log = structlog.get_logger("suanli.control")


class Front:
    """`folder` is the gateway's: it reads the routes there, its workers write their figures there.

    `keys` says who may ask, `reaching` how replicas are.
    """

    def __init__(self, folder: Path, keys: Callable[[], tuple[Key, ...]], reaching: Reaching) -> None:
        self._folder = folder
        self._read_keys = keys
        self._keys: tuple[Key, ...] = ()
        self._keys_read_s = -KEYS_EVERY_S
        self._reaching = reaching
        self._routes = _read(folder / ROUTES_FILE, Routes) or Routes(version=0)
        self._ready = _ready(self._routes)
        self._directed: tuple[int, tuple[Key, ...]] | None = None
        self._seen: Observation | None = None
        self._gone: dict[str, int] = {}
        self._workers: Sequence[WorkerStats] = ()
        self._traffic = Traffic()

    @property
    def routes(self) -> Routes:
        return self._routes

    def hear(self, now_s: float) -> None:
        """Read what the workers say, and who may ask."""
        self._workers = _live_workers(self._folder, now_s)
        self._traffic.take(self._workers, now_s)
        if now_s - self._keys_read_s >= KEYS_EVERY_S:
            self._keys, self._keys_read_s = self._read_keys(), now_s

    def direct(self, world: World, seen: Observation) -> None:
        """Publish routes where they have changed. O(records), O(1) where the log and what is seen are as they were."""
        if self._directed == (world.seq, self._keys) and seen is self._seen:
            return
        self._directed, self._seen = (world.seq, self._keys), seen
        version = self._routes.version + 1
        fresh = routes_of(world, seen, self._keys, version, self._reaching)
        if msgspec.structs.replace(fresh, version=self._routes.version) == self._routes:
            return
        try:
            write_routes(self._folder, fresh)
        except OSError as error:
            self._directed = None
            raise Unavailable(
                f"The gateway cannot be told who serves: {error.strerror or error}.",
                remedy=f"Make room in {self._folder}; it goes on with the routes that it has.",
            ) from error
        for target in _targets(self._routes) - _targets(fresh):
            self._gone[target] = version
        self._routes = fresh
        self._ready = _ready(fresh)

    def reach(self, record: Record, seen: Observation) -> Reach | None:
        """How the live attempt of a service's replica is to be reached, as its routes will say."""
        attempt = record.attempt
        if attempt is None or record.workload.kind is not Kind.SERVE:
            return None
        node, addresses = attempt.placements[0].node, self._reaching.addresses(seen)
        return self._reaching.of(record.key, attempt.number, node, addresses)

    def windows(self, service: str, since_s: float) -> Mapping[int, Window]:
        """Traffic of each revision since then, as far back as it is known."""
        return self._traffic.windows(service, since_s)

    def demand(self, service: str, now_s: float) -> Demand:
        return self._traffic.demand(service, self._workers, self._ready.get(service, 0), now_s)

    def arrived(self, service: str) -> int:
        """How many requests came since this controller began to listen."""
        return self._traffic.arrived(service)

    def is_done_with(self, record: Record, now_s: float) -> bool:
        """Whether no gateway sends it anything any more, and all it was sent is answered; or it has had its time."""
        attempt, service = record.attempt, record.workload.service
        if record.workload.kind is not Kind.SERVE or attempt is None or service is None:
            return True
        if attempt.stopping_s is None or now_s - attempt.stopping_s >= service.drain_s:
            return True
        if not self._workers and any(self._folder.glob(STATS)):
            return False  # they are silent: what they have in hand is not known
        target = f"{record.key}:{attempt.number}"
        since = self._gone.get(target, self._routes.version)
        done = all(w.routes_version >= since and not w.in_flight.get(target) for w in self._workers)
        if done:
            self._gone.pop(target, None)
        return done


def own_addresses() -> frozenset[str]:
    """Under which this machine is reached from itself."""
    found = {address.address for addresses in psutil.net_if_addrs().values() for address in addresses}
    return frozenset({"localhost", *found})


def _targets(routes: Routes) -> set[str]:
    return {
        f"{target.key}:{target.attempt}"
        for route in routes.routes
        for revision in route.revisions
        for target in revision.targets
    }


def _ready(routes: Routes) -> dict[str, int]:
    """How many replicas may be asked, by service."""
    return {
        route.service: sum(len(revision.targets) for revision in route.revisions) for route in routes.routes
    }


def _live_workers(folder: Path, now_s: float) -> list[WorkerStats]:
    found = (_read(path, WorkerStats) for path in sorted(folder.glob(STATS)))
    return [stats for stats in found if stats is not None and now_s - stats.at_s < SILENT_S]


def _read(path: Path, kind: type[_S]) -> _S | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        log.warning("a file of the gateway cannot be read", path=str(path), error=str(error))
        return None
