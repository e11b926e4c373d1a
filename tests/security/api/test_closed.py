"""Everything is closed to those without a token, and to requests that were led here by a web page."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import WebSocketDisconnect
from fastapi.routing import APIRoute

from suanli.api.guard import BODY_BYTES_MAX, OPEN_PATHS
from suanli.credentials.tokens import new_token
from suanli.ports.store import Token

OPEN = {"/healthz", "/readyz"}


def routes_of(router: Any) -> Iterator[Any]:
    """Every route, those of included routers too, whatever their type."""
    for route in router.routes:
        inner = getattr(route, "original_router", None)
        yield from routes_of(inner) if inner else [route]


def test_the_list_of_what_is_open_is_this_and_no_longer():
    assert OPEN_PATHS == OPEN


def test_every_route_but_those_needs_a_token(house):
    closed = 0
    for route in routes_of(house.app):
        path = route.path.replace("{", "").replace("}", "").replace(":path", "")
        for method in getattr(route, "methods", None) or ["GET"]:
            refused = house.stranger.request(method, path)
            if path in OPEN:
                assert refused.status_code == 200
                continue
            closed += 1
            assert (method, path, refused.status_code) == (method, path, 401)
            problem = refused.json()
            assert (problem["code"], problem["exit_code"]) == ("SL-AUTH", 6)
            assert refused.headers["www-authenticate"] == "Bearer"
    assert closed >= 19


def test_there_is_no_route_that_the_guard_does_not_stand_before(house):
    """Mounts and documents of frameworks would be routes that nobody listed."""
    assert {type(route) for route in routes_of(house.app)} == {APIRoute}


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/redoc", "/openapi.json", "/nope", "/healthz/", "//healthz", "/HEALTHZ"]
)
def test_whether_a_path_exists_is_told_to_nobody_without_a_token(house, path):
    assert house.stranger.get(path).status_code == 401


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic {secret}",
        "{secret}",
        "Bearer x{secret}",
        "Bearer {secret}x",
        "Token {secret}",
        "Bearer {secret} {secret}",
        "Bearer \xe9\xff",
        "Bearer " + "a" * 5000,
    ],
)
def test_what_is_no_token_opens_nothing(house, header):
    said = header.replace("{secret}", house.secret).encode("latin-1")
    refused = house.stranger.get("/v1/status", headers=[(b"authorization", said)])
    assert refused.status_code == 401
    assert house.secret not in refused.text


def test_a_body_is_not_read_before_the_token_is_seen(house):
    refused = house.stranger.post(
        "/v1/apply", content=b"{" * 100, headers={"Content-Type": "application/json"}
    )
    assert refused.status_code == 401


def test_web_sockets_are_refused(house):
    with pytest.raises(WebSocketDisconnect), house.api.websocket_connect("/v1/events"):
        pass


def test_a_token_that_was_taken_away_stops_working_within_seconds(house):
    secret, token = new_token("guest", 0.0)
    house.store.add_token(token)
    guest = {"Authorization": f"Bearer {secret}"}
    assert house.stranger.get("/v1/status", headers=guest).status_code == 200
    house.store.add_token(new_token("guest", 1.0)[1])
    house.pace_s = 0.0
    house.knocks_s += 2.0
    assert house.stranger.get("/v1/status", headers=guest).status_code == 401


def test_a_token_does_what_its_scopes_say_and_no_more(house):
    def holder_of(*scopes: str) -> dict[str, str]:
        secret, token = new_token("-".join(("with", *scopes)), 0.0)
        house.store.add_token(Token(name=token.name, digest=token.digest, created_s=0.0, scopes=scopes))
        return {"Authorization": f"Bearer {secret}"}

    nothing, reader = holder_of(), holder_of("read")
    assert house.stranger.get("/v1/status", headers=nothing).status_code == 403
    assert house.stranger.get("/v1/status", headers=reader).status_code == 200
    refused = house.stranger.put("/v1/policy", json={"policy": "fifo"}, headers=reader)
    assert (refused.status_code, refused.json()["code"], refused.json()["exit_code"]) == (
        403,
        "SL-FORBIDDEN",
        6,
    )
    assert house.controller.world.policy.startswith("priority")


HOSTS = [
    "evil.example", "evil.example:8100", "localhost.evil.example", "127.0.0.1.evil.example", "127.0.0.2",
    "0.0.0.0", "[::]", "[::1", "::1", "127.0.0.1:8100:8100", "127.0.0.1, evil.example", "evil.example@127.0.0.1",
    "127.0.0.1/evil", "127.0.0.1:port", "", " ", "2130706433", "0x7f.1", "127.1", "LOCALHOST.", "[::ffff:127.0.0.1]",
]  # fmt: skip
ORIGINS = [
    "http://evil.example", "https://127.0.0.1.evil.example", "null", "http://127.0.0.1:3000", "http://localhost:8100",
    "http://127.0.0.1", "file://", "http://127.0.0.1:8100/path", "http://evil@127.0.0.1:8100", "ftp://127.0.0.1:8100",
    "http://127.0.0.1:8100 http://evil.example", "",
]  # fmt: skip


@pytest.mark.parametrize("host", HOSTS)
def test_a_name_that_only_leads_here_is_refused(host, house):
    for client in (house.api, house.stranger):
        for path in ("/v1/status", "/healthz"):
            refused = client.get(path, headers=[("host", host)])
            assert (refused.status_code, refused.json()["code"]) == (400, "SL-HOST")


@pytest.mark.parametrize("origin", ORIGINS)
def test_a_page_of_another_origin_changes_nothing(origin, house):
    refused = house.api.put("/v1/policy", json={"policy": "fifo"}, headers={"Origin": origin})
    assert (refused.status_code, refused.json()["code"]) == (403, "SL-ORIGIN")
    assert house.controller.world.policy.startswith("priority")


def test_ones_own_names_and_origin_are_let_in(house):
    for host in ("127.0.0.1:8100", "localhost:8100", "LocalHost", "[::1]:8100"):
        assert house.api.get("/v1/status", headers={"Host": host}).status_code == 200
    own = {"Origin": "http://127.0.0.1:8100"}
    assert house.api.put("/v1/policy", json={"policy": "fifo"}, headers=own).status_code == 200


def test_no_other_origin_may_read_answers(house):
    asked = {"Origin": "http://evil.example", "Access-Control-Request-Method": "GET"}
    preflight = house.stranger.options("/v1/status", headers=asked)
    answer = house.api.get("/v1/status", headers={"Origin": "http://evil.example"})
    for response in (preflight, answer):
        assert not [name for name in response.headers if name.startswith("access-control")]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_a_body_beyond_its_limit_is_refused_whether_it_says_its_length_or_not(house):
    def pieces():
        for _ in range(BODY_BYTES_MAX // 2**16 + 1):
            yield b" " * 2**16

    says = house.api.post(
        "/v1/plan", content=b" " * (BODY_BYTES_MAX + 1), headers={"Content-Type": "application/json"}
    )
    says_not = house.api.post("/v1/plan", content=pieces(), headers={"Content-Type": "application/json"})
    for refused in (says, says_not):
        assert (refused.status_code, refused.json()["code"]) == (413, "SL-TOO-LARGE")


@pytest.mark.parametrize("length", ["-1", "1e3", "9" * 5000, "0x10", "٣"])
def test_a_length_that_is_none_is_refused(house, length):
    header = [(b"content-length", length.encode()), (b"content-type", b"application/json")]
    assert house.api.post("/v1/plan", headers=header).status_code in (400, 413)


def test_nothing_of_the_inside_leaks_where_something_unforeseen_happens(house, monkeypatch):
    def fail(*_: object) -> None:
        raise RuntimeError("the password is hunter2, at /home/somebody/suanli.py")

    monkeypatch.setattr("suanli.api.routes.nodes.node_views", fail)
    refused = house.api.get("/v1/nodes")
    problem = refused.json()
    assert (refused.status_code, problem["code"], problem["exit_code"]) == (500, "SL-UNEXPECTED", 1)
    assert "hunter2" not in refused.text
    assert "Traceback" not in refused.text
    assert problem["request_id"] in problem["remedy"]
    assert refused.headers["x-request-id"] == problem["request_id"]
