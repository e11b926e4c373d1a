"""The registry over HTTP: uploads in pieces, files by range, and what is refused along the way."""

import asyncio
import hashlib
import json
import threading
from typing import Any

import pytest
from tests.unit.models.files import JSON, everything_below, gguf, pickled, push, safetensors

from suanli.api.guard import BODY_BYTES_MAX, PIECE_BYTES_MAX
from suanli.api.routes import model_files

BIG = gguf() + bytes(range(256)) * (12 * 2**12)
"""A little over 12 MiB."""


def promise(path: str, body: bytes) -> dict[str, Any]:
    return {"path": path, "size_bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}


def begun(house: Any, files: dict[str, bytes], name: str = "chat", **more: Any) -> Any:
    promised = [promise(path, body) for path, body in files.items()]
    answer = house.api.post(f"/v1/models/{name}/uploads", json={"files": promised, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


def sent(house: Any, upload: str, body: bytes, piece: bytes, offset: int, name: str = "chat") -> Any:
    sha256 = hashlib.sha256(body).hexdigest()
    return house.api.put(f"/v1/models/{name}/uploads/{upload}/{sha256}?offset={offset}", content=piece)


def test_a_version_is_uploaded_in_pieces_and_read_by_range(house):
    upload = begun(house, {"m.gguf": BIG, "config.json": JSON}, task="text-generation", tags={"a": "b"})[
        "upload"
    ]
    assert sent(house, upload, BIG, BIG[:PIECE_BYTES_MAX], 0).json() == {"offset": PIECE_BYTES_MAX}
    assert begun(house, {"m.gguf": BIG, "config.json": JSON})["wanted"][0]["offset"] == PIECE_BYTES_MAX
    early = house.api.post(f"/v1/models/chat/uploads/{upload}/commit")
    assert (early.status_code, early.json()["code"]) == (409, "SL-MODEL-INCOMPLETE")
    assert sent(house, upload, BIG, BIG[PIECE_BYTES_MAX:], PIECE_BYTES_MAX).status_code == 200
    assert sent(house, upload, JSON, JSON, 0).status_code == 200
    version = house.api.post(f"/v1/models/chat/uploads/{upload}/commit").json()
    assert (version["number"], version["actor"], version["created_s"]) == (1, "local", house.clock.now_s())
    assert house.api.get("/v1/models/chat/1").json() == version

    url = "/v1/models/chat/1/files/m.gguf"
    whole = house.api.get(url)
    assert (whole.status_code, whole.content) == (200, BIG)
    for said, first, last in (
        ("bytes=0-0", 0, 0),
        ("bytes=100-199", 100, 199),
        (f"bytes={len(BIG) - 5}-", -5, 0),
    ):
        part = house.api.get(url, headers={"Range": said})
        expected = BIG[first:] if first < 0 else BIG[first : last + 1]
        assert (part.status_code, part.content) == (206, expected)
        assert part.headers["content-range"].endswith(f"/{len(BIG)}")
    for said in (f"bytes={len(BIG)}-", "bytes=5-4", "bytes=-5", "bytes=0-1,3-4", "lines=1-2", "bytes=x-y"):
        refused = house.api.get(url, headers={"Range": said})
        assert (refused.status_code, refused.json()["code"]) == (416, "SL-RANGE")


def test_a_piece_may_be_larger_than_other_bodies_and_is_bounded_too(house):
    upload = begun(house, {"m.gguf": BIG})["upload"]
    beyond = sent(house, upload, BIG, b"x" * (PIECE_BYTES_MAX + 1), 0)

    def pieces():
        for _ in range(PIECE_BYTES_MAX // 2**16 + 1):
            yield b" " * 2**16

    unsaid = sent(house, upload, BIG, pieces(), 0)  # pyright: ignore[reportArgumentType]
    for refused in (beyond, unsaid):
        assert (refused.status_code, refused.json()["code"]) == (413, "SL-TOO-LARGE")
    assert begun(house, {"m.gguf": BIG})["wanted"][0]["offset"] == 0
    for method, path in (
        ("POST", f"/v1/models/chat/uploads/{upload}/{'0' * 64}"),
        ("PUT", f"/v1/models/chat/uploads/{upload}/{'0' * 63}"),
        ("PUT", f"/v1/models/chat/uploads/{upload}/{'0' * 64}/x"),
        ("PUT", f"/v1/models/a/b/uploads/{upload}/{'0' * 64}"),
        ("POST", "/v1/models/chat/uploads"),
    ):
        refused = house.api.request(method, path, content=b" " * (BODY_BYTES_MAX + 1))
        assert (method, path, refused.status_code) == (method, path, 413)


def test_pieces_that_overlap_leave_gaps_or_are_not_promised_are_refused(house):
    upload = begun(house, {"m.gguf": BIG})["upload"]
    assert sent(house, upload, BIG, BIG[:100], 0).status_code == 200
    for offset in (0, 99, 101, 2**50):
        refused = sent(house, upload, BIG, b"x", offset)
        assert (refused.status_code, refused.json()["evidence"]) == (409, {"offset": 100})
    assert sent(house, upload, b"never promised", b"n", 0).status_code == 400
    assert sent(house, "0" * 40, BIG, b"x", 0).status_code == 404
    assert house.api.delete(f"/v1/models/chat/uploads/{upload}").status_code == 200
    assert everything_below(house.running.home.path / "models") == []


@pytest.mark.parametrize(
    "body", [pickled(2), b"\x7fELF\2\1\1\0", safetensors()[:-4]], ids=["pickle", "elf", "cut"]
)
def test_what_may_not_enter_is_refused_at_its_last_byte_and_nothing_is_left(house, body):
    upload = begun(house, {"model.safetensors": body, "config.json": JSON})["upload"]
    sent(house, upload, JSON, JSON, 0)
    refused = sent(house, upload, body, body, 0)
    assert refused.status_code == 422
    assert refused.json()["remedy"]
    assert everything_below(house.running.home.path / "models") == []
    assert house.api.get("/v1/models").json() == {"versions": [], "aliases": []}


def test_aliases_tags_evaluations_and_deletion_name_their_actor(house):
    for seed in range(3):
        push(house.running.models, {"model.safetensors": safetensors(seed)})
    api = house.api
    assert api.put("/v1/models/chat/aliases/prod", json={"number": 1}).json()["number"] == 1
    assert api.put("/v1/models/chat/aliases/dev", json={"number": 3, "expected": 0}).status_code == 200
    assert api.put("/v1/models/chat/aliases/dev", json={"number": 2, "expected": 0}).status_code == 409
    assert api.put("/v1/models/chat/aliases/prod", json={"same_as": "dev"}).json()["number"] == 3
    assert api.post("/v1/models/chat/aliases/prod/rollback").json()["number"] == 1
    assert api.patch("/v1/models/chat/1/tags", json={"tags": {"x": "y", "z": None}}).json()["tags"] == {
        "x": "y"
    }
    scored = api.post(
        "/v1/models/chat/1/evaluations", json={"suite": "stsb", "metrics": {"spearman": 0.82}}
    ).json()
    (kept,) = scored["evaluations"]
    assert (kept["suite"], kept["metrics"]) == ("stsb", {"spearman": 0.82})
    assert (kept["at_s"], kept["actor"]) == (house.clock.now_s(), "local")
    assert api.delete("/v1/models/chat/aliases/dev").status_code == 200
    assert api.delete("/v1/models/chat/1").json()["code"] == "SL-MODEL-ALIASED"
    house.apply("kind: serve\nname: talk\nmodel: chat/2\n")
    assert api.delete("/v1/models/chat/2").json()["code"] == "SL-MODEL-IN-USE"
    assert api.delete("/v1/models/chat/3").status_code == 200
    changes = api.get("/v1/models/chat").json()["changes"]
    assert {change["actor"] for change in changes[3:]} == {"local"}
    assert api.post("/v1/models/-/gc?dry_run=true").json()["blobs"] == 1
    assert api.post("/v1/models/-/gc").json()["freed_bytes"] == len(safetensors(2))


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"number": 1, "same_as": "dev"},
        {"same_as": "dev", "expected": 1},
        {"number": -1},
        {"number": "one"},
        {"number": 1, "more": 2},
    ],
)
def test_an_alias_is_named_in_one_way(house, body):
    assert house.api.put("/v1/models/chat/aliases/prod", json=body).status_code == 422


@pytest.mark.parametrize("alias", ["3", "a b", "-", "a..b"])
def test_an_alias_that_could_be_taken_for_something_else_is_refused(house, alias):
    push(house.running.models, {"m.gguf": gguf()})
    assert (
        house.api.put(f"/v1/models/chat/aliases/{alias}", json={"number": 1}).json()["code"]
        == "SL-MODEL-ALIAS"
    )


def test_two_who_send_the_same_file_at_once_do_not_spoil_it(house):
    upload = begun(house, {"m.gguf": BIG})["upload"]
    statuses: list[int] = []

    def send() -> None:
        offset = 0
        while offset < len(BIG):
            answer = sent(house, upload, BIG, BIG[offset : offset + 2**20], offset)
            statuses.append(answer.status_code)
            body = answer.json()
            offset = body["evidence"].get("offset", offset) if answer.status_code == 409 else body["offset"]

    threads = [threading.Thread(target=send) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(statuses) <= {200, 409}
    assert house.api.post(f"/v1/models/chat/uploads/{upload}/commit").json()["size_bytes"] == len(BIG)


def test_senders_that_stall_are_let_go_and_do_not_keep_others_waiting_for_ever(house, monkeypatch):
    monkeypatch.setattr(model_files, "PIECE_S", 0.3)
    monkeypatch.setattr(model_files, "ROOM_S", 0.05)
    upload = begun(house, {"m.gguf": BIG})["upload"]

    async def all_at_once() -> list[tuple[int, str]]:
        return await asyncio.gather(*(_stalled(house, upload) for _ in range(model_files.PIECES_AT_ONCE + 2)))

    answers = asyncio.run(all_at_once())
    assert sorted(answers) == [(400, "SL-MODEL-SLOW")] * model_files.PIECES_AT_ONCE + [(429, "SL-RATE")] * 2
    assert begun(house, {"m.gguf": BIG})["wanted"][0]["offset"] == 0


async def _stalled(house: Any, upload: str) -> tuple[int, str]:
    """Status and code for a sender of whom nothing comes after the first byte."""
    said: list[Any] = []
    first = [{"type": "http.request", "body": b"x", "more_body": True}]

    async def receive() -> Any:
        return first.pop() if first else await asyncio.Event().wait()

    async def send(message: Any) -> None:
        said.append(message)

    headers = [(b"host", b"127.0.0.1:8100"), (b"authorization", f"Bearer {house.secret}".encode())]
    path = f"/v1/models/chat/uploads/{upload}/{hashlib.sha256(BIG).hexdigest()}"
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "PUT",
        "scheme": "http",
    }
    scope |= {"path": path, "raw_path": path.encode(), "query_string": b"offset=0", "root_path": ""}
    scope |= {"headers": headers, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8100)}
    await house.app(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in said[1:])
    return said[0]["status"], json.loads(body)["code"]
