"""Who knocks too often waits."""

import pytest
from fastapi.testclient import TestClient

from suanli.api.limits import CALLERS_MAX, Buckets, TooManyRequests

WRONG = {"Authorization": "Bearer wrong"}


def test_the_sixth_failed_login_of_a_minute_waits(house):
    house.pace_s = 0.0
    answers = [house.stranger.get("/v1/status", headers=WRONG) for _ in range(8)]
    assert [answer.status_code for answer in answers] == [401] * 5 + [429] * 3
    assert answers[-1].json()["code"] == "SL-RATE"
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 12
    house.knocks_s += 12.0
    assert house.stranger.get("/v1/status", headers=WRONG).status_code == 401
    assert house.stranger.get("/v1/status", headers=WRONG).status_code == 429


def test_another_address_and_a_valid_token_are_not_made_to_wait(house):
    house.pace_s = 0.0
    for _ in range(10):
        house.stranger.get("/v1/status", headers=WRONG)
    elsewhere = TestClient(house.app, base_url="http://127.0.0.1:8100", client=("10.0.0.9", 1))
    assert elsewhere.get("/v1/status", headers=WRONG).status_code == 401
    assert house.api.get("/v1/status").status_code == 200


def test_a_request_without_any_token_is_no_guess(house):
    house.pace_s = 0.0
    assert {house.stranger.get("/v1/status").status_code for _ in range(20)} == {401}


def test_a_token_has_a_hundred_requests_a_second(house):
    house.pace_s = 0.0
    answers = [house.api.get("/v1/policy").status_code for _ in range(105)]
    assert answers == [200] * 100 + [429] * 5
    house.knocks_s += 0.5
    assert [house.api.get("/v1/policy").status_code for _ in range(51)] == [200] * 50 + [429]
    assert house.stranger.get("/healthz").status_code == 200


def test_of_endless_callers_the_oldest_are_forgotten():
    buckets = Buckets(1.0, 1.0, lambda: 0.0)
    for caller in range(CALLERS_MAX + 10):
        buckets.take(str(caller))
    assert len(buckets._buckets) == CALLERS_MAX
    with pytest.raises(TooManyRequests):
        buckets.take(str(CALLERS_MAX))
