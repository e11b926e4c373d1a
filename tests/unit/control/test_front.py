"""What gateways are told, what is heard from them, and when a replica may end."""

from pathlib import Path

import msgspec
import pytest
from tests.building import fleet, node

from suanli.control.front import Front
from suanli.control.reach import KEPT_IN, Reach, Reaching, secret_in
from suanli.control.routing import routes_of
from suanli.control.traffic import Traffic
from suanli.domain import events as ev
from suanli.domain.errors import Unavailable
from suanli.domain.observation import AttemptView, NodeView, Observation, Phase
from suanli.domain.record import Placement
from suanli.domain.resources import Share
from suanli.domain.traffic import BUCKETS, Counted
from suanli.domain.workload import Access, EndCause, Kind, ModelUse, Service, TokenPrice, Workload
from suanli.domain.world import World
from suanli.serving.gateway.routes import Key, Revision, Routes, Target
from suanli.serving.gateway.stats import ServiceStats, WorkerStats

CHAT = Workload(
    name="chat",
    kind=Kind.SERVE,
    run=("serve",),
    service=Service(),
    model=ModelUse(ref="m@prod", name="m", number=1),
)
HERE = Reaching(frozenset({"10.0.0.1"}))
NODES = (
    NodeView(name="near", seen=node("near"), address="10.0.0.1"),
    NodeView(name="far", seen=node("far"), address="10.0.0.2"),
)


class Told:
    """A world with a service of two revisions, one replica each: the first near, the second far."""

    def __init__(self) -> None:
        self.world = World()
        self.tell(ev.Revised(service="chat", number=1, workload=CHAT))
        self.replica("chat/0", "near", 1)
        self.tell(ev.Settled(service="chat", number=1))
        self.tell(ev.Revised(service="chat", number=2, workload=CHAT))
        self.replica("chat/1", "far", 2)
        self.seen = Observation(
            incarnation="i",
            nodes=NODES,
            attempts=tuple(
                AttemptView(key=key, number=1, phase=Phase.READY, port=port)
                for key, port in (("chat/0", 8000), ("chat/1", 8001))
            ),
        )

    def tell(self, *events: ev.Event) -> None:
        for event in events:
            self.world.fold(ev.Entry(seq=self.world.seq + 1, at_s=100.0, actor="test", event=event))

    def replica(self, key: str, on: str, revision: int) -> None:
        number = int(key.rpartition("/")[2])
        self.tell(
            ev.Submitted(key=key, workload=CHAT, replica=number, revision=revision),
            ev.Placed(key=key, number=1, placements=(Placement(on, Share(cpus=1.0)),)),
            ev.Started(key=key, number=1),
            ev.Ready(key=key, number=1),
        )

    def routes(self, version: int = 1) -> Routes:
        return routes_of(self.world, self.seen, (), version, HERE)


def shares(routes: Routes) -> dict[int, float]:
    return {revision.number: revision.share for revision in routes.routes[0].revisions}


def test_a_route_names_the_service_its_model_and_who_answers_on_loopback_where_it_is_here() -> None:
    (route,) = Told().routes().routes
    assert route.models == ("chat", "m@prod", "m")
    assert route.revisions == (
        Revision(
            number=1, share=0.5, targets=(Target(key="chat/0", attempt=1, host="127.0.0.1", port=8000),)
        ),
        Revision(number=2, share=0.5, targets=(Target(key="chat/1", attempt=1, host="10.0.0.2", port=8001),)),
    )


def test_a_replica_is_told_the_very_address_and_token_that_its_route_has_and_each_another(
    tmp_path: Path,
) -> None:
    told = Told()
    reaching = Reaching(frozenset({"10.0.0.1"}), secret_in(tmp_path))
    (route,) = routes_of(told.world, told.seen, (), 1, reaching).routes
    front = Front(tmp_path, lambda: (), Reaching(frozenset({"10.0.0.1"}), secret_in(tmp_path)))
    tokens = set[str]()
    for target in (target for revision in route.revisions for target in revision.targets):
        reach = front.reach(told.world.records[target.key], told.seen)
        assert reach == Reach(target.host, target.token)
        tokens.add(target.token)
    assert len(tokens) == 2
    assert all(len(token) == 64 for token in tokens)
    assert (tmp_path / KEPT_IN).stat().st_mode & 0o777 == 0o600


def test_traffic_goes_by_the_shares_in_force_and_never_to_who_cannot_answer() -> None:
    told = Told()
    told.tell(ev.Shifted(service="chat", step=1, shares={1: 0.9, 2: 0.1}))
    assert shares(told.routes()) == {1: 0.9, 2: 0.1}
    told.tell(ev.StopRequested(key="chat/0"))
    assert shares(told.routes()) == {2: 1.0}
    told.tell(ev.StopRequested(key="chat/1"))
    assert shares(told.routes()) == {}
    told.tell(ev.ServicePaused(service="chat"))
    assert told.routes().routes[0].hold_s == 0.0
    told.tell(ev.ServiceEnded(service="chat"))
    assert told.routes().routes == ()


def test_a_second_of_a_replica_costs_its_part_of_its_node_and_draws_its_part_of_the_power() -> None:
    told = Told()
    priced = node("near", cpus=4.0, price_per_hour=3.6, max_power_w=200.0)
    told.tell(
        ev.FleetDeclared(fleet=fleet(priced, node("far", cpus=2.0, price_per_hour=3.6, max_power_w=200.0)))
    )
    price = told.routes().routes[0].price
    assert (price.usd_per_s, price.watts) == pytest.approx(((0.00025 + 0.0005) / 2, (50.0 + 100.0) / 2))


def test_where_prices_of_tokens_are_declared_they_take_the_place_of_the_seconds_price() -> None:
    told = Told()
    told.tell(ev.FleetDeclared(fleet=fleet(node("near", price_per_hour=3.6, max_power_w=200.0))))
    second = told.routes().routes[0].price
    access = Access(price=TokenPrice(usd_per_million_in=0.15, usd_per_million_out=0.6))
    priced = msgspec.structs.replace(CHAT, service=Service(access=access))
    told.tell(ev.Revised(service="chat", number=3, workload=priced), ev.Settled(service="chat", number=3))
    price = told.routes().routes[0].price
    assert (price.usd_per_token_in, price.usd_per_token_out) == pytest.approx((0.15e-6, 0.6e-6))
    assert (price.usd_per_s, price.watts) == (0.0, second.watts)
    assert min(second.usd_per_s, second.watts) > 0


def worker(version: int, at_s: float = 200.0, pid: int = 1, **in_flight: int) -> WorkerStats:
    flying = {key.replace("_", "/") + ":1": count for key, count in in_flight.items()}
    return WorkerStats(pid=pid, started_s=1.0, at_s=at_s, routes_version=version, in_flight=flying)


def write(folder: Path, *workers: WorkerStats) -> None:
    for slot, stats in enumerate(workers):
        (folder / f"worker-{slot}.json").write_bytes(msgspec.json.encode(stats))


def test_a_replica_ends_once_every_worker_follows_and_has_its_answers_or_when_its_time_is_up(
    tmp_path: Path,
) -> None:
    told = Told()
    front = Front(tmp_path, lambda: (), HERE)
    front.hear(200.0)
    front.direct(told.world, told.seen)
    write(tmp_path, worker(front.routes.version), worker(front.routes.version, pid=2, chat_0=1))
    told.tell(ev.StopBegun(key="chat/0", number=1, cause=EndCause.STOPPED))
    record = told.world.records["chat/0"]
    front.hear(101.0)
    front.direct(told.world, told.seen)
    assert not front.is_done_with(record, 101.0)
    version = front.routes.version
    write(tmp_path, worker(version), worker(version, pid=2, chat_0=1))
    front.hear(101.0)
    front.direct(told.world, told.seen)
    assert not front.is_done_with(record, 101.0)
    write(tmp_path, worker(version), worker(version, pid=2))
    front.hear(101.0)
    front.direct(told.world, told.seen)
    assert front.is_done_with(record, 101.0)
    write(tmp_path, worker(version - 1), worker(version - 1, pid=2, chat_0=1))
    front.hear(101.0)
    front.direct(told.world, told.seen)
    assert front.is_done_with(record, 100.0 + CHAT.service.drain_s)  # type: ignore[union-attr]


def test_while_workers_are_silent_a_replica_is_given_its_time(tmp_path: Path) -> None:
    told = Told()
    front = Front(tmp_path, lambda: (), HERE)
    front.hear(100.0)
    front.direct(told.world, told.seen)
    write(tmp_path, worker(front.routes.version, chat_0=1))
    told.tell(ev.StopBegun(key="chat/0", number=1, cause=EndCause.STOPPED))
    record = told.world.records["chat/0"]
    front.hear(10_000.0)  # the clock was set, or the machine slept: nobody counts as heard
    assert not front.is_done_with(record, 101.0)
    assert front.is_done_with(record, 100.0 + CHAT.service.drain_s)  # type: ignore[union-attr]


def test_routes_that_cannot_be_written_are_an_error_that_says_so_and_are_tried_again(tmp_path: Path) -> None:
    told = Told()
    in_the_way = tmp_path / "gateway"
    front = Front(in_the_way, lambda: (), HERE)
    in_the_way.write_text("")
    with pytest.raises(Unavailable, match="cannot be told who serves"):
        front.direct(told.world, told.seen)
    in_the_way.unlink()
    front.direct(told.world, told.seen)
    assert front.routes.version == 1


def test_routes_are_numbered_on_by_the_next_controller_and_written_only_where_they_changed(
    tmp_path: Path,
) -> None:
    told = Told()
    keys = [Key(name="a", digest="d")]
    front = Front(tmp_path, lambda: tuple(keys), HERE)
    front.hear(100.0)
    front.direct(told.world, told.seen)
    written = (tmp_path / "routes.json").stat()
    front.hear(102.0)
    front.direct(told.world, told.seen)
    assert (tmp_path / "routes.json").stat().st_mtime_ns == written.st_mtime_ns
    again = Front(tmp_path, lambda: tuple(keys), HERE)
    again.hear(103.0)
    again.direct(told.world, told.seen)
    assert again.routes == front.routes
    keys.append(Key(name="b", digest="e"))
    again.hear(105.0)
    again.direct(told.world, told.seen)
    assert (again.routes.version, [key.name for key in again.routes.keys]) == (
        front.routes.version + 1,
        ["a", "b"],
    )


def counted(requests: int, bucket: int = 10) -> dict[str, ServiceStats]:
    latency = [0] * BUCKETS
    latency[bucket] = requests
    seen = Counted(requests=requests, failed=requests // 10, latency=latency)
    return {"chat": ServiceStats(arrived=requests, waiting=2, in_flight=1, by_revision={"1": seen})}


def stats(requests: int, at_s: float, *, pid: int = 1, started_s: float = 0.0) -> WorkerStats:
    return WorkerStats(pid=pid, started_s=started_s, at_s=at_s, routes_version=1, services=counted(requests))


def test_counts_that_only_grow_become_what_came_since_whoever_restarts() -> None:
    traffic = Traffic()
    traffic.take([stats(1000, 10.0)], 10.0)
    assert traffic.windows("chat", 0.0) == {}, "what was counted before it was first seen is nobody's"
    traffic.take([stats(1040, 11.0)], 11.0)
    traffic.take([stats(1100, 12.0)], 12.0)
    assert {n: (w.requests, w.failed, sum(w.latency)) for n, w in traffic.windows("chat", 10.5).items()} == {
        1: (100, 10, 100)
    }
    assert traffic.windows("chat", 11.5)[1].requests == 60
    traffic.take([stats(7, 13.0, pid=2, started_s=12.5)], 13.0)
    assert traffic.windows("chat", 12.5)[1].requests == 7, "a new worker counts from nothing"
    traffic.take([stats(9, 13.5, pid=2, started_s=12.5)], 13.5)
    assert traffic.windows("chat", 12.5)[1].requests == 9


def test_what_waits_now_is_told_as_it_is_and_silence_is_not_nothing() -> None:
    traffic = Traffic()
    workers = [stats(10, 10.0), stats(20, 10.0, pid=2)]
    traffic.take(workers, 10.0)
    demand = traffic.demand("chat", workers, 1, 10.0)
    assert (demand.known, demand.waiting, demand.in_flight) == (True, 4, 2)
    assert not traffic.demand("chat", [], 1, 20.0).known
