"""What goes through the gateway arrives as it was sent, and nothing else does."""

import asyncio
import json
import sys
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).parent))

from street import Request, gateway, get, post, replica, route, run, whole

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
    assert msgspec
