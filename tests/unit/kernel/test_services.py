"""How many replicas there are, of which revision, and who gets the traffic: from the first one to the last."""

from collections.abc import Callable

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from suanli.domain import events as ev
from suanli.domain.record import Placement, Record, Status
from suanli.domain.resources import Share
from suanli.domain.service import Phase
from suanli.domain.traffic import BUCKETS, Demand, Window, bucket_of
from suanli.domain.workload import EndCause, Kind, Service, Update, Workload
from suanli.domain.world import World
from suanli.kernel.services import Sight, is_ready, tend

ANSWER_S = 0.05


def chat(*, say: str = "hello", **more: object) -> Workload:
    return Workload(name="chat", kind=Kind.SERVE, run=("serve", say), service=Service(**more))  # type: ignore[arg-type]


class Life:
    """A service, second by second: replicas take 2 s until they are ready, and each has room unless there is none."""

    def __init__(
        self, *, room: int = 1000, traffic: int = 100, bad: Callable[[Workload], bool] | None = None
    ) -> None:
        self.world = World()
        self.now_s = 0.0
        self.room, self.traffic = room, traffic
        self.bad = bad or (lambda workload: False)
        self.dies: Callable[[Workload], bool] = lambda workload: False
        self.demand = Demand(known=True, idle_s=0.0)
        self.draining: frozenset[str] = frozenset()
        self.against = ""
        self.ready_fewest = 1000
        self.windows: dict[int, list[Window]] = {}
        self.ages: dict[str, int] = {}

    def tell(self, *events: ev.Event) -> None:
        for event in events:
            self.world.fold(ev.Entry(seq=self.world.seq + 1, at_s=self.now_s, actor="test", event=event))

    def revise(self, workload: Workload) -> None:
        service = self.world.services.get("chat")
        self.tell(ev.Revised(service="chat", number=service.next_number if service else 1, workload=workload))

    @property
    def service(self):
        return self.world.services["chat"]

    @property
    def replicas(self) -> tuple[Record, ...]:
        return tuple(self.world.records.values())

    def ready(self, revision: int | None = None) -> int:
        return sum(is_ready(r) and revision in (None, r.revision) for r in self.replicas)

    def live(self, revision: int | None = None) -> int:
        return sum(r.status.is_live and revision in (None, r.revision) for r in self.replicas)

    def second(self) -> tuple[ev.Event, ...]:
        since_s = self.service.step_s
        self._serve()
        sight = Sight(
            replicas=self.replicas,
            windows={n: _sum(w[int(since_s) :]) for n, w in self.windows.items()},
            demand=self.demand,
            against=self.against,
            draining=self.draining,
        )
        events = tend(self.service, sight, self.now_s)
        self.tell(*events)
        again = tend(
            self.service, msgspec.structs.replace(sight, replicas=self.replicas, windows={}), self.now_s
        )
        assert not _keys(events) & _keys(again)
        self._run()
        self.now_s += 1.0
        self.ready_fewest = min(self.ready_fewest, self.ready())
        return events

    def play(self, seconds: int = 600) -> "Life":
        """Until it is steady (or for so long)."""
        for _ in range(seconds):
            self.second()
            if self.service.phase is not Phase.UPDATING and not any(
                r.stop_requested for r in self._unfinished()
            ):
                break
        return self

    def seconds(self, count: int) -> None:
        for _ in range(count):
            self.second()

    def _unfinished(self) -> list[Record]:
        return [r for r in self.replicas if not r.status.is_final]

    def _serve(self) -> None:
        """Traffic goes by the shares, else evenly to whatever is ready."""
        ready = {n: self.ready(n) for n in {r.revision for r in self.replicas} if self.ready(n)}
        shares = {n: s for n, s in self.service.shares.items() if n in ready} or ready
        for number in {r.revision for r in self.replicas} | self.windows.keys():
            history = self.windows.setdefault(number, [])
            history += [Window()] * (int(self.now_s) - len(history))
            share = shares.get(number, 0) / sum(shares.values()) if shares else 0
            count = round(self.traffic * share)
            revision = self.service.revision(number)
            failed = count if revision is not None and self.bad(revision.workload) else 0
            latency = [0] * BUCKETS
            latency[bucket_of(ANSWER_S)] = count
            history.append(Window(length_s=1.0, requests=count, failed=failed, latency=tuple(latency)))

    def _run(self) -> None:
        """Places what waits where there is room, lets it start, and ends what shall end."""
        for record in self.replicas:
            number, key = record.attempts_made, record.key
            age = self.ages[key] = self.ages.get(key, 0) + 1
            if record.status is Status.WAITING and self.live() < self.room:
                node = f"n{self.live()}"
                self.tell(
                    ev.Placed(key=key, number=number + 1, placements=(Placement(node, Share(cpus=1.0)),))
                )
                self.ages[key] = 0
            elif record.status is Status.STARTING:
                self.tell(ev.Started(key=key, number=number))
            elif record.status is Status.RUNNING and record.stop_requested:
                self.tell(ev.StopBegun(key=key, number=number, cause=EndCause.STOPPED))
            elif record.status is Status.STOPPING:
                self.tell(ev.Ended(key=key, number=number, cause=EndCause.STOPPED))
            elif record.status is Status.RUNNING and self.dies(record.workload):
                self.tell(
                    ev.Ended(key=key, number=number, cause=EndCause.FAILED, exit_code=1, detail="no model")
                )
            elif record.status is Status.RUNNING and not is_ready(record) and age >= 2:
                self.tell(ev.Ready(key=key, number=number))


def _keys(events: tuple[ev.Event, ...]) -> set[str]:
    return {event.key for event in events if isinstance(event, ev.WorkloadEvent)}


def _sum(windows: list[Window]) -> Window:
    return Window(
        length_s=float(len(windows)),
        requests=sum(w.requests for w in windows),
        failed=sum(w.failed for w in windows),
        latency=tuple(map(sum, zip(*(w.latency for w in windows if w.latency), strict=True))),
    )


def test_a_new_service_gets_its_replicas_and_settles() -> None:
    life = Life()
    life.revise(chat(replicas_min=3, replicas_max=3))
    life.play()
    assert (life.ready(), life.service.settled, life.service.phase) == (3, 1, Phase.STEADY)
    assert sorted(life.world.records) == ["chat/0", "chat/1", "chat/2"]


def test_a_rolling_update_replaces_one_after_another_and_never_serves_with_fewer() -> None:
    life = Life()
    life.revise(chat(replicas_min=3, replicas_max=3))
    life.play()
    life.revise(chat(say="bye", replicas_min=3, replicas_max=3))
    life.ready_fewest, most = 1000, 0
    while life.service.phase is Phase.UPDATING:
        life.second()
        most = max(most, life.live())
    assert (life.ready(2), life.live(1), life.ready_fewest) == (3, 0, 3)
    assert most <= 4 + 1  # one more than wanted, and one that has been told to end


def test_without_room_for_more_a_rolling_update_goes_on_where_it_may_serve_with_fewer() -> None:
    life = Life(room=2)
    life.revise(chat(replicas_min=2, replicas_max=2))
    life.play()
    update = Update(surge=0, unavailable=1)
    life.revise(chat(say="bye", replicas_min=2, replicas_max=2, update=update))
    life.ready_fewest = 1000
    life.play()
    assert (life.ready(2), life.live(1), life.ready_fewest) == (2, 0, 1)


CANARY = Update(strategy="canary", steps=(0.05, 0.25, 1.0), window_s=20.0)


def test_a_canary_gets_growing_shares_of_traffic_and_takes_over() -> None:
    life = Life()
    life.revise(chat(replicas_min=4, replicas_max=4))
    life.play()
    life.revise(chat(say="bye", replicas_min=4, replicas_max=4, update=CANARY))
    assert life.service.shares == {1: 1.0}
    seen: list[dict[int, float]] = []
    life.ready_fewest = 1000
    while life.service.phase is Phase.UPDATING:
        seen += [e.shares for e in life.second() if isinstance(e, ev.Shifted)]
    assert seen == [{1: 0.95, 2: 0.05}, {1: 0.75, 2: 0.25}, {2: 1.0}]
    assert (life.ready(2), life.service.settled) == (4, 2)
    assert life.ready_fewest >= 4


def test_a_bad_canary_is_taken_back_within_two_windows_and_those_that_served_go_on() -> None:
    life = Life(bad=lambda workload: workload.run[-1] == "bad")
    life.revise(chat(replicas_min=2, replicas_max=2))
    life.play()
    life.revise(chat(say="bad", replicas_min=2, replicas_max=2, update=CANARY))
    began_s = life.now_s
    life.ready_fewest = 1000
    life.play()
    bad = life.service.revision(2)
    assert bad is not None
    assert "requests failed" in bad.taken_back
    assert life.now_s - began_s <= 2 * CANARY.window_s
    assert (life.service.target, life.service.phase, life.ready(1), life.live(2)) == (1, Phase.STEADY, 2, 0)
    assert life.ready_fewest >= 2


def test_a_canary_is_taken_back_for_what_is_measured_of_its_model_meanwhile() -> None:
    life = Life()
    life.revise(chat(replicas_min=2, replicas_max=2))
    life.play()
    life.revise(chat(say="bye", replicas_min=2, replicas_max=2, update=CANARY))
    life.seconds(int(CANARY.window_s))
    assert life.service.phase is Phase.UPDATING
    life.against = "accuracy on reviews is 0.7, at least 0.9 is asked"
    life.play()
    assert (life.service.target, life.ready(1), life.live(2)) == (1, 2, 0)
    bad = life.service.revision(2)
    assert bad is not None
    assert bad.taken_back == life.against


def test_a_revision_that_somebody_went_back_to_is_not_taken_back_for_what_it_answers() -> None:
    life = Life(bad=lambda workload: workload.run[-1] == "bad")
    life.revise(chat(replicas_min=2, replicas_max=2))
    life.play()
    going_back = ev.Revised(
        service="chat", number=2, workload=chat(say="bad", replicas_min=2), origin="rollback to 1"
    )
    life.tell(going_back)
    life.play()
    assert (life.service.settled, life.service.target) == (2, 2)


def test_blue_green_moves_all_traffic_at_once_and_back_where_it_is_bad() -> None:
    life = Life(bad=lambda workload: workload.run[-1] == "bad")
    life.revise(chat(replicas_min=2, replicas_max=2))
    life.play()
    life.revise(
        chat(say="bad", replicas_min=2, replicas_max=2, update=Update(strategy="blue-green", window_s=20.0))
    )
    shares: list[dict[int, float]] = []
    for _ in range(60):
        life.second()
        if life.service.shares not in shares:
            shares.append(life.service.shares)
    assert shares[:3] == [{1: 1.0}, {2: 1.0}, {1: 1.0}] or shares[:2] == [{1: 1.0}, {2: 1.0}]
    assert (life.service.target, life.ready(1), life.live(2)) == (1, 2, 0)


def test_a_revision_that_cannot_start_is_taken_back_and_says_why() -> None:
    life = Life()
    life.revise(chat(replicas_min=2, replicas_max=2))
    life.play()
    life.dies = lambda workload: workload.run[-1] == "broken"
    life.revise(chat(say="broken", replicas_min=2, replicas_max=2))
    life.play()
    broken = life.service.revision(2)
    assert broken is not None
    assert broken.taken_back == "chat/2 failed 1 times: no model"
    assert (life.service.target, life.ready(1)) == (1, 2)


def test_what_has_failed_for_good_is_not_made_again_and_again() -> None:
    life = Life()
    life.dies = lambda workload: True
    life.revise(chat(replicas_min=2, replicas_max=2))
    life.play(60)
    assert [(r.key, r.status) for r in life.replicas] == [
        ("chat/0", Status.FAILED),
        ("chat/1", Status.FAILED),
    ]


def test_from_zero_the_first_request_wakes_it_and_without_requests_it_sleeps_again() -> None:
    life = Life()
    life.revise(chat(replicas_min=0, replicas_max=2, idle_s=30.0))
    life.play()
    assert life.live() == 0
    life.demand = Demand(known=True, waiting=1)
    life.seconds(6)
    assert (life.ready(), life.service.replicas, life.service.why) == (1, 1, "a request waits")
    life.demand = Demand(known=True, idle_s=29.0)
    life.seconds(40)
    assert life.ready() == 1
    life.demand = Demand(known=True, idle_s=31.0)
    life.seconds(5)
    assert (life.live(), life.service.replicas) == (0, 0)


def test_without_word_from_a_gateway_nothing_sleeps_and_no_step_is_taken() -> None:
    life = Life()
    life.revise(chat(replicas_min=2, replicas_max=2))
    life.play()
    life.demand = Demand(known=False)
    life.revise(chat(say="bye", replicas_min=2, replicas_max=2, update=CANARY))
    life.seconds(300)
    assert life.service.shares == {1: 0.95, 2: 0.05}


def test_a_node_that_is_emptied_keeps_its_replica_until_another_stands_in() -> None:
    life = Life()
    life.revise(chat(replicas_min=2, replicas_max=2))
    life.play()
    (moved,) = (r.key for r in life.replicas if r.attempt and r.attempt.placements[0].node == "n1")
    life.draining = frozenset({"n1"})
    life.ready_fewest = 1000
    life.seconds(10)
    assert life.ready_fewest == 2
    assert (life.ready(), life.world.records[moved].status) == (2, Status.STOPPED)


def test_paused_and_ended_services_have_no_replicas_and_resume_with_all() -> None:
    life = Life()
    life.revise(chat(replicas_min=2, replicas_max=2))
    life.play()
    life.tell(ev.ServicePaused(service="chat"))
    life.demand = Demand(known=True, waiting=3)
    life.seconds(10)
    assert life.live() == 0
    life.tell(ev.ServiceResumed(service="chat"))
    life.seconds(10)
    assert life.ready() == 2
    life.tell(ev.ServiceEnded(service="chat"))
    life.seconds(10)
    assert life.live() == 0


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["good", "bad", "broken"]),
            st.sampled_from(["rolling", "blue-green", "canary"]),
            st.integers(1, 4),
            st.integers(1, 2),
            st.integers(0, 12),
        ),
        min_size=1,
        max_size=4,
    ),
)
def test_whatever_is_declared_one_after_another_it_comes_to_rest_with_the_last_good_one(
    declared: list[tuple[str, str, int, int, int]],
) -> None:
    life = Life(bad=lambda workload: workload.run[-1].startswith("bad"))
    life.revise(chat(say="good", replicas_min=2, replicas_max=4))
    life.play()
    life.dies = lambda workload: workload.run[-1].startswith("broken")
    for i, (how, strategy, replicas, surge, seconds) in enumerate(declared):
        update = Update(strategy=strategy, steps=(0.2, 1.0), surge=surge, window_s=5.0)
        life.revise(chat(say=f"{how}-{i}", replicas_min=replicas, replicas_max=4, update=update))
        for _ in range(seconds):
            life.second()
    life.play()
    assert life.service.phase is Phase.STEADY
    target = life.service.target
    assert life.ready(target) == life.ready() == life.live() == life.service.replicas
    if declared[-1][0] == "good":
        assert target == len(declared) + 1
    elif declared[-1][0] == "broken":
        assert target != len(declared) + 1
