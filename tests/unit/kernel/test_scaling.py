"""When a service gets more replicas, fewer, or none: from what is asked, through delays, to what is written down."""

import itertools

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.building import running, workload

from suanli.domain import events as ev
from suanli.domain.record import Record
from suanli.domain.service import Phase, Revision, ServiceRecord
from suanli.domain.service_transition import apply_to_service
from suanli.domain.traffic import Demand
from suanli.domain.workload import Access, Kind, Scaling, Service, Workload
from suanli.kernel.scaling import scaled, startup_s, wish_of
from suanli.policies.autoscale.delays import Wish, Wishes
from suanli.policies.autoscale.wanted import Seen

UP_S, DOWN_S = 2.0, 60.0


def chat(replicas: int = 1, *, fewest: int = 1, most: int = 8, **more: object) -> ServiceRecord:
    """A service that serves, with one ongoing request a replica as its target."""
    declared = Service(
        replicas_min=fewest,
        replicas_max=most,
        scaling=Scaling(metric="concurrency", target=1.0, upscale_delay_s=UP_S, downscale_delay_s=DOWN_S),
        access=Access(concurrency=1),
        idle_s=300.0,
    )
    workload = Workload(name="chat", kind=Kind.SERVE, run=("serve",), service=declared)
    revision = Revision(number=1, workload=workload, made_s=0.0, actor="test")
    service = ServiceRecord(name="chat", revisions=(revision,), target=1, settled=1, phase=Phase.STEADY)
    return msgspec.structs.replace(service, replicas=replicas, **more)


def ongoing(count: float, **more: object) -> Demand:
    return Demand(known=True, ongoing=float(count), in_flight=int(count), idle_s=0.0, **more)  # type: ignore[arg-type]


class Life:
    """A service that gets what it is told, at once; `changes` are (instant, count)."""

    def __init__(self, service: ServiceRecord) -> None:
        self.service = service
        self.wishes = Wishes()
        self.changes: list[tuple[float, int]] = []

    def see(self, now_s: float, demand: Demand) -> None:
        wish = wish_of(self.service, Seen(demand=demand, ready=self.service.replicas), self.wishes, now_s)
        event = scaled(self.service, demand, wish, now_s)
        if event is not None:
            entry = ev.Entry(seq=1, at_s=now_s, actor="test", event=event)
            self.service = apply_to_service(self.service, entry)
            self.changes.append((now_s, event.replicas))


Levels = list[tuple[float | None, float]]
"""Ongoing requests, None while no gateway says anything, and for how many seconds."""

levels = st.lists(
    st.tuples(st.one_of(st.none(), st.floats(0.0, 20.0)), st.floats(0.5, 90.0)), min_size=1, max_size=20
)


def live(life: Life, pattern: Levels, tick_s: float) -> list[tuple[float, Demand]]:
    now_s, seen = 0.0, list[tuple[float, Demand]]()
    for level, length_s in pattern:
        until_s = now_s + length_s
        while now_s < until_s:
            demand = Demand() if level is None else ongoing(level)
            life.see(now_s, demand)
            seen.append((now_s, demand))
            now_s += tick_s
    return seen


@settings(deadline=None)
@given(levels, st.sampled_from([0.5, 1.0, 5.0]))
def test_within_a_down_delay_the_direction_changes_at_most_once(pattern: Levels, tick_s: float) -> None:
    life = Life(chat())
    live(life, pattern, tick_s)
    counts = [(0.0, 1), *life.changes]
    rises = [(at_s, count > before) for (_, before), (at_s, count) in itertools.pairwise(counts)]
    for i, (began_s, _) in enumerate(rises):
        within = [up for at_s, up in rises[i:] if at_s < began_s + DOWN_S]
        assert sum(a != b for a, b in itertools.pairwise(within)) <= 1


@settings(deadline=None)
@given(levels, st.integers(1, 3), st.integers(3, 8))
def test_the_range_is_kept_and_nothing_changes_while_nothing_is_known(
    pattern: Levels, fewest: int, most: int
) -> None:
    life = Life(chat(fewest, fewest=fewest, most=most))
    unknown = {now_s for now_s, demand in live(life, pattern, 1.0) if not demand.known}
    assert all(fewest <= count <= most for _, count in life.changes)
    assert not unknown & {at_s for at_s, _ in life.changes}


def test_after_telemetry_was_lost_a_whole_delay_is_seen_before_any_replica_ends() -> None:
    life = Life(chat())
    live(life, [(4.0, 100.0), (1.0, DOWN_S - 10.0), (None, 30.0), (1.0, DOWN_S + 10.0)], 1.0)
    began_s = 100.0 + DOWN_S - 10.0 + 30.0
    assert life.changes == [(UP_S, 4), (began_s + DOWN_S, 1)]


def test_a_service_that_may_have_none_sleeps_when_idle_and_wakes_for_the_first_request() -> None:
    asleep = chat(1, fewest=0)
    idle = Demand(known=True, idle_s=299.0)
    assert scaled(asleep, idle, None, 1000.0) is None
    event = scaled(asleep, msgspec.structs.replace(idle, idle_s=300.0), None, 1000.0)
    assert event is not None
    assert (event.replicas, event.why) == (0, "no request for 300 s")
    none = chat(0, fewest=0)
    assert scaled(none, ongoing(0.0), None, 1000.0) is None
    waked = scaled(none, ongoing(0.0, waiting=1), None, 1000.0)
    assert waked is not None
    assert (waked.replicas, waked.why) == (1, "a request waits")


def test_a_burst_wakes_as_many_as_it_needs() -> None:
    life = Life(chat(0, fewest=0))
    life.see(0.0, ongoing(5.0, waiting=5))
    assert life.changes == [(0.0, 5)]


def test_one_that_waits_or_is_answered_keeps_a_service_awake() -> None:
    service = chat(1, fewest=0)
    for busy in (Demand(known=True, idle_s=400.0, in_flight=1), Demand(known=True, idle_s=400.0, waiting=1)):
        assert scaled(service, busy, None, 1000.0) is None


def test_while_a_revision_takes_over_replicas_are_added_but_not_ended() -> None:
    updating = chat(3, phase=Phase.UPDATING)
    assert scaled(updating, ongoing(1.0), Wish(now=1, why="", at_least=1, at_most=1), 0.0) is None
    more = scaled(updating, ongoing(6.0), Wish(now=6, why="", at_least=6, at_most=6), 0.0)
    assert more is not None
    assert more.replicas == 6


def test_a_paused_service_and_one_that_is_not_ours_to_scale_stay_as_they_are() -> None:
    wish = Wish(now=6, why="", at_least=6, at_most=6)
    assert scaled(chat(2, phase=Phase.PAUSED), ongoing(6.0), wish, 0.0) is None
    fixed = Life(chat(2, fewest=2, most=2))
    live(fixed, [(9.0, 30.0)], 1.0)
    assert fixed.changes == []


def test_how_long_replicas_take_to_start_is_the_median_of_those_that_run() -> None:
    def replica(number: int, took_s: float | None) -> Record:
        one = running(workload(f"chat/{number}"), "n0")
        assert one.attempt is not None
        ready_s = None if took_s is None else one.attempt.placed_s + took_s
        return msgspec.structs.replace(one, attempt=msgspec.structs.replace(one.attempt, ready_s=ready_s))

    assert startup_s([]) is None
    assert startup_s([replica(0, None)]) is None
    assert startup_s([replica(0, 3.0), replica(1, 90.0), replica(2, 4.0), replica(3, None)]) == 4.0
