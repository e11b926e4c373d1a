"""How the loop ends: bounded, and losing nothing."""

import threading
import time

from suanli.control import loop

LONG = "kind: train\nname: gpt\nrun: x\nduration: 600s\ncheckpoint: {every: 10s}\ngrace: 30s\nresources: {cpus: 1}\n"


def test_what_runs_is_drained_and_nothing_new_is_started(house):
    house.apply(LONG)
    house.cycle(60)
    house.apply("kind: job\nname: late\nrun: x\n")
    loop.wind_down(house.running)
    assert house.workload("gpt")["status"] == "waiting"
    assert house.workload("late")["attempts_made"] == 0
    assert {life.to_s for life in house.engine.history} == {house.clock.now_s()} or len(
        house.engine.history
    ) == 1
    assert house.store.world().records["gpt"].lost_s < 1.0


def test_a_stop_that_was_asked_for_stays_one(house):
    house.apply(LONG)
    house.cycle(5)
    house.api.post("/v1/workloads/gpt/stop")
    loop.wind_down(house.running)
    assert house.workload("gpt")["status"] == "stopped"


def test_it_waits_for_the_longest_grace_and_a_margin_and_no_longer(house):
    house.apply(LONG)
    house.cycle(5)
    house.engine.down = True
    began_s = house.clock.now_s()
    loop.wind_down(house.running)
    waited_s = house.clock.now_s() - began_s
    assert 30.0 <= waited_s <= 30.0 + loop.MARGIN_S + 1.0


def test_at_once_means_at_once(house):
    house.apply(LONG)
    house.cycle(5)
    house.engine.down = True
    house.running.at_once.set()
    began_s = house.clock.now_s()
    loop.wind_down(house.running)
    assert house.clock.now_s() == began_s


def test_detached_work_goes_on_and_the_lease_is_free(house):
    import msgspec

    house.apply(LONG)
    house.cycle(5)
    house.running.settings = msgspec.structs.replace(house.running.settings, detach=True)
    house.running.stop.set()
    loop.run(house.running)
    assert house.store.lease() is None
    assert house.store.world().records["gpt"].status.value == "running"
    assert len(house.engine.observe().attempts) == 1


def test_the_loop_runs_until_it_is_told_to_stop(house):
    house.apply("kind: job\nname: j\nrun: x\nduration: 3s\n")
    thread = threading.Thread(target=loop.run, args=(house.running,))
    thread.start()  # the clock is virtual: each tick passes in no time
    ends_s = time.monotonic() + 60
    while not house.store.world().records["j"].status.is_final and time.monotonic() < ends_s:
        time.sleep(0.01)
    house.running.stop.set()
    thread.join(60)
    assert not thread.is_alive()
    assert house.store.world().records["j"].status.value == "succeeded"
    assert sum(house.running.cycles.cycles) > 3
    ready = house.stranger.get("/readyz")
    assert (ready.status_code, ready.json()["detail"]) == (503, "The controller is shutting down.")
