"""What one worker lets in, on a virtual clock, with a real ledger at the other end of its link."""

import asyncio
import hashlib
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec
from tests.property.serving.gateway_days import BOOT_S, CHAT, Day, Worker, key_of

from suanli.serving.admission.worker import Held
from suanli.serving.gateway.admission_port import Grant, Refusal
from suanli.serving.gateway.routes import Key, Route, Routes

Life = Callable[[Day, Worker], Coroutine[Any, Any, None]]


def lived(life: Life, *keys: Key, workers: int = 1, **routes: Any) -> None:
    """A day with those keys."""

    async def live(folder: str) -> None:
        day = Day(Path(folder), Routes(version=1, routes=(CHAT,), keys=keys, **routes), workers, seed=1)
        await day.start()
        await life(day, day.workers[0])

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(live(folder))


async def ask(
    day: Day, worker: Worker, key: str | None = "k", tokens_max: int = 10, service: Route = CHAT
) -> Grant | Refusal:
    sent = None if key is None else b"Bearer " + key.encode()
    answer = worker.admission.enter(day.routes, sent, service, tokens_max, day.now().unix_s)
    if isinstance(answer, (Grant, Refusal)):
        return answer
    waiting = asyncio.ensure_future(answer)
    while not waiting.done():
        await day.run(day.at_s + 0.001)
    return waiting.result()


def over(worker: Worker, grant: Grant | Refusal, tokens_out: int = 10, **more: Any) -> None:
    assert isinstance(grant, Grant)
    said = {"tokens_in": 0, "seconds": 0.0, "status": 200, "request_id": "r", **more}
    worker.admission.leave(grant, tokens_out=tokens_out, **said)


def code(answer: Grant | Refusal) -> tuple[int, str]:
    assert isinstance(answer, Refusal)
    return answer.status, answer.code


def test_without_a_key_or_with_a_wrong_one_nobody_enters() -> None:
    async def life(day: Day, worker: Worker) -> None:
        assert code(await ask(day, worker, None)) == (401, "missing_api_key")
        assert code(await ask(day, worker, "sk-suanli-guess")) == (401, "invalid_api_key")
        for sent in (
            b"",
            b"Bearer",
            b"Bearer ",
            b"Basic k",
            b"Bearer k k",
            b"Bearer \xff",
            b"Bearer " + b"a" * 600,
        ):
            answer = worker.admission.enter(day.routes, sent, CHAT, 1, 0.0)
            assert isinstance(answer, Refusal)
            assert code(answer) == (401, "invalid_api_key")
        assert isinstance(worker.admission.enter(day.routes, b"bearer  k ", CHAT, 1, 0.0), Grant)

    lived(life, key_of("k"))


def test_where_all_may_enter_a_wrong_key_still_may_not() -> None:
    async def life(day: Day, worker: Worker) -> None:
        entered = await ask(day, worker, None)
        assert isinstance(entered, Grant)
        assert entered.key == ""
        assert code(await ask(day, worker, "other")) == (401, "invalid_api_key")

    lived(life, key_of("k"), open_to_all=True)


def test_a_key_opens_its_services_until_it_expires() -> None:
    digest = hashlib.sha256(b"k").hexdigest()
    key = Key(name="k", digest=digest, services=("chat",), expires_s=BOOT_S + 1000.0 + 60.0)
    embed = msgspec.structs.replace(CHAT, service="embed", models=("embed",))

    async def life(day: Day, worker: Worker) -> None:
        assert isinstance(await ask(day, worker), Grant)
        assert code(await ask(day, worker, service=embed)) == (404, "model_not_found")
        assert worker.admission.visible(day.routes, b"Bearer k", day.now().unix_s) == [CHAT]
        day.at_s += 60.0
        assert code(await ask(day, worker)) == (401, "expired_api_key")
        refused = worker.admission.visible(day.routes, b"Bearer k", day.now().unix_s)
        assert isinstance(refused, Refusal)

    lived(life, key)


def test_new_routes_change_and_revoke_keys_at_once_and_what_was_used_still_counts() -> None:
    async def life(day: Day, worker: Worker) -> None:
        for _ in range(3):
            over(worker, await ask(day, worker))
        assert code(await ask(day, worker)) == (429, "rate_limit_exceeded")
        day.routes = Routes(version=2, routes=(CHAT,), keys=(key_of("k", requests_per_s=4),))
        assert isinstance(await ask(day, worker), Grant)
        assert code(await ask(day, worker)) == (429, "rate_limit_exceeded")
        day.routes = Routes(version=3, routes=(CHAT,), keys=(key_of("k"),))
        assert isinstance(await ask(day, worker), Grant)
        day.routes = Routes(version=4, routes=(CHAT,))
        assert code(await ask(day, worker)) == (401, "invalid_api_key")

    lived(life, key_of("k", requests_per_s=3))


def test_a_budget_may_get_another_period_while_the_ledger_is_asked() -> None:
    async def life(day: Day, worker: Worker) -> None:
        asked = [worker.admission.enter(day.routes, b"Bearer k", CHAT, 10, day.now().unix_s)]
        await day.run(day.at_s + 0.0001)
        other = key_of("k", budget_usd=1.0, budget_period_s=86400.0)
        day.routes = Routes(version=2, routes=(CHAT,), keys=(other,))
        asked.append(worker.admission.enter(day.routes, b"Bearer k", CHAT, 10, day.now().unix_s))
        waiting = [
            asyncio.ensure_future(answer) for answer in asked if not isinstance(answer, (Grant, Refusal))
        ]
        await day.run(day.at_s + 1.0)
        for each in waiting:
            over(worker, each.result())
        await day.run(day.at_s + 10.0)
        assert day.supervisor is not None
        balances = day.supervisor.ledger.books.balances.values()
        assert [balance.held for balance in balances] == [0, 0]
        assert {balance.period_s for balance in balances} == {3600.0, 86400.0}

    lived(life, key_of("k", budget_usd=0.5, budget_period_s=3600.0))


def test_a_refusal_says_which_limit_what_is_left_and_when_to_come_back_and_then_there_is_room() -> None:
    async def life(day: Day, worker: Worker) -> None:
        over(worker, await ask(day, worker, tokens_max=80), tokens_out=80)
        refused = await ask(day, worker, tokens_max=30)
        assert code(refused) == (429, "rate_limit_exceeded")
        assert isinstance(refused, Refusal)
        assert refused.retry_after_s is not None
        headers = dict(refused.headers)
        assert headers["x-ratelimit-limit-tokens"] == "100"
        assert headers["x-ratelimit-remaining-tokens"] == "20"
        assert 59.0 < refused.retry_after_s < 60.5
        assert "100 tokens per minute" in refused.message
        await day.run(day.at_s + refused.retry_after_s)
        assert isinstance(await ask(day, worker, tokens_max=30), Grant)

    lived(life, key_of("k", tokens_per_min=100))


def test_what_never_fits_is_refused_without_a_time_to_come_back() -> None:
    async def life(day: Day, worker: Worker) -> None:
        for name in ("tokens", "money"):
            refused = await ask(day, worker, name, tokens_max=5000)
            assert code(refused) == (429, "request_too_large")
            assert isinstance(refused, Refusal)
            assert refused.retry_after_s is None
            assert ("x-should-retry", "false") in refused.headers

    lived(life, key_of("tokens", tokens_per_min=100), key_of("money", budget_usd=0.01))


def test_a_budget_that_is_used_up_says_when_the_next_period_begins_and_then_opens() -> None:
    async def life(day: Day, worker: Worker) -> None:
        while isinstance(answer := await ask(day, worker, tokens_max=100), Grant):
            over(worker, answer, tokens_out=100)
        assert code(answer) == (429, "budget_exhausted")
        assert answer.retry_after_s is not None
        ends_s = 3600.0 - day.now().unix_s % 3600.0
        assert abs(answer.retry_after_s - ends_s) < 0.1
        assert "The next period begins 2027-01-15T09:00:00Z" in answer.message
        await day.run(day.at_s + answer.retry_after_s + 0.01)
        assert isinstance(await ask(day, worker, tokens_max=100), Grant)

    lived(life, key_of("k", budget_usd=0.05, budget_period_s=3600.0))


def test_what_running_requests_reserved_is_not_told_as_spent() -> None:
    async def life(day: Day, worker: Worker) -> None:
        held: list[Grant] = []
        while isinstance(answer := await ask(day, worker, tokens_max=100), Grant):
            held.append(answer)
        assert code(answer) == (429, "budget_reserved")
        for grant in held:
            over(worker, grant, tokens_out=1)
        await day.run(day.at_s + 1.0)
        assert isinstance(await ask(day, worker, tokens_max=100), Grant)

    lived(life, key_of("k", budget_usd=0.02))


def test_no_request_costs_more_than_was_reserved_for_it() -> None:
    async def life(day: Day, worker: Worker) -> None:
        grant = await ask(day, worker, tokens_max=10)
        over(worker, grant, tokens_out=10_000, seconds=1e6)
        await day.run(day.at_s + 1.0)
        assert isinstance(grant, Held)
        assert day.supervisor is not None
        (row,) = [row for rows in day.supervisor.ledger.books.hours.values() for row in rows.values()]
        assert row.nano_usd == round(grant.usd * 1e9)
        assert row.tokens_out == 10_000

    lived(life, key_of("k", budget_usd=1.0))


def test_without_a_ledger_who_has_limits_uses_up_its_slice_and_who_has_none_goes_on() -> None:
    async def life(day: Day, worker: Worker) -> None:
        for _ in range(2):
            over(worker, await ask(day, worker, "limited"))
        assert day.supervisor is not None
        day.supervisor.die()
        entered = 0
        while isinstance(answer := await ask(day, worker, "limited"), Grant):
            entered += 1
        assert code(answer) == (503, "limits_unavailable")
        assert answer.retry_after_s
        assert entered <= 1000 // 100
        assert isinstance(await ask(day, worker, "free"), Grant)

    lived(life, key_of("limited", requests_per_s=1000), key_of("free"))


def test_who_goes_away_while_it_waits_leaves_its_part_to_others() -> None:
    async def life(day: Day, worker: Worker) -> None:
        answer = worker.admission.enter(day.routes, b"Bearer k", CHAT, 60, day.now().unix_s)
        assert not isinstance(answer, (Grant, Refusal))
        waiting = asyncio.ensure_future(answer)
        await asyncio.sleep(0)
        waiting.cancel()
        await day.run(day.at_s + 2.0)
        assert waiting.cancelled()
        assert isinstance(await ask(day, worker, tokens_max=100), Grant)

    lived(life, key_of("k", tokens_per_min=100))


def test_a_slice_is_used_without_asking_and_its_rest_serves_other_workers() -> None:
    async def life(day: Day, worker: Worker) -> None:
        over(worker, await ask(day, worker))
        for _ in range(9):  # a hundredth of the limit came with the first
            at_once = worker.admission.enter(day.routes, b"Bearer k", CHAT, 1, day.now().unix_s)
            assert isinstance(at_once, Grant)
        entered = 0
        while isinstance(await ask(day, day.workers[1]), Grant):
            entered += 1
        assert entered == 990

    lived(life, key_of("k", requests_per_s=1000), workers=2)


def test_each_request_is_counted_by_service_and_revision_with_its_energy_and_refusals() -> None:
    warm = msgspec.structs.replace(CHAT, price=msgspec.structs.replace(CHAT.price, watts=50.0))

    async def life(day: Day, worker: Worker) -> None:
        over(
            worker,
            await ask(day, worker, service=warm),
            tokens_out=7,
            seconds=2.0,
            revision=3,
            request_id="a",
        )
        over(
            worker, await ask(day, worker, service=warm), tokens_out=1, status=502, revision=3, request_id="b"
        )
        assert code(await ask(day, worker, service=warm)) == (429, "rate_limit_exceeded")
        await day.run(day.at_s + 1.0)
        assert day.supervisor is not None
        (rows,) = day.supervisor.ledger.books.hours.values()
        row = rows["k", "chat", 3]
        assert (row.requests, row.failed, row.tokens_out, row.request_id) == (2, 1, 8, "b")
        assert (row.seconds, row.joules) == (2.0, 100.0)
        assert row.nano_usd == round((8 * 2e-5 + 2.0 * 1e-4) * 1e9)
        assert rows["k", "chat", 0].refused == 1

    lived(life, key_of("k", requests_per_s=2))


def test_a_key_that_is_made_again_under_its_name_while_the_ledger_is_asked_does_not_end_the_link() -> None:
    again = msgspec.structs.replace(key_of("k", requests_per_s=3), digest=hashlib.sha256(b"new").hexdigest())

    async def life(day: Day, worker: Worker) -> None:
        now_s = day.now().unix_s
        first = worker.admission.enter(day.routes, b"Bearer k", CHAT, 10, now_s)
        assert not isinstance(first, (Grant, Refusal))
        await asyncio.sleep(0)  # the question leaves
        day.routes = Routes(version=2, routes=(CHAT,), keys=())
        worker.admission.visible(day.routes, b"Bearer k", now_s)
        day.routes = Routes(version=3, routes=(CHAT,), keys=(again,))
        assert isinstance(await ask(day, worker, "new"), Grant)
        assert code(await asyncio.ensure_future(first)) == (401, "invalid_api_key")  # type: ignore[arg-type]
        await day.run(day.at_s + 2.0)
        assert isinstance(await ask(day, worker, "new"), Grant)

    lived(life, key_of("k", requests_per_s=3))
