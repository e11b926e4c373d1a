"""API keys over HTTP: made, told once, changed, revoked; and what gateways say that they used."""

import hashlib
from typing import Any

import msgspec
import pytest

from suanli.control.keys import keys_of
from suanli.serving.admission.usage import NANO, Counted, Hour, path_of


def make(house: Any, name: str = "ci", **terms: Any) -> Any:
    made = house.api.post("/v1/keys", json={"name": name, **terms})
    assert made.status_code == 200, made.text
    return made.json()


def test_a_secret_is_told_once_and_only_its_digest_is_kept(house: Any) -> None:
    made = make(house, team="red", services=["chat"], requests_per_s=10, budget_usd=5, budget_period_s=86400)
    secret = made["secret"]
    assert secret.startswith("sk-suanli-")
    assert len(secret) >= 10 + 43
    told = house.api.get("/v1/keys/ci")
    assert told.json() == made["key"]
    assert secret not in told.text + house.api.get("/v1/keys").text
    assert not any(secret.encode() in body for body in house.store.documents("key").values())
    (key,) = keys_of(house.store)
    assert key.digest == hashlib.sha256(secret.encode()).hexdigest()
    assert (key.team, key.services, key.requests_per_s, key.budget_usd) == ("red", ("chat",), 10, 5)


def test_a_change_touches_only_what_it_names_and_null_lifts_a_limit(house: Any) -> None:
    make(house, requests_per_s=10, tokens_per_min=2000)
    before = keys_of(house.store)[0]
    changed = house.api.patch("/v1/keys/ci", json={"requests_per_s": None, "team": "blue"}).json()
    assert (changed["requests_per_s"], changed["tokens_per_min"], changed["team"]) == (None, 2000, "blue")
    assert keys_of(house.store)[0].digest == before.digest


def test_a_revoked_key_is_gone_for_gateways_and_its_name_is_free(house: Any) -> None:
    first = make(house)["secret"]
    assert house.api.post("/v1/keys/ci/revoke").json()["state"] == "revoked"
    assert keys_of(house.store) == ()
    assert house.api.patch("/v1/keys/ci", json={"team": "x"}).json()["code"] == "SL-KEY-REVOKED"
    assert house.api.post("/v1/keys/ci/revoke").status_code == 409
    assert make(house)["secret"] != first


def test_a_key_ends_by_itself(house: Any) -> None:
    make(house, expires_in_s=60)
    assert house.api.get("/v1/keys/ci").json()["state"] == "active"
    house.clock.advance(61.0)
    assert house.api.get("/v1/keys/ci").json()["state"] == "expired"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"name": "ci"}, 409),
        ({"name": "../x"}, 400),
        ({"name": ""}, 400),
        ({"name": "x", "requests_per_s": 0}, 422),
        ({"name": "x", "requests_per_s": "many"}, 422),
        ({"name": "x", "tokens_per_min": 0.5}, 400),
        ({"name": "x", "budget_usd": -1}, 422),
        ({"name": "x", "budget_usd": 1, "budget_period_s": 1}, 400),
        ({"name": "x", "services": []}, 422),
        ({"name": "x", "team": None}, 422),
        ({"name": "x", "secret": "mine"}, 422),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_is_made(house: Any, body: Any, status: int) -> None:
    make(house)
    refused = house.api.post("/v1/keys", json=body)
    assert refused.status_code == status, refused.text
    assert refused.json()["remedy"]
    assert len(house.store.documents("key")) == 1


def test_there_is_no_key_of_that_name(house: Any) -> None:
    for verb, path in (("GET", "x"), ("PATCH", "x"), ("POST", "x/revoke")):
        assert house.api.request(verb, f"/v1/keys/{path}", json={}).json()["code"] == "SL-KEY-UNKNOWN"
    assert house.api.get("/v1/usage?key=x").status_code == 404


def test_usage_of_gateways_is_counted_once_however_often_it_is_read(house: Any) -> None:
    make(house)
    hour = int(house.clock.now_s() // 3600)
    row = Counted(
        key="ci", team="red", service="chat", requests=3, tokens_out=7, nano_usd=NANO, joules=7200.0
    )
    folder = house.running.home.gateway

    def tell(seq: int, *rows: Counted) -> Any:
        path_of(folder, hour).parent.mkdir(parents=True, exist_ok=True)
        path_of(folder, hour).write_bytes(msgspec.json.encode(Hour(number=hour, seq=seq, rows=rows)))
        return house.api.get("/v1/usage?key=ci&period=hour").json()["usage"]

    assert tell(5, row) == tell(5, row)
    (used,) = tell(5, row)
    assert (used["requests"], used["tokens_out"], used["cost_usd"], used["energy_joules"]) == (
        3,
        7,
        1.0,
        7200.0,
    )
    row.requests = 4
    assert [each["requests"] for each in tell(6, row)] == [4]
    row.requests = 1
    assert [each["requests"] for each in tell(2, row)] == [4]  # an older copy changes nothing
    assert house.api.get("/v1/usage?period=day").json()["usage"][0]["requests"] == 4


def test_usage_is_taken_over_each_hour_without_anybody_asking(house: Any) -> None:
    hour = int(house.clock.now_s() // 3600)
    path = path_of(house.running.home.gateway, hour)
    path.parent.mkdir(parents=True)
    row = Counted(key="ci", team="red", service="chat", requests=3)
    path.write_bytes(msgspec.json.encode(Hour(number=hour, seq=1, rows=(row,))))
    house.clock.advance(3700.0)
    house.cycle()
    assert len(house.store.documents("usage")) == 1
