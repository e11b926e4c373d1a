"""A gate of a service: what was measured of a model decides whether a revision with it is accepted."""

from typing import Any

import pytest
from tests.conftest import asking
from tests.unit.models.files import push, safetensors

SERVICE = "kind: serve\nname: talk\nmodel: chat/{number}\nupdate: {{gate: {gate}}}\n"
LEAST = "{suite: reviews, metric: accuracy, at_least: 0.9}"
NO_WORSE = "{suite: reviews, metric: accuracy, not_worse_than_serving: 1%}"


@pytest.fixture
def home(house):
    for seed in range(2):
        push(house.running.models, {"model.safetensors": safetensors(seed)})
    return house


def score(house: Any, number: int, **metrics: float) -> None:
    body = {"suite": "reviews", "metrics": metrics, "data_sha256": "a" * 64, "samples": 100, "seed": 1}
    answer = house.api.post(f"/v1/models/chat/{number}/evaluations", json=body)
    assert answer.status_code == 200, answer.text


def plan(house: Any, text: str) -> Any:
    answer = house.api.post("/v1/plan", json=asking(text))
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(house: Any, text: str) -> Any:
    answer = house.api.post("/v1/apply", json=asking(text))
    assert answer.status_code == 409, answer.text
    problem = answer.json()
    assert (problem["code"], problem["exit_code"]) == ("SL-MODEL-GATE", 5)
    return problem


def test_a_model_without_an_evaluation_is_kept_out_with_the_command_that_makes_one(home):
    text = SERVICE.format(number=1, gate=LEAST)
    (gate,) = plan(home, text)["gates"]
    assert (gate["passed"], gate["measured"], gate["model"]) == (False, None, "chat/1")
    problem = refused(home, text)
    assert "suanli models evaluate chat/1 --data" in problem["remedy"]
    assert home.api.get("/v1/services").json()["services"] == []


def test_what_was_measured_is_told_beside_what_is_asked_and_a_better_evaluation_opens(home):
    text = SERVICE.format(number=1, gate=LEAST)
    score(home, 1, accuracy=0.85)
    problem = refused(home, text)
    assert "accuracy on reviews is 0.85, at least 0.9 is asked" in problem["detail"]
    shown = plan(home, text)
    assert home.api.post("/v1/apply", json={"plan_id": shown["plan_id"]}).json()["code"] == "SL-MODEL-GATE"
    score(home, 1, accuracy=0.95)
    (gate,) = plan(home, text)["gates"]
    assert (gate["passed"], gate["measured"]) == (True, 0.95)
    assert home.apply(text)["submitted"] == ["talk"]
    assert home.apply(text)["unchanged"] == ["talk"]


def test_perplexity_must_be_low_enough(home):
    text = SERVICE.format(number=1, gate="{suite: reviews, metric: perplexity, at_most: 20}")
    score(home, 1, perplexity=21.0)
    assert "at most 20 is asked" in refused(home, text)["detail"]
    score(home, 1, perplexity=19.0)
    home.apply(text)


def test_a_version_may_be_held_against_the_one_that_serves(home):
    first, second = (SERVICE.format(number=number, gate=NO_WORSE) for number in (1, 2))
    score(home, 1, accuracy=0.9)
    home.apply(first)
    score(home, 2, accuracy=0.89)
    assert "chat/1 that serves has 0.9" in refused(home, second)["detail"]
    score(home, 2, accuracy=0.8911)
    assert home.apply(second)["submitted"] == ["talk"]


def test_it_is_held_against_figures_of_the_same_data_only(home):
    home.apply("kind: serve\nname: talk\nmodel: chat/1\n")
    score(home, 2, accuracy=0.99)
    home.api.post("/v1/models/chat/1/evaluations", json={"suite": "reviews", "metrics": {"accuracy": 0.1}})
    problem = refused(home, SERVICE.format(number=2, gate=NO_WORSE))
    assert "suanli models evaluate chat/1" in problem["remedy"]


def test_a_canary_is_taken_back_where_its_model_is_found_worse_meanwhile(home):
    update = "  strategy: canary\n  steps: [50%, 100%]\n  window: 10m\n"
    home.apply("kind: serve\nname: talk\nmodel: chat/1\n")
    home.cycle(5)
    score(home, 2, accuracy=0.95)
    home.apply(f"kind: serve\nname: talk\nmodel: chat/2\nupdate:\n{update}  gate: {LEAST}\n")
    home.cycle(5)
    assert home.api.get("/v1/services/talk").json()["phase"] == "updating"
    score(home, 2, accuracy=0.6)
    home.cycle(5)
    service = home.api.get("/v1/services/talk").json()
    assert service["phase"] == "steady"
    (taken_back,) = [each["taken_back"] for each in service["revisions"] if each["taken_back"]]
    assert "accuracy on reviews is 0.6, at least 0.9 is asked" in taken_back


def test_every_gate_must_be_passed(home):
    score(home, 1, accuracy=0.95, latency_p95_s=0.5)
    both = f"[{LEAST}, {{suite: reviews, metric: latency_p95_s, at_most: 200ms}}]"
    gates = plan(home, SERVICE.format(number=1, gate=both))["gates"]
    assert [gate["passed"] for gate in gates] == [True, False]
    refused(home, SERVICE.format(number=1, gate=both))


def test_an_alias_moves_past_any_gate(home):
    home.apply("kind: serve\nname: talk\nmodel: chat/1\n")
    assert home.api.put("/v1/models/chat/aliases/prod", json={"number": 2}).status_code == 200


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SERVICE.format(number=1, gate="{suite: x, metric: accuracy}"), "nothing could fail such a gate"),
        (SERVICE.format(number=1, gate="{metric: accuracy, at_least: 1}"), "suite"),
        (
            f"kind: serve\nname: talk\nrun: sleep 1\nupdate: {{gate: {LEAST}}}\n",
            "only models of the registry",
        ),
    ],
)
def test_a_gate_that_makes_no_sense_is_refused(home, text, message):
    answer = home.api.post("/v1/plan", json=asking(text))
    assert answer.status_code == 422
    assert message in answer.text
