"""A workload's life as the API tells it."""

import pytest

from suanli.control.launch import log_dir

TRAIN = """
kind: train
name: gpt
run: sleep 100
duration: 100s
checkpoint: {every: 10s}
priority: 20
preemptible: true
resources: {cpus: 4, nodes: 2}
"""
SHORT = "kind: job\nname: digits\nrun: sleep 5\nduration: 5s\npriority: 90\nresources: {cpus: 2}\n"
CHAT = "kind: serve\nname: chat\nrun: serve\nport: 8000\nreplicas: 2\nresources: {cpus: 1}\n"
FLEET = """
kind: fleet
name: lab
nodes: [{name: n0, cpus: 4, memory: 16GiB, price: 3.6/h}, {name: n1, cpus: 4, memory: 16GiB, price: 3.6/h}]
"""


def test_from_accepted_to_succeeded(house):
    house.apply(SHORT)
    assert house.workload("digits")["status"] == "waiting"
    house.cycle()
    view = house.workload("digits")
    assert (view["status"], view["nodes"], view["attempt"]) == ("starting", ["n0"], 1)
    house.cycle(3)
    view = house.workload("digits")
    assert (view["status"], view["progress"]["step"], view["progress"]["total"]) == ("running", 2, 5)
    house.cycle(5)
    view = house.workload("digits")
    assert (view["status"], view["end_cause"], view["exit_code"]) == ("succeeded", "succeeded", 0)
    assert (view["nodes"], view["attempt"], view["attempts_made"]) == (["n0"], None, 1)
    history = house.api.get("/v1/workloads/digits").json()["history"]
    assert [line["event"] for line in history] == ["submitted", "placed", "started", "ended"]
    assert history[1]["sentence"] == "attempt 1 placed on n0"
    assert history[0]["actor"] == "local"


def test_a_preempted_workload_waits_with_its_reason_and_resumes(house):
    house.apply(TRAIN)
    house.cycle(25)
    house.apply(SHORT)
    house.cycle(3)
    waiting = house.workload("gpt")
    assert (waiting["status"], waiting["reason"], waiting["preemptions"]) == ("waiting", "ResourcesBusy", 1)
    assert "needs 4 cpus" in waiting["sentence"]
    assert waiting["will_waiting_help"] is True
    (entry,) = house.api.get("/v1/queue").json()["queue"]
    assert (entry["position"], entry["key"], entry["reason"]) == (1, "gpt", "ResourcesBusy")
    house.cycle(12)
    (told,) = house.api.get("/v1/explain/gpt?level=2").json()["explanations"]
    assert told["here_because"]["nodes"] == ["n0", "n1"]
    assert told["here_because"]["policy"] == "priority+as-requested+best-fit"
    assert told["here_because"]["waited_for"][-1]["reason"] == "ResourcesBusy"
    assert any("told to end: preempted for digits" in line["sentence"] for line in told["history"])
    assert house.workload("gpt")["progress"]["step"] >= 24


def test_what_can_never_run_says_why_and_what_would_make_it_run(house):
    house.apply("kind: job\nname: big\nrun: sleep 1\nresources: {cpus: 4, nodes: 3}\n")
    house.cycle()
    (told,) = house.api.get("/v1/explain/big").json()["explanations"]
    assert (told["reason"], told["tier"]) == ("ExceedsFleet", "never-fits")
    assert (told["will_waiting_help"], told["advice"]) == (False, "waiting alone will not help")
    assert told["would_run_if"][0]["change"] == "resources.nodes=2"
    assert told["evidence"]["nodes_in_fleet"] == 2
    assert told["history"] == []
    (entry,) = house.api.get("/v1/queue").json()["queue"]
    assert entry["position"] is None


def test_a_service_has_replicas_ports_and_urls(house):
    house.apply(CHAT)
    house.cycle(1.5)
    first = house.workload("chat/0")
    assert (first["status"], first["reason"], first["ready"]) == ("running", "LoadingModel", False)
    house.cycle(3)
    views = house.api.get("/v1/workloads/chat").json()["workloads"]
    assert [(v["key"], v["ready"], v["port"], v["url"]) for v in views] == [
        ("chat/0", True, 8000, "http://127.0.0.1:8000"),
        ("chat/1", True, 8000, "http://127.0.0.1:8000"),
    ]


def test_stop_retry_hold_and_release(house):
    house.apply(SHORT)
    house.cycle(2)
    assert house.api.post("/v1/workloads/digits/stop").json() == {"keys": ["digits"]}
    house.cycle(2)
    assert house.workload("digits")["status"] == "stopped"
    assert house.api.post("/v1/workloads/digits/retry").json() == {"keys": ["digits"]}
    assert house.api.post("/v1/workloads/digits/hold").json() == {"keys": ["digits"]}
    house.cycle()
    assert house.workload("digits")["reason"] == "Held"
    refused = house.api.post("/v1/workloads/digits/hold")
    assert (refused.status_code, refused.json()["code"]) == (409, "SL-STATE")
    house.api.post("/v1/workloads/digits/release")
    house.cycle(10)
    assert house.workload("digits")["status"] == "succeeded"


def test_a_replica_that_is_stopped_by_its_key_is_replaced_and_a_service_that_is_stopped_stays_so(house):
    house.apply(CHAT)
    house.cycle(4)
    assert house.api.post("/v1/workloads/chat/1/stop").json() == {"keys": ["chat/1"]}
    house.cycle(4)
    views = house.api.get("/v1/workloads/chat").json()["workloads"]
    assert [(v["key"], v["status"]) for v in views] == [
        ("chat/0", "running"),
        ("chat/1", "stopped"),
        ("chat/2", "running"),
    ]
    assert house.api.post("/v1/workloads/chat/stop").json() == {"keys": ["chat/0", "chat/2"]}
    house.cycle(4)
    assert {v["status"] for v in house.api.get("/v1/workloads/chat").json()["workloads"]} == {"stopped"}
    assert house.api.post("/v1/workloads/chat/retry").json() == {"keys": ["chat"]}
    house.cycle(4)
    views = house.api.get("/v1/workloads/chat").json()["workloads"]
    assert sorted(v["status"] for v in views) == ["running", "running", "stopped"]


@pytest.mark.parametrize(
    ("verb", "path"),
    [
        ("GET", "/v1/workloads/nobody"),
        ("GET", "/v1/explain/nobody"),
        ("GET", "/v1/logs/nobody"),
        ("POST", "/v1/workloads/nobody/stop"),
        ("POST", "/v1/nodes/nowhere/drain"),
    ],
)
def test_what_does_not_exist_is_not_found_with_a_remedy(house, verb, path):
    refused = house.api.request(verb, path)
    assert (refused.status_code, refused.json()["code"]) == (404, "SL-NOT-FOUND")
    assert refused.json()["remedy"]


def test_a_node_shows_what_it_has_who_holds_it_and_its_state(house):
    house.apply(f"{FLEET}---\n{TRAIN}")
    house.cycle(2)
    first, second = house.api.get("/v1/nodes").json()["nodes"]
    assert (first["declared"]["cpus"], first["effective"]["cpus"], first["free"]["cpus"]) == (4, 4, 0)
    assert [(holder["key"], holder["attempt"]) for holder in first["holders"]] == [("gpt", 1)]
    assert (first["price_per_hour"], first["state"], second["state"]) == (3.6, "ready", "ready")
    house.api.post("/v1/nodes/n1/drain")
    house.cycle(3)
    first, second = house.api.get("/v1/nodes").json()["nodes"]
    assert (second["state"], second["holders"], second["free"]["cpus"]) == ("draining", [], 4)
    house.api.post("/v1/nodes/n1/uncordon")
    house.cycle(3)
    assert house.api.get("/v1/nodes").json()["nodes"][1]["state"] == "ready"
    house.engine.lose_node("n0")
    house.cycle(1)
    assert house.api.get("/v1/nodes").json()["nodes"][0]["state"] == "down"


def test_a_declared_node_that_is_not_there_and_one_that_nobody_declared(house):
    house.apply(
        "kind: fleet\nname: lab\nnodes: [{name: n0, cpus: 2, memory: 1GiB}, {name: x, cpus: 1, memory: 1GiB}]\n"
    )
    house.cycle()
    states = {node["name"]: node["state"] for node in house.api.get("/v1/nodes").json()["nodes"]}
    assert states == {"n0": "ready", "x": "not seen yet", "n1": "not in the fleet"}


def test_costs_count_for_as_long_as_nodes_are_held(house):
    house.apply(FLEET)
    house.apply(SHORT)
    house.cycle(101)
    cost = house.workload("digits")["cost_so_far"]
    held_s = 6  # one to come up, five of work
    assert cost == pytest.approx(3.6 * 0.5 * held_s / 3600, rel=0.2)
    house.cycle(50)
    assert house.workload("digits")["cost_so_far"] == cost


def test_what_ended_long_ago_is_listed_when_asked_for(house):
    house.apply(SHORT)
    house.cycle(10)
    house.clock.advance(2 * 24 * 3600)
    assert house.api.get("/v1/workloads").json()["workloads"] == []
    (view,) = house.api.get("/v1/workloads?all=true").json()["workloads"]
    assert view["key"] == "digits"


def test_logs_come_in_pieces_that_never_cut_a_character(house):
    house.apply(SHORT)
    house.cycle(2)
    written = "损失 2.41\n".encode() * 10_000
    house.engine.logs["digits", 1, 0] = written[:-2]  # the last newline and digit are still on their way
    text, offset, pieces = "", 0, 0
    while piece := house.api.get(f"/v1/logs/digits?offset={offset}").json():
        assert (piece["attempt"], piece["ended"]) == (1, False)
        if not piece["text"]:
            break
        text, offset, pieces = text + piece["text"], piece["next_offset"], pieces + 1
    assert text.encode() == written[:-2]
    assert pieces == 2
    house.engine.logs["digits", 1, 0] = b"caf\xc3"
    assert house.api.get("/v1/logs/digits").json()["text"] == "caf"
    house.cycle(10)
    last = house.api.get("/v1/logs/digits?offset=3").json()
    assert (last["text"], last["next_offset"], last["ended"]) == ("\ufffd", 4, True)


def test_a_log_is_still_read_when_the_engine_has_forgotten_the_attempt(house):
    house.apply(SHORT)
    house.cycle(10)
    folder = log_dir(house.running.home.path, house.store.world().records["digits"])
    folder.mkdir()
    (folder / "1-0.log").write_text("accuracy 0.97\n")
    piece = house.api.get("/v1/logs/digits").json()
    assert (piece["text"], piece["ended"]) == ("accuracy 0.97\n", True)


def test_the_log_of_events_is_read_in_pages_without_what_env_holds(house):
    house.apply("kind: job\nname: j\nrun: sleep 1\nduration: 1s\nenv: {API_KEY: canary-value}\n")
    house.cycle(4)
    first = house.api.get("/v1/events?limit=2").json()
    rest = house.api.get(f"/v1/events?after={first['next']}")
    kinds = [entry["event"]["type"] for entry in [*first["entries"], *rest.json()["entries"]]]
    assert kinds == ["submitted", "placed", "started", "ended"]
    assert first["entries"][0]["event"]["workload"]["env"] == {"API_KEY": "[hidden]"}
    empty = house.api.get(f"/v1/events?after={rest.json()['next']}").json()
    assert empty == {"entries": [], "next": rest.json()["next"]}


def test_decisions_are_told_with_their_reasons_in_words(house):
    house.apply("kind: job\nname: big\nrun: sleep 1\nresources: {cpus: 40}\n")
    house.cycle()
    *_, last = house.api.get("/v1/decisions").json()["decisions"]
    (waits,) = last["waiting"]
    assert (waits["reason"], waits["keys"], waits["count"]) == ("ExceedsFleet", ["big"], 1)
    assert waits["sentence"] == "asks for 40 cpus on one node; the largest has 4 cpus"


def test_series_metrics_and_status(house):
    house.engine.set_load("n0", 0.5)
    house.apply(SHORT)
    house.cycle(3)
    points = house.api.get("/v1/series?subject=n0&metric=cpu_fraction&since=0").json()["points"]
    assert {value for _, value in points} == {0.5}
    metrics = house.api.get("/metrics")
    assert metrics.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'suanli_workloads{status="running"} 1.0' in metrics.text
    assert 'suanli_node_free_cpu_cores{node="n0"} 2.0' in metrics.text
    status = house.api.get("/v1/status").json()
    assert (status["epoch"], status["trouble"], status["counts"]["running"]) == (1, None, 1)
    assert status["engine"] == {"kind": "fake", "incarnation": "fake-1"}


def test_the_policy_is_seen_and_chosen(house):
    assert house.api.get("/v1/policy").json() == {"policy": "priority+as-requested+best-fit"}
    chosen = house.api.put("/v1/policy", json={"policy": "sjf+spread"})
    assert chosen.json() == {"policy": "sjf+as-requested+spread"}
    assert house.api.put("/v1/policy", json={"policy": "nonsense"}).status_code == 400


def test_the_queue_is_in_the_order_of_the_policy(house):
    jobs = [
        f"kind: job\nname: j{i}\nrun: x\npriority: {i}\nresources: {{cpus: 4, nodes: 2}}\n" for i in range(4)
    ]
    house.apply("---\n".join(jobs))
    house.cycle(1)
    assert [entry["key"] for entry in house.api.get("/v1/queue").json()["queue"]] == ["j2", "j1", "j0"]
    house.api.put("/v1/policy", json={"policy": "fifo"})
    assert [entry["key"] for entry in house.api.get("/v1/queue").json()["queue"]] == ["j0", "j1", "j2"]


def test_while_the_engine_is_away_the_api_says_so_and_still_answers(house):
    house.apply(SHORT)
    house.engine.down = True
    house.cycle()
    ready = house.stranger.get("/readyz")
    assert (ready.status_code, ready.json()["detail"]) == (503, "The engine cannot be reached.")
    assert house.stranger.get("/healthz").json() == {"status": "ok"}
    assert house.api.get("/v1/status").json()["trouble"]["code"] == "SL-UNAVAILABLE"
    assert house.workload("digits")["status"] == "waiting"
    house.engine.down = False
    house.cycle()
    assert house.stranger.get("/readyz").status_code == 200


def test_a_loop_that_hangs_is_waited_for_no_longer_than_a_caller_would_wait(house, monkeypatch):
    import threading

    monkeypatch.setattr("suanli.control.snapshot.MUTEX_WAIT_S", 0.05)
    holds, free = threading.Event(), threading.Event()

    def hang() -> None:
        with house.controller.mutex:
            holds.set()
            free.wait(20)

    thread = threading.Thread(target=hang)
    thread.start()
    holds.wait(5)
    try:
        assert house.api.get("/v1/workloads").json()["code"] == "SL-BUSY"
        assert house.stranger.get("/healthz").status_code == 200
        assert house.api.get("/v1/status").status_code == 200
    finally:
        free.set()
        thread.join()


@pytest.mark.speed
def test_a_thousand_workloads_are_listed_in_30_ms(house):
    import time

    house.apply("---\n".join(f"kind: job\nname: j{i}\nrun: x\nresources: {{cpus: 2}}\n" for i in range(1000)))
    house.cycle()

    def took_s() -> float:
        began_s = time.process_time()
        answer = house.api.get("/v1/workloads")
        ended_s = time.process_time()
        assert len(answer.json()["workloads"]) == 1000
        return ended_s - began_s

    assert min(took_s() for _ in range(10)) < 0.03
