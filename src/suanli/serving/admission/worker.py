"""Keys, limits, budgets and metering in one worker of the gateway: `Admission` with slices leased from the ledger.

How a gateway starts it. The supervisor has one ledger, and before it starts a worker asks it for that worker's end of
a socket pair, which the worker inherits and nobody else keeps open (a worker's death is seen by its end closing):

    async with ledger_of(folder) as ledger:          # suanli.serving.admission.server
        end = await ledger.attach()
        subprocess.Popen([..., str(end.fileno())], pass_fds=[end.fileno()], ...)
        end.close()

The worker makes of it `LedgerAdmission(SocketLink(socket.socket(fileno=number)))` (suanli.serving.admission.link).
"""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from suanli.serving.admission import refusals
from suanli.serving.admission.accounts import Account, Accounts, Needs, Waiter
from suanli.serving.admission.link import Link
from suanli.serving.admission.messages import Answers, Ask, Lane, Report, Settle
from suanli.serving.admission.slices import Slice
from suanli.serving.admission.usage import NANO, Counted
from suanli.serving.gateway.admission_port import Grant, Refusal
from suanli.serving.gateway.routes import Price, Route, Routes

_ANSWERS = msgspec.msgpack.Decoder(Answers)

log = logging.getLogger(__name__)

TICK_S = 0.2
"""So often what was used is told to the ledger, and what was not goes back."""

WAITERS_MAX = 10_000
ANSWER_S = 5.0
"""A request waits for the ledger no longer than this."""


class Held(Grant, frozen=True, kw_only=True, gc=False):
    """A grant, with what is needed to settle it. `needs` were taken from `slices`, money of `period`."""

    account: Account
    price: Price
    needs: Needs
    slices: tuple[Slice, ...] = ()
    period: int = 0


class LedgerAdmission:
    """`admission_port.Admission`. Without an answer from the ledger, who has limits may use up its slices, no more."""

    def __init__(
        self,
        link: Link,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        unix: Callable[[], float] = time.time,
        cut_off: Callable[[], None] = lambda: None,
    ) -> None:
        self._link = link
        self._cut_off = cut_off
        self._now_s = monotonic
        self._unix_s = unix
        self._routes: Routes | None = None
        self._accounts = Accounts()
        self._waiting: dict[Account, None] = {}
        self._waiters = 0
        self._asking: dict[
            Slice, tuple[Account, int, int]
        ] = {}  # what is needed, and lacking, for the next message
        self._asked: dict[tuple[str, Lane, float], tuple[Account, Slice]] = {}
        self._touched: dict[Slice, None] = {}  # what may have something to report
        self._counted: dict[Account, None] = {}
        self._is_flushing = False
        self._is_away = False
        self._mark = 0
        self._durable: asyncio.Future[None] | None = None
        self._ticking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self._link.open(self._receive, self._lost)
        self._ticking = asyncio.create_task(self._tick_always())

    async def stop(self) -> None:
        """Gives all slices back, and waits until the ledger has written what was used."""
        if self._ticking is not None:
            self._ticking.cancel()
        for slice_ in self._touched:
            slice_.until_s = 0.0
        self._mark += 1
        self._durable = asyncio.get_running_loop().create_future()
        self.tick(mark=self._mark)
        if not self._is_away:
            try:
                await asyncio.wait_for(self._durable, ANSWER_S)
            except TimeoutError:
                log.exception("the ledger did not confirm what was used before this worker ended")
        elif self._counted:
            lost = sum(counted.requests for each in self._counted for counted in each.counted.values())
            log.error("%d requests that ended after the ledger was gone are not counted", lost)
        self._link.close()

    def enter(
        self, routes: Routes, authorization: bytes | None, service: Route, tokens_max: int, now_s: float
    ) -> Grant | Refusal | Awaitable[Grant | Refusal]:
        """At once where the slices suffice or the ledger has just refused; else after one message to the ledger."""
        account = self._account(routes, authorization, now_s)
        if isinstance(account, Refusal):
            return account
        name = service.service
        if account.services is not None and name not in account.services:
            return refusals.not_for_service(name)
        if not account.slices:
            return Held(key=account.name, service=name, account=account, price=service.price, needs=(0, 0, 0))
        needs = 1, tokens_max, _cost_max(service, tokens_max) if account.has_budget else 0
        if not account.waiters:
            answer = self._admit(account, service, needs)
            if answer is not None:
                return answer
        return self._queue(account, service, needs)

    def leave(
        self,
        grant: Grant,
        *,
        tokens_in: int,
        tokens_out: int,
        seconds: float,
        status: int,
        request_id: str,
        revision: int = 0,
    ) -> None:
        """Counts the request, and settles what was reserved for it: never for more money than that."""
        assert isinstance(grant, Held)
        account, price = grant.account, grant.price
        nano = _nano_usd(price, tokens_in, tokens_out, seconds)
        if account.has_budget:
            nano = min(nano, grant.needs[Lane.USD])
        if grant.slices:
            self._settle(grant, (1, tokens_in + tokens_out, nano))
        counted = self._count(account, grant.service, revision)
        counted.requests += 1
        counted.tokens_in += tokens_in
        counted.tokens_out += tokens_out
        counted.seconds += seconds
        counted.nano_usd += nano
        counted.joules += price.watts * seconds
        counted.request_id = request_id
        if status >= 500:
            counted.failed += 1

    def visible(self, routes: Routes, authorization: bytes | None, now_s: float) -> Sequence[Route] | Refusal:
        account = self._account(routes, authorization, now_s)
        if isinstance(account, Refusal):
            return account
        return [route for route in routes.routes if account.may_use(route.service)]

    def tick(self, mark: int = 0) -> None:
        """Tell the ledger what was used and what is not needed; let nobody wait for it too long. O(keys in use)."""
        now_s = self._now_s()
        self._give_up_waiting(now_s)
        if self._link.is_full and not mark:
            return
        settled: list[Settle] = []
        touched = list(self._touched)
        for slice_ in touched:
            slice_.expire(now_s)
            settled += slice_.settled()
            if not slice_.left:
                del self._touched[slice_]
        if self._is_away:
            return
        usage = tuple(counted for account in self._counted for counted in account.counted.values())
        if settled or usage or mark:
            self._link.send(Report(tuple(settled), (), usage, mark))
        for account in self._counted:
            account.counted.clear()
        self._counted.clear()

    async def _tick_always(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self.tick()

    def _account(self, routes: Routes, authorization: bytes | None, now_s: float) -> Account | Refusal:
        if routes is not self._routes:
            self._follow(routes)
        account = self._accounts.of(authorization)
        if not isinstance(account, Refusal) and account.expires_s <= now_s:
            return refusals.expired(account.key)
        return account

    def _follow(self, routes: Routes) -> None:
        self._routes = routes
        for gone in self._accounts.follow(routes):
            self._answer_all(gone, refusals.WRONG_KEY)

    def _admit(self, account: Account, service: Route, needs: Needs) -> Held | Refusal | None:
        """A grant, a refusal, or None: then the ledger has been asked for what is lacking."""
        now_s = self._now_s()
        enough = True
        period = 0
        for slice_ in account.slices:
            need = needs[slice_.lane]
            lacking = slice_.lacks(need, now_s) if need else 0
            if lacking > 0:
                enough = False
                if slice_.is_dry(lacking, now_s):
                    return self._refused(account, service, slice_, need, now_s)
                if self._is_away:
                    return refusals.LEDGER_AWAY
                if not slice_.asked:
                    self._ask(account, slice_, need, lacking)
            elif slice_.lane is Lane.USD:
                period = slice_.period
        if not enough:
            return None
        for slice_ in account.slices:
            slice_.take(needs[slice_.lane])
            if slice_.lane is Lane.REQUESTS:
                slice_.settle(1, 1, 0, now_s)
                self._touched[slice_] = None
        return Held(
            key=account.name,
            service=service.service,
            tokens=needs[Lane.TOKENS],
            usd=needs[Lane.USD] / NANO,
            account=account,
            price=service.price,
            needs=needs,
            slices=account.slices,
            period=period,
        )

    def _refused(self, account: Account, service: Route, slice_: Slice, need: int, now_s: float) -> Refusal:
        answer = slice_.answer
        assert answer is not None
        self._count(account, service.service, 0).refused += 1
        retry_s = max(0.001, slice_.answered_s + answer.retry_s - now_s)
        left = answer.remaining + (slice_.left if now_s < slice_.until_s else 0)
        return refusals.limited(account.key, answer, slice_.limit, left, need, retry_s, self._unix_s())

    def _ask(self, account: Account, slice_: Slice, need: int, lacking: int) -> None:
        """With the next message, which goes out before the event loop waits for anything."""
        slice_.asked = True
        self._asking[slice_] = account, need, lacking
        if not self._is_flushing:
            self._is_flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._is_flushing = False
        now_s = self._now_s()
        settled: list[Settle] = []
        asks: list[Ask] = []
        for slice_, (account, need, lacking) in self._asking.items():
            slice_.expire(now_s)
            settled += slice_.settled()
            welcome = sum(waiter.needs[slice_.lane] for waiter in account.waiters)
            asks.append(slice_.ask(need, lacking, welcome, now_s))
            self._asked[account.name, slice_.lane, slice_.window_s] = account, slice_
        self._asking.clear()
        if not self._is_away:
            self._link.send(Report(tuple(settled), tuple(asks)))

    def _receive(self, body: bytes) -> None:
        told = _ANSWERS.decode(body)
        now_s = self._now_s()
        accounts: dict[Account, None] = {}
        for answer in told.answers:
            asked = self._asked.pop((answer.key, answer.lane, answer.window_s), None)
            if (
                asked is None
            ):  # its key was made again under its name meanwhile: two asked, and one was answered
                continue
            account, slice_ = asked
            slice_.answered(answer, now_s)
            self._touched[slice_] = None
            accounts[account] = None
        for account in accounts:
            self._admit_waiting(account)
        if told.mark and told.mark == self._mark and self._durable is not None:
            self._durable.set_result(None)

    def _lost(self) -> None:
        """The ledger is gone, and so is whatever was asked of it."""
        self._is_away = True
        if self._durable is None:
            log.error(
                "The ledger is away: requests of keys with limits are refused once their slices are used up."
            )
            self._cut_off()
        for account in list(self._waiting):
            self._admit_waiting(account)
        if self._durable is not None and not self._durable.done():
            self._durable.set_result(None)

    def _queue(self, account: Account, service: Route, needs: Needs) -> Refusal | Awaitable[Grant | Refusal]:
        if self._waiters >= WAITERS_MAX:
            return refusals.TOO_MANY_WAIT
        waiter = Waiter(service, needs, self._now_s(), asyncio.get_running_loop().create_future())
        account.waiters.append(waiter)
        self._waiting[account] = None
        self._waiters += 1
        return self._answered(waiter)

    async def _answered(self, waiter: Waiter) -> Grant | Refusal:
        try:
            return await waiter.future
        except asyncio.CancelledError:
            if waiter.future.done() and not waiter.future.cancelled():
                grant = waiter.future.result()
                if isinstance(grant, Held):  # it was given, and nobody is there to use it
                    self._settle(grant, (1, 0, 0))
            raise

    def _admit_waiting(self, account: Account) -> None:
        """In the order in which they came, as far as the slices go."""
        waiters = account.waiters
        while waiters:
            waiter = waiters[0]
            if not waiter.future.done():
                answer = self._admit(account, waiter.service, waiter.needs)
                if answer is None:
                    return
                waiter.future.set_result(answer)
            self._drop_first(account)

    def _answer_all(self, account: Account, refusal: Refusal) -> None:
        while account.waiters:
            if not account.waiters[0].future.done():
                account.waiters[0].future.set_result(refusal)
            self._drop_first(account)

    def _give_up_waiting(self, now_s: float) -> None:
        for account in list(self._waiting):
            while account.waiters and account.waiters[0].arrived_s < now_s - ANSWER_S:
                if not account.waiters[0].future.done():
                    account.waiters[0].future.set_result(refusals.LEDGER_AWAY)
                self._drop_first(account)

    def _drop_first(self, account: Account) -> None:
        account.waiters.popleft()
        self._waiters -= 1
        if not account.waiters:
            self._waiting.pop(account, None)

    def _settle(self, grant: Held, used: Needs) -> None:
        now_s = self._now_s()
        for slice_ in grant.slices:
            lane = slice_.lane
            if lane is not Lane.REQUESTS:
                period = grant.period if lane is Lane.USD else 0
                slice_.settle(grant.needs[lane], used[lane], period, now_s)
                self._touched[slice_] = None

    def _count(self, account: Account, service: str, revision: int) -> Counted:
        self._counted[account] = None
        counted = account.counted.get((service, revision))
        if counted is None:
            counted = Counted(key=account.name, team=account.key.team, service=service, revision=revision)
            account.counted[service, revision] = counted
        return counted


def _cost_max(service: Route, tokens_max: int) -> int:
    """The most that it may cost, in nano-dollars: all tokens of the dearer kind, and a replica until the deadline."""
    price = service.price
    per_token = max(price.usd_per_token_in, price.usd_per_token_out)
    return math.ceil((tokens_max * per_token + service.deadline_s * price.usd_per_s) * NANO)


def _nano_usd(price: Price, tokens_in: int, tokens_out: int, seconds: float) -> int:
    usd = (
        tokens_in * price.usd_per_token_in + tokens_out * price.usd_per_token_out + seconds * price.usd_per_s
    )
    return math.ceil(usd * NANO)
