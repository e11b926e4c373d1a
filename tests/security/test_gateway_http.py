"""What the gateway refuses: requests that two readers could understand in two ways, too much, too slowly, too odd."""

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1] / "integration" / "serving"))

from street import Request, Street, gateway, get, post, replica, route, run, until, whole

from suanli.serving.gateway import server
from suanli.serving.gateway.admission_port import OpenAdmission, Refusal
from suanli.serving.gateway.routes import Routes

BODY = b'{"model":"chat"}'
HOST = b"host: g\r\n"
CHUNKED = b"POST /services/chat/ HTTP/1.1\r\nhost: g\r\ntransfer-encoding: chunked\r\n\r\n"
SMUGGLED = b"GET /services/chat/smuggled HTTP/1.1\r\nhost: g\r\n\r\n"

AMBIGUOUS = {
    "length and coding": HOST + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "coding and length": HOST + b"transfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n0\r\n\r\n",
    "two lengths": HOST + b"content-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
    "a list of lengths": HOST + b"content-length: 3, 3\r\n\r\nabc",
    "a signed length": HOST + b"content-length: +3\r\n\r\nabc",
    "a length in hex": HOST + b"content-length: 0x3\r\n\r\nabc",
    "a length too long": HOST + b"content-length: 99999999999999999999999\r\n\r\n",
    "another coding": HOST + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "not the last coding": HOST + b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "an odd coding": HOST + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
    "two codings": HOST + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "a space before the colon": HOST + b"transfer-encoding : chunked\r\n\r\n0\r\n\r\n",
    "a folded header": HOST + b"x-a: b\r\n transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "a bare line feed": HOST + b"x-a: b\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "a bare carriage return": HOST + b"x-a: b\rx-c: d\r\n\r\n",
    "a null byte": HOST + b"x-a: \x00\r\n\r\n",
    "a control in a name": HOST + b"x\x01a: b\r\n\r\n",
    "no host": b"x-a: b\r\n\r\n",
    "two hosts": HOST + HOST + b"\r\n",
    "two keys": HOST + b"authorization: a\r\nauthorization: b\r\n\r\n",
}


async def seen_by_replica(message: bytes) -> tuple[bytes, list[Request]]:
    """What the client reads until the connection ends, and what the replica got."""
    async with replica(whole(b"x")) as there, gateway(route(there.port)) as street:
        client = await street.client()
        client.send(message)
        try:
            answered = await client.reader.read()
        except ConnectionError:
            answered = b""
        return answered, there.requests


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_an_ambiguous_request_is_refused_and_ends_the_connection(name: str) -> None:
    async def test() -> None:
        answered, requests = await seen_by_replica(
            b"POST /services/chat/ HTTP/1.1\r\n" + AMBIGUOUS[name] + SMUGGLED
        )
        assert answered.startswith(b"HTTP/1.1 400 ")
        assert len(re.findall(rb"HTTP/1.1 \d", answered)) == 1
        assert not requests

    run(test())


@pytest.mark.parametrize(
    "chunks",
    [b"5\nabcde\r\n0\r\n\r\n", b"-1\r\n\r\n", b"0x5\r\nabcde\r\n0\r\n\r\n", b"5;a=b\nabcde\r\n0\r\n\r\n",
     b"5\r\nabcdefgh\r\n0\r\n\r\n", b"fffffffffffffffff\r\n", b"5 \r\nabcde\r\n0\r\n\r\n", b"zz\r\n\r\n"],
)  # fmt: skip
def test_malformed_chunks_are_refused(chunks: bytes) -> None:
    async def test() -> None:
        answered, requests = await seen_by_replica(CHUNKED + chunks + SMUGGLED)
        assert answered.startswith(b"HTTP/1.1 4")
        assert not any("smuggled" in request.target for request in requests)

    run(test())


@pytest.mark.parametrize(
    "start",
    [b"GET\r\n\r\n", b"GET / HTTP/9.9\r\nhost: g\r\n\r\n",
     b"\x16\x03\x01\x02\x00",
     b"GET / HTTP/2.0\r\nhost: g\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
     b"CONNECT a:1 HTTP/1.1\r\nhost: g\r\n\r\n",
     b"GET http://a@b:x/ HTTP/1.1\r\n\r\n", b"GET ftp://a/ HTTP/1.1\r\nhost: g\r\n\r\n",
     b"FOO / HTTP/1.1\r\nhost: g\r\n\r\n"],
)  # fmt: skip
def test_what_is_no_request_gets_an_answer_of_four_hundred(start: bytes) -> None:
    async def test() -> None:
        answered, requests = await seen_by_replica(start)
        assert answered.startswith(b"HTTP/1.1 4")
        assert not requests

    run(test())


@settings(max_examples=150)
@given(
    st.binary(max_size=300), st.sampled_from([b"", CHUNKED, b"POST /v1/completions HTTP/1.1\r\nhost: g\r\n"])
)
def test_no_bytes_make_it_answer_five_hundred(noise: bytes, start: bytes) -> None:
    async def test() -> None:
        async with gateway(route(1)) as street:
            client = await street.client()
            client.send(start + noise)
            client.writer.write_eof()
            answered = await client.reader.read()
            assert not answered or answered.startswith(b"HTTP/1.1 4")
            assert (await street.ask(get("/healthz"))).status == 200

    run(test())


def test_headers_between_neighbours_stay_there() -> None:
    async def test() -> None:
        kept = (
            "connection: keep-alive, x-secret\r\nx-secret: 1\r\nkeep-alive: timeout=5\r\nte: trailers\r\n"
            "proxy-authorization: x\r\nauthorization: Bearer sk\r\nx-forwarded-for: 6.6.6.6\r\n"
            "forwarded: for=6.6.6.6\r\nx-request-timeout-ms: 5000\r\nx-forwarded-host: evil\r\n"
        )
        back = "connection: x-inner\r\nx-inner: 1\r\nkeep-alive: 5\r\nx-request-id: theirs\r\nx-outer: 1\r\n"
        async with replica(whole(b"x", headers=back)) as there, gateway(route(there.port)) as street:
            answer = await street.ask(post(BODY, headers=kept))
            got = there.requests[0].headers
            assert got.keys() == {"host", "content-type", "content-length", "x-forwarded-for", "x-request-id"}
            assert got["x-forwarded-for"] == "127.0.0.1"
            assert answer.headers.keys() == {"x-outer", "content-length", "x-request-id"}
            assert answer.headers["x-request-id"] == got["x-request-id"]

    run(test())


@pytest.mark.parametrize("given_id", ["a b", "x" * 129, "<script>", '"', "", "\\", "ü"])
def test_an_odd_request_id_is_replaced(given_id: str) -> None:
    async def test() -> None:
        async with gateway() as street:
            answer = await street.ask(get("/healthz", f"x-request-id: {given_id}\r\n"))
            assert answer.headers["x-request-id"] != given_id

    run(test())


def test_a_second_answer_of_a_replica_reaches_nobody() -> None:
    async def test() -> None:
        async def two(request: Request, writer: asyncio.StreamWriter) -> None:
            one = b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n"
            writer.write(one + b"x" + one + b"y")

        async with replica(two) as there, gateway(route(there.port)) as street:
            client = await street.client()
            for _ in range(5):
                client.send(post(BODY))
                assert (await client.answer()).body == b"x"
            assert there.connections == 5

    run(test())


@pytest.mark.parametrize(
    "answer",
    [b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
     b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
     b"HTTP/1.1 200 OK\r\nx: " + b"a" * 300_000],
)  # fmt: skip
def test_an_answer_that_is_none_is_a_bad_gateway(answer: bytes) -> None:
    async def test() -> None:
        async def odd(request: Request, writer: asyncio.StreamWriter) -> None:
            writer.write(answer)

        async with replica(odd) as there, gateway(route(there.port)) as street:
            told = await street.ask(post(BODY))
            assert told.status == 502
            assert b"nonsense" not in told.body
            assert str(there.port).encode() not in told.body

    run(test())


# --- too much


def test_a_body_of_a_hundred_megabytes_is_refused_before_it_is_read() -> None:
    async def test() -> None:
        async with gateway(route(1, body_bytes_max=2**20)) as street:
            client = await street.client()
            client.send(b"POST /v1/completions HTTP/1.1\r\nhost: g\r\ncontent-length: 104857600\r\n\r\n")
            answer = await client.answer()
            assert answer.status == 413
            assert answer.headers["connection"] == "close"
            assert json.loads(answer.body)["error"]["code"] == "body_too_large"
            await sent_in_vain(client.writer, 100 * 2**20)

    run(test())


def test_a_hundred_megabytes_in_chunks_are_refused_once_too_many_came() -> None:
    async def test() -> None:
        async with gateway(route(1, body_bytes_max=2**20)) as street:
            client = await street.client()
            client.send(
                b"POST /v1/completions HTTP/1.1\r\nhost: g\r\ntransfer-encoding: chunked\r\n\r\n6400000\r\n"
            )
            sending = asyncio.ensure_future(sent_in_vain(client.writer, 100 * 2**20))
            assert (await client.answer()).status == 413
            await sending
            assert all(len(connection._body) < 2**21 for connection in street.gateway.clients)

    run(test())


async def sent_in_vain(writer: asyncio.StreamWriter, size: int) -> None:
    piece = bytes(2**20)
    try:
        for _ in range(size // len(piece)):
            writer.write(piece)
            await writer.drain()
    except ConnectionError:
        return


def test_a_large_body_of_nobody_is_not_read() -> None:
    class Closed(OpenAdmission):
        def visible(self, routes: Routes, authorization: bytes | None, now_s: float) -> Any:
            return Refusal(status=401, code="missing_api_key", message="No key.")

    async def test() -> None:
        async with gateway(route(1), admission=Closed()) as street:
            client = await street.client()
            client.send(b"POST /v1/completions HTTP/1.1\r\nhost: g\r\ncontent-length: 1048576\r\n\r\n")
            assert (await client.answer()).status == 401

    run(test())


@pytest.mark.parametrize(
    "head",
    [b"x-a: " + b"a" * 40_000, b"x-a: " + b"a" * 300_000, b"\r\n".join(b"x-%d: b" % i for i in range(5000))],
)
@pytest.mark.parametrize("ended", [False, True])
def test_a_head_too_long_is_refused(head: bytes, ended: bool) -> None:
    async def test() -> None:
        message = b"GET /healthz HTTP/1.1\r\nhost: g\r\n" + head + (b"\r\n\r\n" if ended else b"")
        answered, _ = await seen_by_replica(message)
        assert answered.startswith(b"HTTP/1.1 431 ")

    run(test())


@pytest.mark.parametrize("rest", [b"0\r\nx-a: ", b"1;"])
def test_trailers_and_chunk_extensions_are_bounded(rest: bytes) -> None:
    async def test() -> None:
        answered, requests = await seen_by_replica(CHUNKED + rest + b"a" * 600_000)
        assert answered.startswith(b"HTTP/1.1 4")
        assert not requests

    run(test())


@pytest.mark.parametrize("path", ["/services/chat/", "/healthz", "/nothing"])
def test_pipelined_requests_that_nobody_reads_answers_of_stop_being_read(path: str) -> None:
    async def test() -> None:
        async with replica(whole(b"x" * 10_000)) as there, gateway(route(there.port)) as street:
            client = await street.client()
            message = get(path) * 2000

            sent = 0

            async def flood() -> None:
                nonlocal sent
                while True:
                    client.send(message)
                    await client.writer.drain()
                    sent += 1

            flooding = asyncio.ensure_future(flood())
            before = -1
            while before != sent or not sent:
                before = sent
                await asyncio.sleep(0.3)
            (held,) = street.gateway.clients
            assert held.transport.get_write_buffer_size() < 2**21
            assert len(held._backlog) < 2**20
            flooding.cancel()
            client.close()

    run(test())


# --- too slowly


async def trickle(street: Street, start: bytes) -> float:
    """Sends a byte from time to time; how long until the connection ended."""
    client = await street.client()
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    client.send(start)
    reading = asyncio.ensure_future(client.reader.read())
    while not reading.done():
        client.send(b"a")
        await asyncio.sleep(0.02)
    assert reading.result().startswith(b"HTTP/1.1 408 ")
    return loop.time() - began_s


@pytest.mark.parametrize(
    "start",
    [
        b"G",
        b"GET /healthz HTTP/1.1\r\nx-a: ",
        b"POST /v1/completions HTTP/1.1\r\nhost: g\r\ncontent-length: 9999\r\n\r\n",
    ],
)
def test_a_slow_request_is_cut_off(start: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEAD_S", 0.3)
    monkeypatch.setattr(server, "BODY_S", 0.3)

    async def test() -> None:
        async with gateway(route(1)) as street:
            start_ = start if start != b"G" else b"GET /"
            assert 0.25 < await trickle(street, start_) < 60

    run(test())


def test_idle_connections_end_and_busy_ones_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "IDLE_S", 0.1)

    async def test() -> None:
        gate = asyncio.Event()
        async with replica(whole(b"x", after=gate)) as there, gateway(route(there.port)) as street:
            idle, busy = await street.client(), await street.client()
            busy.send(post(BODY))
            assert await idle.reader.read() == b""
            await until(lambda: len(there.requests) == 1)
            await asyncio.sleep(0.2)
            gate.set()
            assert (await busy.answer()).body == b"x"

    run(test())
