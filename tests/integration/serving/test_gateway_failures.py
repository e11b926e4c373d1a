"""What goes wrong behind the gateway, and what a client sees of it."""

import asyncio
import json
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from street import (
    ASK,
    Handler,
    Request,
    dies,
    free_port,
    gateway,
    half,
    never,
    post,
    replica,
    route,
    run,
    target,
    traffic,
    until,
    whole,
)

from suanli.serving.gateway.breaker import FAULTY, UNREACHED
from suanli.serving.gateway.routes import Revision


async def begins(request: Request, writer: asyncio.StreamWriter) -> None:
    """Never gets to the end of its answer."""
    writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")
    await never(request, writer)


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

    run(test())


def test_an_answer_that_is_too_late_with_its_end_breaks_off() -> None:
    async def test() -> None:
        async with replica(begins) as there, gateway(route(there.port, deadline_s=1.0)) as street:
            answer = await street.ask(ASK)
            assert (answer.status, answer.body) == (200, b"hello")
            assert not answer.complete
            await until(lambda: not there.writers)

    run(test())


def test_a_second_replica_is_asked_where_the_first_is_slow() -> None:
    async def test() -> None:
        async with (
            replica(never) as slow,
            replica(whole(b"x")) as quick,
            gateway(
                route(slow.port, quick.port, hedge_after_s=0.5, idempotent=True, balance="round-robin")
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


@pytest.mark.parametrize(
    ("fails", "times"),
    [(dies, UNREACHED), (whole(b"", status="500 Oh"), FAULTY)],
    ids=["dies", "answers 500"],
)
def test_a_replica_that_keeps_failing_is_left_out_and_tried_again(fails: Handler, times: int) -> None:
    async def test() -> None:
        async with (
            replica(fails) as bad,
            replica(whole(b"x")) as good,
            gateway(route(bad.port, good.port, balance="round-robin")) as street,
        ):
            began_s = time.monotonic()
            for _ in range(40):
                await street.ask(ASK)
            tried_again = int(time.monotonic() - began_s)  # at most once in each second
            assert times <= len(bad.requests) <= times + tried_again
            bad.handler = whole(b"y")
            while (await street.ask(ASK)).body != b"y":  # noqa: ASYNC110 - it is the time that it waits for
                await asyncio.sleep(0.02)
            seen = {(await street.ask(ASK)).body for _ in range(4)}
            assert seen == {b"x", b"y"}

    run(test())


def test_a_revision_that_fails_as_a_whole_keeps_its_share_so_that_it_is_judged() -> None:
    async def test() -> None:
        async with replica(whole(b"", status="500 Oh")) as bad, replica(whole(b"x")) as good:
            revisions = (
                Revision(number=1, share=0.5, targets=(target(good.port, "chat/0"),)),
                Revision(number=2, share=0.5, targets=(target(bad.port, "chat/1"),)),
            )
            async with gateway(route(revisions=revisions)) as street:
                for _ in range(40):
                    await street.ask(ASK)
                assert len(bad.requests) == 20
                assert traffic(street, 2).failed == 20

    run(test())


def test_where_most_replicas_fail_it_is_what_is_asked_and_none_is_left_out() -> None:
    async def test() -> None:
        async with (
            replica(whole(b"", status="500 Oh")) as a,
            replica(whole(b"", status="500 Oh")) as b,
            replica(whole(b"x")) as good,
            gateway(route(a.port, b.port, good.port, balance="round-robin")) as street,
        ):
            for _ in range(60):
                await street.ask(ASK)
            assert len(a.requests) + len(b.requests) >= 35

    run(test())


def test_a_replica_that_never_answers_is_left_out_but_for_nobody_who_is_in_a_hurry() -> None:
    async def test() -> None:
        async with (
            replica(never) as hangs,
            replica(whole(b"x")) as good,
            gateway(route(hangs.port, good.port, balance="round-robin", deadline_s=0.3)) as street,
        ):
            hurried = post(b'{"model":"chat"}', headers="x-request-timeout-ms: 20\r\n")
            await asyncio.gather(*(street.ask(hurried) for _ in range(20)))
            assert len(hangs.requests) == 10
            answers = await asyncio.gather(*(street.ask(ASK) for _ in range(2 * FAULTY)))
            assert [answer.status for answer in answers].count(504) == FAULTY
            answers = [await street.ask(ASK) for _ in range(10)]
            assert [answer.status for answer in answers].count(200) >= 9

    run(test())
