"""`plan` and `apply` over HTTP."""

from typing import Any

import pytest

SMALL = "kind: job\nname: small\nrun: sleep 5\nduration: 10s\nresources: {cpus: 1}\n"
HUGE = "kind: job\nname: huge\nrun: sleep 5\nresources: {cpus: 400}\n"
FLEET = """
kind: fleet
name: lab
accelerators: [{name: Zeta-9, memory: 40GiB}]
nodes: [{name: n0, cpus: 4, memory: 16GiB, accelerators: Zeta-9:1}]
"""


def asking(text: str, **more: Any) -> dict[str, Any]:
    return {"sources": [{"name": "spec.yaml", "text": text}], **more}


def test_a_plan_says_what_would_happen_and_changes_nothing(house):
    plan = house.api.post("/v1/plan", json=asking(f"{SMALL}---\n{HUGE}")).json()
    assert [(p["workload"], p["node"]) for p in plan["placements"]] == [("small", "n0")]
    (wait,) = plan["waiting"]
    assert (wait["workload"], wait["reason"], wait["never_fits"]) == ("huge", "ExceedsFleet", True)
    assert [change["change"] for change in wait["would_run_if"]] == ["resources.cpus=4"]
    assert house.api.get("/v1/workloads").json() == {"workloads": []}


def test_a_plan_that_was_shown_is_applied_exactly(house):
    plan = house.api.post("/v1/plan", json=asking(SMALL)).json()
    applied = house.api.post("/v1/apply", json={"plan_id": plan["plan_id"]}).json()
    assert applied["submitted"] == ["small"]
    assert applied["plan_id"] == plan["plan_id"]
    assert house.workload("small")["nodes"] == ["n0"]


def test_a_plan_that_went_stale_is_refused_and_nothing_is_submitted(house):
    plan = house.api.post("/v1/plan", json=asking(SMALL)).json()
    house.api.post("/v1/nodes/n0/cordon")
    house.cycle()
    refused = house.api.post("/v1/apply", json={"plan_id": plan["plan_id"]})
    problem = refused.json()
    assert (refused.status_code, problem["code"], problem["exit_code"]) == (409, "SL-PLAN-STALE", 5)
    assert problem["remedy"] == "Run `suanli plan` again and look at what changed."
    assert house.api.get("/v1/workloads").json() == {"workloads": []}


def test_an_unknown_plan_is_not_found(house):
    refused = house.api.post("/v1/apply", json={"plan_id": "plan-0"})
    assert (refused.status_code, refused.json()["code"]) == (404, "SL-PLAN-UNKNOWN")


def test_every_mistake_of_a_declaration_is_told_at_once_with_its_place(house):
    text = (
        "kind: job\nname: a\nrun: sleep 1\nresources: {cpus: many}\n---\nkind: job\nname: b\nrum: sleep 1\n"
    )
    refused = house.api.post("/v1/apply", json=asking(text))
    problem = refused.json()
    assert (refused.status_code, problem["status"], problem["exit_code"]) == (422, 422, 2)
    assert refused.headers["content-type"] == "application/problem+json"
    found = {(p["document"], p["field"], p["line"]) for p in problem["problems"]}
    assert {("job a", "resources.cpus", 4), ("job b", "rum", 8)} <= found
    assert all(p["file"] == "spec.yaml" and p["message"] for p in problem["problems"])
    assert "problems" not in problem["evidence"]


def test_a_request_of_the_wrong_form_is_told_where_and_not_what(house):
    secret = "hunter2-hunter2"
    refused = house.api.post("/v1/plan", json={"sources": [{"name": "x", "text": [secret]}], "more": 1})
    problem = refused.json()
    assert (refused.status_code, problem["code"], problem["exit_code"]) == (422, "SL-REQUEST", 2)
    assert {p["field"] for p in problem["problems"]} == {"sources.0.text", "more"}
    assert secret not in refused.text


@pytest.mark.parametrize("body", [{}, {"plan_id": "p", "policy": "fifo"}, asking(SMALL, plan_id="p")])
def test_an_apply_needs_either_declarations_or_a_plan(house, body):
    assert house.api.post("/v1/apply", json=body).status_code == 422


def test_applying_again_changes_nothing(house):
    assert house.apply(SMALL)["submitted"] == ["small"]
    house.cycle(2)
    again = house.apply(SMALL)
    assert (again["submitted"], again["unchanged"]) == ([], ["small"])
    assert house.workload("small")["attempts_made"] == 1


def test_a_change_of_what_runs_is_refused_with_what_changed(house):
    house.apply(SMALL)
    house.cycle(2)
    refused = house.api.post("/v1/apply", json=asking(SMALL.replace("cpus: 1", "cpus: 2")))
    assert (refused.status_code, refused.json()["code"]) == (409, "SL-APPLY-CHANGED")
    assert refused.json()["evidence"] == {"changed": ["demand"]}


def test_the_same_key_and_request_get_the_same_answer_and_do_nothing(house):
    text = SMALL.replace("duration: 10s", "deadline: 2h")  # another instant each time that it is read
    key = {"Idempotency-Key": "once"}
    first = house.api.post("/v1/apply", json=asking(text), headers=key)
    house.cycle(5)
    again = house.api.post("/v1/apply", json=asking(text), headers=key)
    assert first.status_code == again.status_code == 200
    assert first.json() == again.json()
    assert house.workload("small")["attempts_made"] == 1


def test_the_same_key_with_another_request_is_a_conflict(house):
    key = {"Idempotency-Key": "once"}
    house.api.post("/v1/apply", json=asking(SMALL), headers=key)
    refused = house.api.post("/v1/apply", json=asking(HUGE), headers=key)
    assert (refused.status_code, refused.json()["exit_code"]) == (409, 5)
    assert len(house.api.get("/v1/workloads").json()["workloads"]) == 1


def test_a_fleets_own_accelerators_are_known_to_later_declarations(house):
    applied = house.apply(FLEET)
    assert applied["fleet"] == "lab"
    assert "no price is known for Zeta-9" in applied["warnings"][0]["message"]
    job = "kind: job\nname: j\nrun: sleep 1\nresources: {accelerators: zeta-9}\n"
    (wait,) = house.api.post("/v1/plan", json=asking(job)).json()["waiting"]
    assert wait["evidence"]["asked"] == "Zeta-9"


def test_a_policy_is_chosen_with_an_apply_and_a_wrong_one_accepts_nothing(house):
    refused = house.api.post("/v1/apply", json=asking(SMALL, policy="prioritie"))
    assert (refused.status_code, refused.json()["exit_code"]) == (400, 2)
    assert "Did you mean priority?" in refused.json()["remedy"]
    assert house.api.get("/v1/workloads").json() == {"workloads": []}
    house.apply(SMALL, policy="fifo")
    assert house.api.get("/v1/policy").json() == {"policy": "fifo+as-requested+best-fit"}


def test_an_alert_rule_is_applied_and_watches_from_then_on(house):
    rule = "kind: alert\nname: hot\nmetric: cpu_fraction\nabove: 90%\nwindow: 10s\n"
    assert house.apply(rule)["alerts"] == ["hot"]
    house.controller.ports.telemetry.set_node("n1", cpu_fraction=0.99)
    house.cycle(3)
    (alert,) = house.api.get("/v1/alerts").json()["alerts"]
    assert (alert["rule"], alert["subject"], alert["status"]) == ("hot", "n1", "firing")
