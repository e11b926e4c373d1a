"""The world is the fold of the log, however it is folded."""

from hypothesis import given
from hypothesis import strategies as st

from suanli.domain import events as ev
from suanli.domain.errors import IllegalTransition
from suanli.domain.fleet import Fleet
from suanli.domain.record import Placement
from suanli.domain.resources import Share
from suanli.domain.workload import EndCause, Kind, Service, Workload
from suanli.domain.world import DEFAULT_POLICY, World

KEYS = st.sampled_from(["a", "b", "c/0"])
NUMBERS = st.integers(1, 3)
PLACED = (Placement("n1", Share(cpus=1.0)),)
SERVING = Workload(name="a", kind=Kind.SERVE, run=("serve",), service=Service())
JOB = Workload(name="a", kind=Kind.JOB, run=("true",))

EVENTS = st.one_of(
    st.builds(ev.Submitted, key=KEYS, workload=st.just(JOB)),
    st.builds(ev.Held, key=KEYS),
    st.builds(ev.Released, key=KEYS),
    st.builds(ev.Placed, key=KEYS, number=NUMBERS, placements=st.just(PLACED)),
    st.builds(ev.Started, key=KEYS, number=NUMBERS),
    st.builds(ev.Checkpointed, key=KEYS, number=NUMBERS, step=st.integers(0, 9)),
    st.builds(ev.StopBegun, key=KEYS, number=NUMBERS, cause=st.just(EndCause.PREEMPTED)),
    st.builds(ev.Ended, key=KEYS, number=NUMBERS, cause=st.sampled_from(EndCause)),
    st.builds(ev.StopRequested, key=KEYS),
    st.builds(ev.Retried, key=KEYS),
    st.builds(ev.NodeCordoned, node=KEYS, drain=st.booleans()),
    st.builds(ev.NodeUncordoned, node=KEYS),
    st.just(ev.FleetDeclared(fleet=Fleet(name="lab", nodes=()))),
    st.builds(ev.PolicyChosen, policy=st.sampled_from(["fifo", "sjf"])),
    st.builds(ev.Revised, service=KEYS, number=NUMBERS, workload=st.just(SERVING)),
    st.builds(ev.Shifted, service=KEYS, step=NUMBERS, shares=st.just({1: 0.5, 2: 0.5})),
    st.builds(ev.Settled, service=KEYS, number=NUMBERS),
    st.builds(ev.TakenBack, service=KEYS, number=NUMBERS, to=NUMBERS, why=st.just("slow")),
    st.builds(ev.Scaled, service=KEYS, replicas=st.integers(0, 9)),
    st.builds(ev.ServicePaused, service=KEYS),
    st.builds(ev.ServiceResumed, service=KEYS),
    st.builds(ev.ServiceEnded, service=KEYS),
)


@given(st.lists(EVENTS, max_size=40))
def test_the_world_is_what_replaying_its_log_gives_and_what_is_refused_leaves_no_trace(
    events: list[ev.Event],
) -> None:
    world, log = World(), list[ev.Entry]()
    for event in events:
        entry = ev.Entry(seq=len(log) + 1, at_s=10.0 * (len(log) + 1), actor="test", event=event)
        before = world.copy()
        try:
            world.fold(entry)
            log.append(entry)
        except IllegalTransition:
            assert world == before
    replayed = World()
    for entry in log:
        replayed.fold(entry)
    assert replayed == world
    assert world.seq == len(log)


def test_a_copy_does_not_change_with_the_world() -> None:
    world = World()
    world.fold(ev.Entry(seq=1, at_s=0.0, actor="test", event=ev.Submitted(key="a", workload=JOB)))
    copy = world.copy()
    world.fold(ev.Entry(seq=2, at_s=1.0, actor="test", event=ev.StopRequested(key="a")))
    world.fold(ev.Entry(seq=3, at_s=1.0, actor="test", event=ev.NodeCordoned(node="n1")))
    assert (copy.seq, copy.records["a"].status.value, copy.cordoned) == (1, "waiting", {})


def test_the_last_word_about_a_node_the_fleet_and_the_policy_holds() -> None:
    world = World()
    assert world.policy == DEFAULT_POLICY
    fleet = Fleet(name="lab", nodes=())
    told: list[ev.Event] = [
        ev.NodeCordoned(node="n1", drain=True),
        ev.NodeCordoned(node="n2"),
        ev.NodeUncordoned(node="n1"),
        ev.NodeUncordoned(node="never cordoned"),
        ev.FleetDeclared(fleet=fleet),
        ev.PolicyChosen(policy="fifo"),
    ]
    for seq, event in enumerate(told, start=1):
        world.fold(ev.Entry(seq=seq, at_s=0.0, actor="test", event=event))
    assert (world.cordoned, world.fleet, world.policy) == ({"n2": False}, fleet, "fifo")
