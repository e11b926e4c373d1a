"""Requests wait, are held, and are divided among replicas and revisions."""

import asyncio
import json
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

from street import (
    ASK,
    Answer,
    Handler,
    Replica,
    Request,
    free_port,
    gateway,
    get,
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

from suanli.domain.traffic import bucket_of
from suanli.serving.gateway.routes import Revision
from suanli.serving.gateway.service import Part

WAITED_S = 0.05


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

        async with (
            replica(answer) as there,
            gateway(route(there.port, concurrency_max=4), part=Part(0, 2)) as street,
        ):
            service = street.gateway.services["chat"]
            asked = []
            for number in range(20):
                asked.append(asyncio.ensure_future(street.ask(get(f"/services/chat/{number}"))))
                await until(lambda: service.stats.arrived == len(asked))
            assert all(answer.status == 200 for answer in await asyncio.gather(*asked))
            assert most == 2
            assert [request.target for request in there.requests] == [f"/{number}" for number in range(20)]

    run(test())


def test_time_with_a_replica_is_counted_apart_from_what_was_waited_for_it() -> None:
    async def test() -> None:
        async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
            if request.target == "/first":
                await until(lambda: service.stats.waiting == 1)
                await asyncio.sleep(WAITED_S)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx")

        async with replica(answer) as there, gateway(route(there.port, concurrency_max=1)) as street:
            service = street.gateway.services["chat"]
            first = asyncio.ensure_future(street.ask(get("/services/chat/first")))
            await until(lambda: service.stats.arrived == 1)
            await street.ask(get("/services/chat/second"))
            await first
            counted = traffic(street)
            assert sum(counted.served) == counted.requests == 2
            assert counted.served_seconds >= WAITED_S
            assert counted.seconds - counted.served_seconds >= WAITED_S
            assert sum(counted.latency[bucket_of(WAITED_S) :]) == 2
            assert sum(counted.served[bucket_of(WAITED_S) :]) >= 1

    run(test())


@pytest.mark.parametrize(("queue_s", "arrive", "code"), [(60.0, 3, "queue_full"), (0.1, 2, "no_replica")])
def test_a_full_queue_and_a_long_wait_are_refused_with_a_time_to_come_again(
    queue_s: float, arrive: int, code: str
) -> None:
    async def test() -> None:
        async with (
            replica(never) as there,
            gateway(route(there.port, concurrency_max=1, queue_max=1, queue_s=queue_s)) as street,
        ):
            asked = []
            service = street.gateway.services["chat"]
            for count in range(1, arrive + 1):
                asked.append(asyncio.ensure_future(street.ask(ASK)))
                await until(lambda: service.stats.arrived == count)  # noqa: B023
            answer = await asked[-1]
            assert answer.status == 503
            assert int(answer.headers["retry-after"]) >= 1
            assert json.loads(answer.body)["error"]["code"] == code
            assert service.stats.refused == 1
            for each in asked[:-1]:
                each.cancel()

    run(test())


def test_requests_for_a_sleeping_service_are_held_until_it_wakes() -> None:
    async def test() -> None:
        asleep = route(revisions=(Revision(number=1, share=1.0),), hold_s=60.0)
        async with replica(whole(b"x")) as there, gateway(asleep) as street:
            service = street.gateway.services["chat"]
            asked = [asyncio.ensure_future(street.ask(ASK)) for _ in range(50)]
            await until(lambda: service.stats.waiting == 50)
            street.follow(route(there.port, hold_s=60.0))
            assert all(answer.body == b"x" for answer in await asyncio.gather(*asked))
            assert service.stats.waiting == 0

    run(test())


def test_what_is_held_too_long_is_refused_and_a_service_that_goes_is_not_there() -> None:
    async def test() -> None:
        asleep = route(revisions=(), hold_s=0.05, queue_s=0.05)
        async with gateway(asleep) as street:
            assert (await street.ask(ASK)).status == 503
        async with gateway(route(revisions=(), hold_s=60.0)) as street:
            asked = asyncio.ensure_future(street.ask(ASK))
            await until(lambda: street.gateway.services["chat"].stats.waiting == 1)
            street.follow()
            assert (await asked).status == 404
            assert (await street.ask(ASK)).status == 404

    run(test())


def test_requests_to_a_paused_service_are_refused_at_once() -> None:
    async def test() -> None:
        async with gateway(route(revisions=(), hold_s=0.0, queue_s=60.0)) as street:
            async with asyncio.timeout(10):
                answer = await street.ask(ASK)
            assert b"paused" in answer.body
            assert (answer.status, json.loads(answer.body)["error"]["code"]) == (503, "no_replica")
            assert street.gateway.services["chat"].stats.refused == 1

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


@given(limit=st.integers(1, 40), workers=st.integers(1, 8), at=st.integers(0, 20))
def test_workers_share_a_limit_and_none_is_left_without(limit: int, workers: int, at: int) -> None:
    parts = [Part(index, workers).of(limit, at) for index in range(workers)]
    assert sum(parts) == max(limit, workers)
    assert max(parts) - min(parts) <= 1


def test_what_is_left_over_of_a_limit_goes_round_the_workers() -> None:
    assert [[Part(index, 2).of(3, at) for index in range(2)] for at in range(2)] == [[2, 1], [1, 2]]


def test_unlike_replicas_get_requests_by_the_speed_that_their_answers_show() -> None:
    def takes(seconds: float) -> Handler:
        async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
            await asyncio.sleep(seconds)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx")

        return answer

    async def test() -> None:
        async with (
            replica(takes(0.01)) as quick,
            replica(takes(0.04)) as slow,
            gateway(route(quick.port, slow.port, balance="weighted")) as street,
        ):
            for _ in range(60):
                await asyncio.gather(*(street.ask(ASK) for _ in range(5)))
            found = street.gateway.services["chat"].replicas()
            speeds = {replica.target.port: replica.speed for replica in found}
            assert speeds[quick.port] > 2.0 * speeds[slow.port]
            assert len(quick.requests) > 2.0 * len(slow.requests) > 0

    run(test())
