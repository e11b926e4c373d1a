import threading
import time

import pytest

from suanli.domain.fleet import Node
from suanli.domain.observation import AttemptView, NodeSample, Phase, Progress, WorkerView
from suanli.telemetry.history import History


def sample(node: str, at_s: float, cpu: float = 0.5) -> NodeSample:
    return NodeSample(
        node=node,
        at_s=at_s,
        cpu_fraction=cpu,
        memory_used_bytes=10**11,
        disk_used_fraction=0.3,
        accelerator_fraction=(0.5,) * 8,
        accelerator_memory_bytes=(10**10,) * 8,
        power_w=500.0,
    )


def attempt(key: str, number: int = 1, **fields) -> AttemptView:
    workers = (WorkerView(rank=0, node="n1", alive=True, cpu_fraction=1.0),)
    return AttemptView(key=key, number=number, phase=Phase.RUNNING, workers=workers, **fields)


def test_a_sample_that_is_seen_again_does_not_count_again():
    history = History()
    for at_s in (10.0, 11.0, 12.0):
        history.record(at_s, [sample("n1", 9.5)], [])
    assert history.series("n1", "cpu_fraction", 0.0) == [(10.0, 0.5)]


def test_rows_carry_the_controller_s_instant_whatever_the_node_s_clock_says():
    history = History()
    history.record(1_000.0, [sample("ahead", 9_999.0), sample("behind", 1.0)], [])
    assert history.node_load(60.0, 1_000.0).keys() == {"ahead", "behind"}


def test_memory_and_network_become_fractions_once_the_machine_is_described():
    history = History()
    history.describe([Node(name="n1", cpus=8, memory_bytes=2 * 10**11)])
    history.record(0.0, [sample("n1", 0.0), sample("n2", 0.0)], [])
    load = history.node_load(60.0, 0.0)
    assert load["n1"]["memory_fraction"] == 0.5
    assert "memory_fraction" not in load["n2"]


def test_a_node_and_a_workload_of_one_name_do_not_mix():
    history = History()
    history.record(0.0, [sample("same", 0.0)], [attempt("same")])
    assert history.series("same", "cpu_fraction", 0.0) == [(0.0, 0.5)]
    assert history.series("same", "cpu_cores", 0.0) == [(0.0, 1.0)]
    assert "cpu_cores" not in history.node_load(60.0, 0.0)["same"]


def test_a_new_attempt_starts_its_step_rate_anew():
    history = History()
    history.record(0.0, [], [attempt("w", 1, progress=Progress(step=0, at_s=0.0))])
    history.record(10.0, [], [attempt("w", 1, progress=Progress(step=100, at_s=10.0))])
    history.record(20.0, [], [attempt("w", 2, progress=Progress(step=110, at_s=20.0))])
    history.record(30.0, [], [attempt("w", 2, progress=Progress(step=130, at_s=30.0))])
    assert history.series("w", "steps_per_s", 0.0) == [(10.0, 10.0), (30.0, 2.0)]


def test_who_has_been_silent_for_long_is_forgotten():
    history = History(keep_s=100.0)
    history.record(0.0, [sample("gone", 0.0), sample("n1", 0.0)], [attempt("done")])
    for at_s in range(1, 200):
        history.record(float(at_s), [sample("n1", float(at_s))], [])
    assert history.subjects("cpu_fraction") == ["n1"]
    assert history.subjects("cpu_cores") == []


def test_what_is_older_than_the_window_is_not_told():
    history = History(keep_s=100.0)
    for at_s in range(300):
        history.record(float(at_s), [sample("n1", float(at_s))], [])
    assert history.series("n1", "cpu_fraction", 0.0)[0][0] == 199.0


def test_readers_in_other_threads_see_whole_rows_while_it_is_written():
    history = History(points_max=64)
    failures: list[str] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            series = history.series("n1", "cpu_fraction", 0.0)
            if series != sorted(series):
                failures.append("out of order")
            load = history.node_load(1e9, 0.0)
            if load and len(load["n1"]) != 8:
                failures.append(f"half a row: {load}")

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for at_s in range(2_000):
        history.record(float(at_s), [sample("n1", float(at_s))], [])
    done.set()
    for reader in readers:
        reader.join(timeout=60)
    assert failures == []


@pytest.mark.speed
def test_taking_in_a_thousand_nodes_costs_less_than_20_ms_of_cpu():
    history = History()
    history.describe(Node(name=f"n{i}", cpus=64, memory_bytes=10**12, network_bps=1e11) for i in range(1_000))
    rounds = [[sample(f"n{i}", float(at_s)) for i in range(1_000)] for at_s in range(9)]
    costs_s = []
    for at_s, samples in enumerate(rounds):
        before_s = time.thread_time()
        history.record(float(at_s), samples, [])
        costs_s.append(time.thread_time() - before_s)
    assert sorted(costs_s)[4] < 0.020
