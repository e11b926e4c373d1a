"""A service that scales itself on a virtual clock, by the controller's own decisions."""

import numpy as np
import pytest

from suanli.domain.workload import Access, Kind, Scaling, Service, Slo, Workload
from suanli.sim.serving import Fleet, Served, serve
from suanli.sim.serving_arrivals import Stretch, always, poisson, requests_of
from suanli.sim.serving_metrics import missed
from suanli.sim.serving_scaling import OwnScaling

LIMIT_S, STARTUP_S = 0.2, 1.5
STEP = (Stretch(15.0, 60.0), Stretch(60.0, 60.0), Stretch(15.0, 120.0))


def _workload(fewest: int, **scaling: float) -> Workload:
    service = Service(
        replicas_min=fewest,
        replicas_max=12,
        slo=Slo(p95_s=LIMIT_S),
        access=Access(concurrency=1),
        idle_s=20.0,
        scaling=Scaling(**scaling),  # pyright: ignore[reportArgumentType]
    )
    return Workload(name="chat", kind=Kind.SERVE, run=("serve",), service=service)


def _step(workload: Workload, replicas: int) -> Served:
    rng = np.random.default_rng(8)
    requests = requests_of(poisson(STEP, rng), always(0.05), rng)
    assert workload.service is not None
    fleet = Fleet(speeds=(1.0,) * replicas, startup_s=STARTUP_S)
    scaler = OwnScaling(workload, replicas)
    return serve(requests, fleet, workload.service.access, scaler=scaler, to_s=240.0)


def _ready_at(served: Served, at_s: float) -> int:
    return [ready for since_s, _, ready in served.counts if since_s <= at_s][-1]


def test_more_replicas_follow_a_load_that_grows_and_fewer_one_that_falls() -> None:
    served = _step(_workload(1, downscale_delay_s=30.0), 2)
    before, during, after = _ready_at(served, 59.0), _ready_at(served, 100.0), _ready_at(served, 239.0)
    assert before <= 2
    assert during >= 4  # fewer could not do it: 60 requests/s at 50 ms keep 3 busy all the time
    assert after < during
    broken = np.flatnonzero(missed(served.requests.arrive_s, served.latency_s, LIMIT_S))
    late = broken[(broken >= 80) & (broken < 120)]
    assert len(late) <= 4, "once it has followed, the promise is kept in nearly every second"
    assert np.isfinite(served.latency_s).all()
    most = max(ready for _, _, ready in served.counts)
    assert 240.0 < served.replica_s < 240.0 * most


@pytest.mark.parametrize("startup_s", [1.5, 8.0, 20.0])
def test_replicas_that_take_several_at_a_time_are_not_added_for_what_has_been_slow_before(
    startup_s: float,
) -> None:
    service = Service(replicas_max=20, slo=Slo(p95_s=1.0), access=Access())
    workload = Workload(name="chat", kind=Kind.SERVE, run=("serve",), service=service)
    rng = np.random.default_rng(8)
    requests = requests_of(poisson(STEP, rng), always(0.2), rng)
    fleet = Fleet(at_once=4, startup_s=startup_s)
    served = serve(requests, fleet, service.access, scaler=OwnScaling(workload, 1), to_s=240.0)
    assert (
        max(ready for _, _, ready in served.counts) <= 7
    )  # 60 requests/s at 200 ms keep 3 busy all the time
    broken = np.flatnonzero(missed(served.requests.arrive_s, served.latency_s, 1.0))
    assert len(broken[(broken >= 65 + 2.2 * startup_s) & (broken < 120)]) <= 2


def test_nothing_shrinks_before_its_delay() -> None:
    served = _step(_workload(1, downscale_delay_s=300.0), 2)
    wanted = [wanted for _, wanted, _ in served.counts]
    assert wanted == sorted(wanted)


@pytest.mark.parametrize("seed", range(3))
def test_a_service_that_sleeps_is_woken_and_loses_nothing(seed: int) -> None:
    workload = _workload(0, downscale_delay_s=10.0)
    rng = np.random.default_rng(seed)
    arrive_s = np.array([5.0, 5.1, 100.0, 100.2])
    assert workload.service is not None
    served = serve(
        requests_of(arrive_s + rng.uniform(0.0, 0.05, 4), always(0.05), rng),
        Fleet(speeds=(), startup_s=2.0),
        workload.service.access,
        scaler=OwnScaling(workload, 0),
    )
    assert np.isfinite(served.latency_s).all()
    assert served.latency_s[[0, 2]].min() > 2.0  # it slept each time
    assert min(ready for since_s, _, ready in served.counts if since_s > 10.0) == 0
