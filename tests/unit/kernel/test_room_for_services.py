"""A replica that a service needs more takes the room of training that loses least, and gives it back."""

import msgspec
from tests.building import decide, fleet, node, nodes, placed, running, state_of, stopped, waiting, workload
from tests.cluster import Cluster

from suanli.domain.fleet import Fleet
from suanli.domain.record import Record, Status
from suanli.domain.workload import Kind

ONE = fleet(node(gpus=4))


def job(name: str, *devices: int, unsaved_s: float = 600.0, on: str = "n0", **more) -> Record:
    more.setdefault("priority", 20)
    return running(
        workload(name, gpus=len(devices), cpus=0, **more), (on, devices), unsaved_s=unsaved_s, seq=len(name)
    )


def urgent(**more) -> Record:
    return waiting(workload("urgent", gpus=4, cpus=0, priority=80, **more), seq=99)


def replica() -> Record:
    return urgent(kind=Kind.SERVE, run=("serve",))


def ended(of: Fleet, *records: Record) -> set[str]:
    return set(stopped(decide(state_of(of, *records))[0]))


def test_of_the_jobs_that_free_enough_the_one_that_saved_last_makes_room_for_a_replica() -> None:
    of = fleet(*nodes(3, gpus=4))
    records = [
        job("saved-last-but-small", 0, 1, unsaved_s=1.0),
        job("kept", 2, 3, preemptible=False),
        job("saved-long-ago", 0, 1, 2, 3, unsaved_s=900.0, on="n1"),
        job("saved-lately", 0, 1, 2, 3, unsaved_s=30.0, on="n2"),
    ]
    assert ended(of, *records, replica()) == {"saved-lately"}


def test_a_job_that_waited_through_yesterdays_peak_makes_room_for_todays() -> None:
    """It stands at 20 + 10 x 8 h, above the service: which would stop another job, and not a replica."""
    waited = msgspec.structs.replace(job("job", 0, 1, 2, 3), wait_s=8 * 3600.0)
    assert ended(ONE, waited, urgent()) == set()
    assert ended(ONE, waited, replica()) == {"job"}


def test_what_saves_nothing_keeps_what_it_waited_for() -> None:
    waited = msgspec.structs.replace(job("job", 0, 1, 2, 3, kind=Kind.JOB), wait_s=8 * 3600.0)
    assert ended(ONE, waited, replica()) == set()


def test_a_job_that_cannot_help_itself_does_not_stop_a_replica_like_it_from_being_looked_at() -> None:
    waited = msgspec.structs.replace(job("job", 0, 1, 2, 3), wait_s=8 * 3600.0)
    other = waiting(workload("other", gpus=4, cpus=0, priority=80), seq=50)
    assert ended(ONE, waited, other, replica()) == {"job"}


def test_another_service_is_never_ended_for_one_of_the_same_priority() -> None:
    chat = job("chat", 0, 1, 2, 3, kind=Kind.SERVE, priority=80)
    assert ended(ONE, chat, replica()) == set()


def test_the_job_goes_on_once_the_replica_has_ended_and_gives_way_at_every_peak() -> None:
    cluster = Cluster(fleet(node(gpus=2)))
    cluster.submit(
        workload("job", gpus=2, cpus=0, priority=20, duration_s=900.0, checkpoint_every_s=10.0, grace_s=5.0)
    )
    for peak in range(3):
        cluster.run(100)
        cluster.submit(workload(f"peak{peak}", gpus=2, cpus=0, priority=60, kind=Kind.SERVE, grace_s=1.0))
        cluster.run(6 * 3600, every_s=10.0)
        assert cluster.status(f"peak{peak}") is Status.RUNNING
        cluster.request_stop(f"peak{peak}")
    cluster.run(900)
    job = cluster.record("job")
    assert (job.status, job.preemptions) == (Status.SUCCEEDED, 3)
    assert job.lost_s <= 3 * 10


def test_what_waited_long_keeps_no_room_from_a_replica_that_could_end_it_there() -> None:
    """It stands at 20 + 10 x 8 h, before the replica, and needs what the service's other replica holds as well."""
    holds = job("holds", 0, 1, kind=Kind.JOB, priority=90)
    waits = waiting(workload("waits", gpus=4, cpus=0, priority=20), seq=1, waited_s=8 * 3600.0)
    more = waiting(workload("more", gpus=2, cpus=0, priority=80, kind=Kind.SERVE), seq=99)
    assert placed(decide(state_of(ONE, holds, waits, more))[0]) == {"more": ("n0",)}
    like_it = waiting(workload("like-it", gpus=2, cpus=0, priority=80), seq=99)
    assert placed(decide(state_of(ONE, holds, waits, like_it))[0]) == {}
    lesser = waiting(workload("lesser", gpus=2, cpus=0, priority=10, kind=Kind.SERVE), seq=99)
    assert placed(decide(state_of(ONE, holds, waits, lesser))[0]) == {}


def test_a_reason_knows_that_a_higher_priority_would_help_a_replica_and_not_a_job_like_it() -> None:
    """What holds the node stands at 20 + 10 x 9 h, above all priorities that there are."""
    waited = msgspec.structs.replace(job("job", 0, 1, 2, 3), wait_s=9 * 3600.0)
    for_job = waiting(workload("other", gpus=4, cpus=0, priority=10), seq=50)
    for_replica = waiting(workload("low", gpus=4, cpus=0, priority=10, kind=Kind.SERVE), seq=99)
    decision, _ = decide(state_of(ONE, waited, for_job, for_replica))
    reasons = {key: decision.reason_for(key) for key in ("other", "low")}
    helps = {key: why is not None and why.will_preemption_help for key, why in reasons.items()}
    assert helps == {"other": False, "low": True}
