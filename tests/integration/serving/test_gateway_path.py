"""What goes through the gateway arrives as it was sent, and nothing else does."""

import asyncio
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from street import Request, gateway, get, post, replica, route, run, until, whole

ASK = b'{"model":"chat","messages":[]}'


def test_a_completion_reaches_the_service_of_its_model_and_comes_back() -> None:
    async def test() -> None:
        async with (
            replica(
                whole(b'{"ok":1}', headers="content-type: application/json\r\nx-of-mine: 1\r\n")
            ) as there,
            gateway(route(there.port)) as street,
        ):
            answer = await street.ask(
                post(ASK, headers="authorization: Bearer secret\r\nx-a: b\r\nx-request-id: r-1\r\n")
            )
            assert (answer.status, answer.body) == (200, b'{"ok":1}')
            assert answer.headers["x-request-id"] == "r-1"
            assert answer.headers["x-of-mine"] == "1"
            got = there.requests[0]
            assert (got.method, got.target, got.body) == ("POST", "/v1/chat/completions", ASK)
            assert got.headers["x-a"] == "b"
            assert got.headers["x-request-id"] == "r-1"
            assert got.headers["host"] == f"127.0.0.1:{there.port}"
            assert "authorization" not in got.headers

    run(test())


def test_connections_on_both_sides_are_kept() -> None:
    async def test() -> None:
        async with replica(whole(b"x")) as there, gateway(route(there.port)) as street:
            client = await street.client()
            for _ in range(5):
                client.send(post(ASK))
                assert (await client.answer()).body == b"x"
            assert there.connections == 1

    run(test())


def test_pipelined_requests_are_answered_in_order() -> None:
    async def test() -> None:
        async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
            await asyncio.sleep(0.02 if request.target.endswith("0") else 0)
            body = request.target.encode()
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))

        async with replica(answer) as there, gateway(route(there.port)) as street:
            client = await street.client()
            client.send(
                b"".join(get(f"/services/chat/{i}") for i in range(10)) + get("/nothing") + get("/healthz")
            )
            assert [(await client.answer()).body for _ in range(10)] == [b"/%d" % i for i in range(10)]
            assert (await client.answer()).status == 404
            assert (await client.answer()).status == 200

    run(test())


def test_gateway_itself_answers() -> None:
    async def test() -> None:
        async with gateway(route(1), route(1, service="embed", models=("mini",))) as street:
            assert (await street.ask(get("/healthz"))).status == 200
            assert (await street.ask(get("/readyz"))).status == 200
            models = json.loads((await street.ask(get("/v1/models"))).body)
            assert [model["id"] for model in models["data"]] == ["chat", "gpt-small", "mini"]
            head = await street.ask(b"HEAD /healthz HTTP/1.1\r\nhost: g\r\n\r\n")
            assert (head.status, head.body) == (200, b"")

    run(test())


@settings(max_examples=150)
@given(
    st.lists(st.integers(1, 700), max_size=12),
    st.lists(st.integers(1, 900), max_size=12),
    st.booleans(),
    st.booleans(),
)
def test_bytes_arrive_the_same_however_they_are_split(
    asked: list[int], told: list[int], up: bool, down: bool
) -> None:
    """`up`, `down`: the body goes in chunks to the gateway, and from the replica."""
    body = b'{"model":"chat","x":"%b"}' % (b"0123456789" * 40)
    back = bytes(range(256)) * 3

    async def test() -> None:
        async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
            message = b"HTTP/1.1 200 OK\r\nx-a: b\r\n" + framed(back, down)
            for piece in split(message, told):
                writer.write(piece)
                await asyncio.sleep(0)

        async with replica(answer) as there, gateway(route(there.port)) as street:
            client = await street.client()
            head = b"POST /v1/completions HTTP/1.1\r\nhost: g\r\nx-c: d\r\n"
            for piece in split((head + framed(body, up)) * 2, asked):
                client.send(piece)
                await asyncio.sleep(0)
            for _ in range(2):
                answer_ = await client.answer()
                assert (answer_.status, answer_.body, answer_.complete) == (200, back, True)
                assert answer_.headers["x-a"] == "b"
            assert [(request.body, request.headers["x-c"]) for request in there.requests] == [(body, "d")] * 2

    run(test())


def framed(body: bytes, chunked: bool) -> bytes:
    if not chunked:
        return b"content-length: %d\r\n\r\n%b" % (len(body), body)
    chunks = (body[start : start + 100] for start in range(0, len(body), 100))
    return (
        b"transfer-encoding: chunked\r\n\r\n"
        + b"".join(b"%x\r\n%b\r\n" % (len(c), c) for c in chunks)
        + b"0\r\n\r\n"
    )


def split(message: bytes, sizes: list[int]) -> list[bytes]:
    pieces, at = [], 0
    for size in sizes:
        pieces.append(message[at : at + size])
        at += size
    return [piece for piece in (*pieces, message[at:]) if piece]


def test_a_stream_arrives_piece_by_piece() -> None:
    async def test() -> None:
        go_on = asyncio.Event()

        async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
            )
            for number in range(3):
                event = b"data: %d\n\n" % number
                writer.write(b"%x\r\n%b\r\n" % (len(event), event))
                await go_on.wait()
                go_on.clear()
            writer.write(b"0\r\n\r\n")

        async with replica(answer) as there, gateway(route(there.port)) as street:
            client = await street.client()
            client.send(post(b'{"model":"chat","stream":true}'))
            seen = b""
            for number in range(3):
                while b"data: %d" % number not in seen:
                    seen += await client.reader.read(1000)
                assert b"data: %d" % (number + 1) not in seen
                go_on.set()
            assert (await client.reader.readuntil(b"0\r\n\r\n")).endswith(b"0\r\n\r\n")

    run(test())


def test_a_client_that_reads_slowly_slows_the_replica_and_not_the_memory() -> None:
    async def test() -> None:
        piece, written = bytes(2**16), 0

        async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
            nonlocal written
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (400 * len(piece)))
            for _ in range(400):
                writer.write(piece)
                await writer.drain()
                written += len(piece)

        async with replica(answer) as there, gateway(route(there.port)) as street:
            client = await street.client()
            client.send(get("/services/chat/big"))
            await until(lambda: written > 0)
            before = -1
            while before != written:  # until everything between the two is full
                before = written
                await asyncio.sleep(0.2)
            assert written < 20 * 2**20
            (held,) = street.gateway.clients
            assert held.transport.get_write_buffer_size() < 2**20
            answer_ = await client.answer()
            assert len(answer_.body) == 400 * len(piece)
            assert answer_.complete

    run(test())


def test_answers_without_a_body_or_a_length_are_understood() -> None:
    async def test() -> None:
        async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
            kind = request.target
            if kind == "/until-end":
                writer.write(b"HTTP/1.0 200 OK\r\n\r\nall of it")
                writer.close()
            elif kind == "/204":
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
            elif kind == "/304":
                writer.write(b"HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\netag: x\r\n\r\n")
            elif request.method == "HEAD":
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n")
            else:
                writer.write(
                    b"HTTP/1.1 103 Early\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
                )

        async with replica(answer) as there, gateway(route(there.port)) as street:
            client = await street.client()
            for path, method, status, body in (
                ("/until-end", "GET", 200, b"all of it"), ("/204", "GET", 204, b""), ("/304", "GET", 304, b""),
                ("/head", "HEAD", 200, b""), ("/early", "GET", 200, b"ok"),
            ):  # fmt: skip
                client.send(get(f"/services/chat{path}").replace(b"GET", method.encode()))
                answer_ = await client.answer(head_only=method == "HEAD")
                assert (answer_.status, answer_.body, answer_.complete) == (status, body, True)

    run(test())


def test_an_old_client_gets_no_chunks() -> None:
    async def test() -> None:
        async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\n" + framed(b"some text", True))

        async with replica(answer) as there, gateway(route(there.port)) as street:
            client = await street.client()
            client.send(b"GET /services/chat/ HTTP/1.0\r\n\r\n")
            answer_ = await client.answer()
            assert (answer_.body, answer_.closed) == (b"some text", True)
            assert "transfer-encoding" not in answer_.headers

    run(test())


def test_a_client_that_waits_for_continue_is_told_to() -> None:
    async def test() -> None:
        async with replica(whole(b"x")) as there, gateway(route(there.port)) as street:
            client = await street.client()
            head, _, body = post(ASK, headers="expect: 100-continue\r\n").partition(b"\r\n\r\n")
            client.send(head + b"\r\n\r\n")
            assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            client.send(body)
            assert (await client.answer()).body == b"x"
            assert "expect" not in there.requests[0].headers

    run(test())


def test_predict_and_services_reach_the_service_they_name() -> None:
    async def test() -> None:
        async with (
            replica(whole(b"a")) as a,
            replica(whole(b"b")) as b,
            gateway(route(a.port), route(b.port, service="embed", models=("mini",))) as street,
        ):
            for message, body in (
                (post(b"\x00\xff", "/predict", "x-suanli-service: embed\r\n"), b"b"),
                (post(b'{"model":"mini","x":[1]}', "/predict"), b"b"),
                (post(b'{"model":"gpt-small"}', "/predict"), b"a"),
                (get("/services/embed"), b"b"),
                (get("/services/embed/a/../b?c=d&e=%2f"), b"b"),
            ):
                assert (await street.ask(message)).body == body
            assert [request.target for request in b.requests][-2:] == ["/", "/a/../b?c=d&e=%2f"]

    run(test())


def test_a_later_service_takes_no_name_of_another() -> None:
    async def test() -> None:
        async with replica(whole(b"first")) as first, replica(whole(b"second")) as second:
            older = route(first.port, models=("chat", "shared", "embed"))
            newer = route(second.port, service="embed", models=("embed", "shared", "chat"))
            async with gateway(older, newer) as street:
                asked = [
                    await street.ask(post(b'{"model":"%b"}' % name))
                    for name in (b"chat", b"shared", b"embed")
                ]
                assert [answer.body for answer in asked] == [b"first", b"first", b"second"]

    run(test())


@pytest.mark.parametrize(
    "path",
    [
        "/v1/chat/%63ompletions",
        "/%761/chat/completions",
        "/v1%2Fchat/completions",
        "//v1/chat/completions",
        "/v1/completions#part",
        "/v1/%65mbeddings?a=b",
    ],
)
def test_no_operation_goes_by_unmetered_under_another_spelling(path: str) -> None:
    async def test() -> None:
        async with replica(whole(b"{}")) as there, gateway(route(there.port)) as street:
            answer = await street.ask(post(ASK, "/services/chat" + path))
            assert (answer.status, json.loads(answer.body)["code"]) == (400, "malformed_path")
            own = await street.ask(post(b"", "/services/chat/my%20own//path?a=%63"))
            assert own.status == 200
            assert [got.target for got in there.requests] == ["/my%20own//path?a=%63"]

    run(test())


def test_no_is_said_in_the_shape_of_the_caller() -> None:
    async def test() -> None:
        async with gateway(route(1)) as street:
            wrong = await street.ask(post(b'{"model":"gpt-smal"}'))
            assert wrong.status == 404
            error = json.loads(wrong.body)["error"]
            assert (error["code"], error["param"], error["type"]) == (
                "model_not_found",
                "model",
                "invalid_request_error",
            )
            assert "gpt-small" in error["message"]
            elsewhere = await street.ask(get("/services/chatt/x"))
            assert elsewhere.headers["content-type"] == "application/problem+json"
            assert "chat" in json.loads(elsewhere.body)["detail"]
            for message, status in (
                (post(b"{"), 400), (post(b"{}"), 400), (post(b'{"model":1}'), 400), (get("/v1/completions"), 405),
                (post(b"{}", "/predict"), 400), (get("/predict"), 405), (get("/"), 404), (post(b"", "/healthz"), 405),
                (post(ASK, headers="x-request-timeout-ms: soon\r\n"), 400),
            ):  # fmt: skip
                answer = await street.ask(message)
                assert answer.status == status
                assert answer.headers["x-request-id"]

    run(test())
