"""What goes wrong behind the gateway, and what a client sees of it."""

import asyncio
import json
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from street import (
    Answer,
    Replica,
    Request,
    Street,
    gateway,
    get,
    post,
    replica,
    route,
    run,
    target,
    until,
    whole,
)

from suanli.serving.gateway.admission_port import Grant, OpenAdmission, Refusal
from suanli.serving.gateway.routes import Revision, Route, Routes

ASK = post(b'{"model":"chat"}')


def free_port() -> int:
    """Where nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return bound.getsockname()[1]


async def dies(request: Request, writer: asyncio.StreamWriter) -> None:
    """Reads the request and ends, as a killed process does."""
    writer.close()


async def never(request: Request, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def half(request: Request, writer: asyncio.StreamWriter) -> None:
    """Dies in the middle of its answer."""
    writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")
    await writer.drain()
    await asyncio.sleep(0.02)
    writer.close()


def traffic(street: Street, revision: int = 1) -> Any:
    return street.gateway.services["chat"].stats.by_revision[str(revision)]


def test_who_cannot_be_reached_is_passed_over_at_once() -> None:
    async def test() -> None:
        async with replica(whole(b"x")) as there, gateway(route(free_port(), there.port)) as street:
            for _ in range(20):
                assert (await street.ask(ASK)).body == b"x"
            assert traffic(street).failed == 0

    run(test())


def test_a_kept_connection_that_the_replica_closed_costs_nothing() -> None:
    async def test() -> None:
        async with replica(whole(b"x")) as there, gateway(route(there.port)) as street:
            client = await street.client()
            for _ in range(30):
                client.send(ASK)
                assert (await client.answer()).status == 200
                for writer in list(there.writers):
                    writer.close()  # the next request and this end cross each other
            assert len(there.requests) == 30

    run(test())


@pytest.mark.parametrize("idempotent", [False, True])
def test_a_request_that_was_read_is_sent_again_only_where_the_route_says_so(idempotent: bool) -> None:
    async def test() -> None:
        async with (
            replica(dies) as bad,
            replica(whole(b"x")) as good,
            gateway(route(bad.port, good.port, idempotent=idempotent, balance="round-robin")) as street,
        ):
            answers = [await street.ask(ASK) for _ in range(6)]
            statuses = {answer.status for answer in answers}
            assert statuses == ({200} if idempotent else {200, 502})
            assert len(bad.requests) == 3
            assert traffic(street).failed == (0 if idempotent else 3)

    run(test())


def test_a_request_is_sent_three_times_at_most() -> None:
    async def test() -> None:
        async with (
            replica(dies) as a, replica(dies) as b, replica(dies) as c, replica(dies) as d,
            gateway(route(a.port, b.port, c.port, d.port, idempotent=True)) as street,
        ):  # fmt: skip
            answer = await street.ask(ASK)
            assert answer.status == 502
            assert json.loads(answer.body)["error"]["code"] == "replica_failed"
            assert sum(len(each.requests) for each in (a, b, c, d)) == 3

    run(test())


def test_an_answer_that_breaks_off_breaks_off_at_the_client() -> None:
    async def test() -> None:
        async with replica(half) as there, gateway(route(there.port, idempotent=True)) as street:
            answer = await street.ask(ASK)
            assert (answer.status, answer.body) == (200, b"hello")
            assert answer.closed
            assert not answer.complete
            assert traffic(street).failed == 1

    run(test())


@pytest.mark.parametrize("waits_for", ["answer", "rest", "replica", "connection"])
def test_a_client_that_goes_away_frees_what_it_held(waits_for: str) -> None:
    async def test() -> None:
        async def begins(request: Request, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")
            await never(request, writer)

        handler = begins if waits_for == "rest" else never
        limit = 1 if waits_for == "replica" else 0
        async with replica(handler) as there, gateway(route(there.port, concurrency_max=limit)) as street:
            service = street.gateway.services["chat"]
            clients = [await street.client() for _ in range(2 if limit else 1)]
            for client in clients:
                client.send(ASK)
            if waits_for == "replica":
                await until(lambda: service.stats.waiting == 1)
                clients[1].close()
                await until(lambda: service.stats.waiting == 0)
            elif waits_for == "rest":
                assert b"hello" in await clients[0].reader.readuntil(b"hello")
            elif waits_for == "answer":
                await until(lambda: len(there.requests) == 1)
            clients[0].close()
            await until(lambda: not service.in_flight() and not street.gateway.clients)
            await until(lambda: not there.writers)  # the replica sees it too

    run(test())


@pytest.mark.parametrize("by", ["client", "route"])
def test_an_answer_too_late_is_no_answer(by: str) -> None:
    async def test() -> None:
        fields = {"deadline_s": 0.05} if by == "route" else {}
        headers = "x-request-timeout-ms: 50\r\n" if by == "client" else "x-request-timeout-ms: 60000\r\n"
        async with replica(never) as there, gateway(route(there.port, **fields)) as street:
            answer = await street.ask(post(b'{"model":"chat"}', headers=headers))
            assert answer.status == 504
            await until(lambda: not there.writers)

        async with replica(half) as there, gateway(route(there.port, deadline_s=0.01)) as street:
            answer = await street.ask(ASK)
            assert answer.status == 200
            assert not answer.complete

    run(test())


def test_a_second_replica_is_asked_where_the_first_is_slow() -> None:
    async def test() -> None:
        async with (
            replica(never) as slow,
            replica(whole(b"x")) as quick,
            gateway(
                route(slow.port, quick.port, hedge_after_s=0.02, idempotent=True, balance="round-robin")
            ) as street,
        ):
            answers = await asyncio.gather(*(street.ask(ASK) for _ in range(10)))
            assert all(answer.body == b"x" for answer in answers)
            assert len(slow.requests) == 5
            await until(lambda: not slow.writers)  # the losers were let go
            assert not street.gateway.services["chat"].in_flight()

    run(test())


def test_no_second_replica_is_asked_where_requests_may_not_be_doubled() -> None:
    async def test() -> None:
        gate = asyncio.Event()
        async with (
            replica(whole(b"x", after=gate)) as a,
            replica(whole(b"x", after=gate)) as b,
            gateway(route(a.port, b.port, hedge_after_s=0.01)) as street,
        ):
            asking = asyncio.ensure_future(street.ask(ASK))
            await asyncio.sleep(0.05)
            gate.set()
            assert (await asking).status == 200
            assert len(a.requests) + len(b.requests) == 1

    run(test())


def test_a_replica_that_keeps_failing_is_left_out_and_tried_again() -> None:
    async def test() -> None:
        async with (
            replica(dies) as bad,
            replica(whole(b"x")) as good,
            gateway(route(bad.port, good.port, balance="round-robin")) as street,
        ):
            for _ in range(20):
                await street.ask(ASK)
            assert len(bad.requests) == 3
            bad.handler = whole(b"y")
            await asyncio.sleep(1.0)  # as long as it is left out
            seen = {(await street.ask(ASK)).body for _ in range(4)}
            assert seen == {b"x", b"y"}

    run(test())


def test_requests_wait_in_order_for_a_replica_that_is_full() -> None:
    async def test() -> None:
        at_once, most = 0, 0

        async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
            nonlocal at_once, most
            at_once += 1
            most = max(most, at_once)
            await asyncio.sleep(0.002)
            at_once -= 1
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx")

        async with replica(answer) as there, gateway(route(there.port, concurrency_max=4), parts=2) as street:
            service = street.gateway.services["chat"]
            asked = []
            for number in range(20):
                asked.append(asyncio.ensure_future(street.ask(get(f"/services/chat/{number}"))))
                await until(lambda: service.stats.arrived == len(asked))
            assert all(answer.status == 200 for answer in await asyncio.gather(*asked))
            assert most == 2
            assert [request.target for request in there.requests] == [f"/{number}" for number in range(20)]

    run(test())


def test_a_full_queue_and_a_long_wait_are_refused_with_a_time_to_come_again() -> None:
    async def test() -> None:
        async with (
            replica(never) as there,
            gateway(route(there.port, concurrency_max=1, queue_max=1, queue_s=0.1)) as street,
        ):
            asked = []
            service = street.gateway.services["chat"]
            for count in range(1, 4):
                asked.append(asyncio.ensure_future(street.ask(ASK)))
                await until(lambda: service.stats.arrived == count)  # noqa: B023
            for answer, code in ((await asked[2], "queue_full"), (await asked[1], "no_replica")):
                assert answer.status == 503
                assert int(answer.headers["retry-after"]) >= 1
                assert json.loads(answer.body)["error"]["code"] == code
            assert service.stats.refused == 2
            asked[0].cancel()

    run(test())


def test_requests_for_a_sleeping_service_are_held_until_it_wakes() -> None:
    async def test() -> None:
        asleep = route(revisions=(Revision(number=1, share=1.0),), hold_s=5.0)
        async with replica(whole(b"x")) as there, gateway(asleep) as street:
            service = street.gateway.services["chat"]
            asked = [asyncio.ensure_future(street.ask(ASK)) for _ in range(50)]
            await until(lambda: service.stats.waiting == 50)
            street.follow(route(there.port, hold_s=5.0))
            assert all(answer.body == b"x" for answer in await asyncio.gather(*asked))
            assert service.stats.waiting == 0

    run(test())


def test_what_is_held_too_long_is_refused_and_a_service_that_goes_is_not_there() -> None:
    async def test() -> None:
        asleep = route(revisions=(), hold_s=0.05, queue_s=0.05)
        async with gateway(asleep) as street:
            assert (await street.ask(ASK)).status == 503
        async with gateway(route(revisions=(), hold_s=5.0)) as street:
            asked = asyncio.ensure_future(street.ask(ASK))
            await until(lambda: street.gateway.services["chat"].stats.waiting == 1)
            street.follow()
            assert (await asked).status == 404
            assert (await street.ask(ASK)).status == 404

    run(test())


def test_the_only_replica_may_be_away_for_a_moment() -> None:
    async def test() -> None:
        back = Replica(whole(b"x"))
        port = free_port()
        async with gateway(route(port)) as street:
            asked = [asyncio.ensure_future(street.ask(ASK)) for _ in range(5)]
            await until(lambda: street.gateway.services["chat"].stats.waiting == 5)
            await back.open(port)
            assert all(answer.body == b"x" for answer in await asyncio.gather(*asked))
        await back.close()

    run(test())


def test_routes_change_under_load_without_a_failed_request() -> None:
    async def test() -> None:
        async with replica(whole(b"a")) as a, replica(whole(b"b")) as b, gateway(route(a.port)) as street:
            going = True
            answers: list[Answer] = []

            async def load() -> None:
                client = await street.client()
                while going:
                    client.send(ASK)
                    answers.append(await client.answer())

            loads = [asyncio.ensure_future(load()) for _ in range(8)]
            for change in range(60):
                ports = [(a.port,), (a.port, b.port), (b.port,)][change % 3]
                street.follow(
                    route(*ports, concurrency_max=change % 4, balance=["affinity", "weighted"][change % 2])
                )
                seen = len(answers)
                await until(lambda: len(answers) > seen + 20)  # noqa: B023
            going = False
            await asyncio.gather(*loads)
            assert {answer.status for answer in answers} == {200}
            assert {answer.body for answer in answers} == {b"a", b"b"}

    run(test())


def test_traffic_is_split_by_share_and_a_session_stays_with_its_revision() -> None:
    async def test() -> None:
        async with replica(whole(b"old")) as old, replica(whole(b"new")) as new:
            revisions = (
                Revision(number=1, share=0.9, targets=(target(old.port, "chat/0"),)),
                Revision(number=2, share=0.1, targets=(target(new.port, "chat/1"),)),
            )
            async with gateway(route(revisions=revisions)) as street:
                client = await street.client()
                bodies = []
                for _ in range(200):
                    client.send(ASK)
                    bodies.append((await client.answer()).body)
                assert bodies.count(b"new") == 20
                assert (traffic(street, 1).requests, traffic(street, 2).requests) == (180, 20)
                for session in range(30):
                    seen = set()
                    for _ in range(3):
                        client.send(post(b'{"model":"chat"}', headers=f"x-session-id: {session}\r\n"))
                        seen.add((await client.answer()).body)
                    assert len(seen) == 1

    run(test())


class Strict(OpenAdmission):
    """Lets in by words, one after a while; remembers who left."""

    def __init__(self) -> None:
        self.left: list[dict[str, Any]] = []

    def enter(
        self, routes: Routes, authorization: bytes | None, service: Route, tokens_max: int, now_s: float
    ) -> Any:
        if authorization is None:
            return Refusal(status=401, code="missing_api_key", message="No key.")
        if authorization == b"Bearer limited":
            headers = (("x-ratelimit-limit-requests", "1"),)
            return Refusal(status=429, code="limited", message="Later.", retry_after_s=1.2, headers=headers)
        grant = Grant(key="k", service=service.service, tokens=tokens_max)
        return self._later(grant) if authorization == b"Bearer late" else grant

    async def _later(self, grant: Grant) -> Grant:
        await asyncio.sleep(0.03)
        return grant

    def leave(self, grant: Grant, **told: Any) -> None:
        self.left.append({"tokens": grant.tokens, **told})


def with_key(key: str, body: bytes = b'{"model":"chat","max_tokens":4}') -> bytes:
    return post(body, headers=f"authorization: Bearer {key}\r\nx-request-id: r\r\n")


def test_whoever_may_not_enter_is_told_why() -> None:
    async def test() -> None:
        async with replica(whole(b"x")) as there, gateway(route(there.port), admission=Strict()) as street:
            nobody = await street.ask(ASK)
            assert (nobody.status, json.loads(nobody.body)["error"]["code"]) == (401, "missing_api_key")
            limited = await street.ask(with_key("limited"))
            assert (limited.status, limited.headers["retry-after"]) == (429, "2")
            assert limited.headers["x-ratelimit-limit-requests"] == "1"
            stats = street.gateway.services["chat"].stats
            assert (stats.arrived, stats.refused) == (1, 1)
            assert not there.requests

    run(test())


def usage(prompt: int, completion: int) -> bytes:
    return b'{"usage":{"prompt_tokens":%d,"completion_tokens":%d}}' % (prompt, completion)


@pytest.mark.parametrize("key", ["good", "late"])
def test_each_that_entered_leaves_once_with_what_it_used(key: str) -> None:
    async def leaves(handler: Callable[..., Awaitable[None]], *, gone: bool = False) -> dict[str, Any]:
        admission = Strict()
        async with replica(handler) as there, gateway(route(there.port), admission=admission) as street:
            client = await street.client()
            client.send(with_key(key))
            if gone:
                await until(lambda: bool(street.gateway.clients))
                client.close()
            else:
                await client.answer()
            await until(lambda: bool(admission.left))
            (left,) = admission.left
            assert not street.gateway.services["chat"].in_flight()
            return left

    async def test() -> None:
        json_type = "content-type: application/json\r\n"
        done = await leaves(whole(usage(5, 6), headers=json_type))
        assert (done["tokens"], done["tokens_in"], done["tokens_out"]) == (11, 5, 6)
        assert (done["status"], done["request_id"], done["revision"]) == (200, "r", 1)
        assert done["seconds"] > 0
        stream = b"data: 1\n\ndata: 2\n\n: usage " + usage(7, 2)[9:-1] + b"\n\ndata: [DONE]\n\n"
        streamed = await leaves(whole(stream, headers="content-type: text/event-stream\r\n"))
        assert (streamed["tokens_in"], streamed["tokens_out"]) == (7, 2)
        assert (await leaves(dies))["status"] == 502
        assert (await leaves(never, gone=True))["status"] == 499

    run(test())


def test_what_a_key_may_not_use_is_told_of_as_if_there_were_no_such_thing() -> None:
    class Blind(OpenAdmission):
        def enter(
            self, routes: Routes, authorization: bytes | None, service: Route, tokens_max: int, now_s: float
        ) -> Any:
            return Refusal(status=404, code="secret", message="secret")

        def visible(self, routes: Routes, authorization: bytes | None, now_s: float) -> list[Route]:
            return []

    async def test() -> None:
        async with gateway(route(1), admission=Blind()) as street:
            for there, nowhere in (
                (ASK, post(b'{"model":"none"}')),
                (get("/services/chat/"), get("/services/none/")),
                (get("/v1/models/chat"), get("/v1/models/none")),
                (
                    post(b"", "/predict", "x-suanli-service: chat\r\n"),
                    post(b"", "/predict", "x-suanli-service: none\r\n"),
                ),
            ):
                one, other = await street.ask(there), await street.ask(nowhere)
                assert one.status == other.status == 404
                assert one.body.replace(b"chat", b"none") == other.body

    run(test())


def test_a_model_is_told_of_by_its_name() -> None:
    async def test() -> None:
        async with gateway(route(1, models=("chat", "team/gpt 2"))) as street:
            told = await street.ask(get("/v1/models/team%2Fgpt%202"))
            assert json.loads(told.body)["id"] == "team/gpt 2"

    run(test())


def test_who_is_admitted_too_late_leaves_at_once() -> None:
    async def test() -> None:
        admission = Strict()
        async with replica(whole(b"x")) as there, gateway(route(there.port), admission=admission) as street:
            message = with_key("late").replace(b"x-request-id", b"x-request-timeout-ms: 10\r\nx-request-id")
            assert (await street.ask(message)).status == 504
            await until(lambda: bool(admission.left))
            assert (admission.left[0]["tokens_out"], admission.left[0]["revision"]) == (0, 0)
            assert not there.requests

    run(test())
