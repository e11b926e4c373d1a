"""Who may enter a gateway, and what is told when they leave."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from street import (
    ASK,
    dies,
    gateway,
    get,
    never,
    post,
    replica,
    route,
    run,
    until,
    whole,
)

from suanli.serving.gateway.admission_port import Grant, OpenAdmission, Refusal
from suanli.serving.gateway.routes import Route, Routes


class Strict(OpenAdmission):
    """Lets in by words, one only once it may; remembers who left."""

    def __init__(self) -> None:
        self.may_enter = asyncio.Event()
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
        await self.may_enter.wait()
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
        asyncio.get_running_loop().call_later(0.03, admission.may_enter.set)
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
            admission.may_enter.set()
            await until(lambda: bool(admission.left))
            assert (admission.left[0]["tokens_out"], admission.left[0]["revision"]) == (0, 0)
            assert not there.requests

    run(test())
