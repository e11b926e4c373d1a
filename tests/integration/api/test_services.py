"""Services through the API: revisions, rollbacks, more and fewer replicas, pauses."""

CHAT = "kind: serve\nname: chat\nrun: serve {}\nreplicas: 1..3\nresources: {{cpus: 1}}\n"


def view(house):
    return house.api.get("/v1/services/chat").json()


def test_a_service_is_revised_by_applying_it_again_and_rolled_back(house):
    assert house.apply(CHAT.format("one"))["submitted"] == ["chat"]
    house.cycle(4)
    assert (view(house)["phase"], view(house)["revision"], view(house)["ready"]) == ("steady", 1, 1)
    assert house.apply(CHAT.format("one"))["unchanged"] == ["chat"]
    planned = house.api.post("/v1/plan", json={"sources": [{"name": "a", "text": CHAT.format("two")}]}).json()
    assert [(p["workload"], p["replica"]) for p in planned["placements"]] == [("chat", 1)]
    assert house.apply(CHAT.format("two"))["submitted"] == ["chat"]
    assert (view(house)["phase"], view(house)["settled"], view(house)["revision"]) == ("updating", 1, 2)
    house.cycle(10)
    assert (view(house)["phase"], view(house)["settled"], view(house)["ready"]) == ("steady", 2, 1)
    assert house.api.post("/v1/services/chat/rollback", json={}).json() == {"revision": 3}
    house.cycle(10)
    revisions = view(house)["revisions"]
    assert [(r["number"], r["origin"], r["share"]) for r in revisions] == [
        (1, "", 0.0),
        (2, "", 0.0),
        (3, "rollback to 1", 1.0),
    ]
    refused = house.api.post("/v1/services/chat/rollback", json={"to": 9})
    assert (refused.status_code, refused.json()["evidence"]["kept"]) == (404, [1, 2])


def test_an_update_that_goes_on_is_taken_back(house):
    house.apply(CHAT.format("one"))
    house.cycle(4)
    house.apply(CHAT.format("two") + "update: {strategy: canary, steps: [50%, 100%], window: 5m}\n")
    house.cycle(6)
    assert [(r["number"], r["share"]) for r in view(house)["revisions"]] == [(1, 0.5), (2, 0.5)]
    assert house.api.post("/v1/services/chat/rollback", json={}).json() == {"revision": 1}
    house.cycle(4)
    assert (view(house)["phase"], view(house)["revision"], view(house)["ready"]) == ("steady", 1, 1)
    assert view(house)["revisions"][1]["taken_back"] == "asked by local"


def test_replicas_are_scaled_within_what_is_declared(house):
    house.apply(CHAT.format("one"))
    house.cycle(4)
    assert house.api.post("/v1/services/chat/scale", json={"replicas": 3}).status_code == 200
    house.cycle(5)
    assert (view(house)["ready"], view(house)["replicas"], view(house)["why"]) == (3, 3, "asked by local")
    refused = house.api.post("/v1/services/chat/scale", json={"replicas": 4})
    assert (refused.status_code, "1..3" in refused.json()["detail"]) == (
        422,
        True,
    ) or refused.status_code == 400
    house.api.post("/v1/services/chat/scale", json={"replicas": 1})
    house.cycle(5)
    assert view(house)["ready"] == 1


def test_a_paused_service_has_no_replicas_until_it_is_resumed(house):
    house.apply(CHAT.format("one"))
    house.cycle(4)
    assert house.api.post("/v1/services/chat/pause").status_code == 200
    house.cycle(4)
    assert (view(house)["phase"], view(house)["ready"]) == ("paused", 0)
    assert house.api.post("/v1/services/chat/pause").status_code == 409
    assert house.api.post("/v1/services/chat/resume").status_code == 200
    house.cycle(5)
    assert (view(house)["phase"], view(house)["ready"]) == ("steady", 1)


def test_a_service_that_is_not_there_is_not_found_and_one_that_ended_is_not_listed(house):
    refused = house.api.get("/v1/services/nobody")
    assert (refused.status_code, refused.json()["code"]) == (404, "SL-NOT-FOUND")
    house.apply(CHAT.format("one"))
    assert [each["name"] for each in house.api.get("/v1/services").json()["services"]] == ["chat"]
    house.api.post("/v1/workloads/chat/stop")
    house.cycle(3)
    assert house.api.get("/v1/services").json() == {"services": []}


def test_a_node_that_is_drained_keeps_a_replica_until_another_is_ready_elsewhere(house):
    house.apply(CHAT.format("one"))
    house.cycle(4)
    (first,) = house.workload("chat/0")["nodes"]
    house.api.post(f"/v1/nodes/{first}/drain")
    ready = []
    for _ in range(8):
        house.cycle(1)
        ready.append(view(house)["ready"])
    assert min(ready) >= 1
    views = house.api.get("/v1/workloads/chat").json()["workloads"]
    assert [(v["key"], v["status"]) for v in views] == [("chat/0", "stopped"), ("chat/1", "running")]
    assert views[1]["nodes"] != [first]
