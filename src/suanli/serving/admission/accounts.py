"""The keys of the routes as one worker has them at hand: found by what a client sends, with their slices and counts."""

import asyncio
import math
from collections import deque
from typing import NamedTuple

from suanli.credentials.keys import digest_of
from suanli.serving.admission import windows
from suanli.serving.admission.messages import Lane
from suanli.serving.admission.refusals import NO_KEY, WRONG_KEY
from suanli.serving.admission.slices import Slice
from suanli.serving.admission.usage import NANO, Counted
from suanli.serving.gateway.admission_port import Grant, Refusal
from suanli.serving.gateway.routes import ANY, Key, Route, Routes

SECRETS_KEPT = 20_000
"""So many recently verified secrets are known as they are sent; beyond that they are digested anew."""

AUTHORIZATION_BYTES_MAX = 512
_SCHEME = b"bearer "

Needs = tuple[int, int, int]
"""By lane: requests, tokens, nano-dollars."""


class Waiter(NamedTuple):
    """A request that waits for the ledger's answer. `arrived_s` is monotonic."""

    service: Route
    needs: Needs
    arrived_s: float
    future: "asyncio.Future[Grant | Refusal]"


class Account:
    """One key in one worker. `slices` are of the lanes that are limited; `counted` is by service and revision."""

    __slots__ = ("counted", "expires_s", "has_budget", "key", "name", "services", "slices", "waiters")

    def __init__(self, key: Key) -> None:
        self.slices: tuple[Slice, ...] = ()
        self.waiters: deque[Waiter] = deque()
        self.counted: dict[tuple[str, int], Counted] = {}
        self.follow(key)

    def follow(self, key: Key) -> None:
        """The key may have been changed: slices of limits that are still there go on."""
        self.key = key
        self.name = key.name
        self.services = None if ANY in key.services else frozenset(key.services)
        self.expires_s = math.inf if key.expires_s is None else key.expires_s
        self.has_budget = key.budget_usd is not None
        before = {each.lane: each for each in self.slices}
        self.slices = tuple(
            _resized(before.get(lane), key.name, lane, *limit) for lane, limit in _limits(key)
        )

    def may_use(self, service: str) -> bool:
        return self.services is None or service in self.services


ANONYMOUS = Key(name="", digest="", team="")


class Accounts:
    """All keys of the routes. O(1) for each request, O(keys) for new routes."""

    def __init__(self) -> None:
        self.by_name: dict[str, Account] = {}
        self._by_digest: dict[str, Account] = {}
        self._by_sent: dict[bytes, Account] = {}
        self._anonymous: Account | None = None
        self._stranger = Account(ANONYMOUS)

    def follow(self, routes: Routes) -> list[Account]:
        """Take the keys as they are now. Returns the accounts of those that are gone."""
        before, self.by_name = self.by_name, {}
        for key in routes.keys:
            account = before.pop(key.name, None)
            if account is None:
                account = Account(key)
            elif account.key != key:
                account.follow(key)
            self.by_name[key.name] = account
        self._by_digest = {account.key.digest: account for account in self.by_name.values()}
        self._by_sent.clear()
        self._anonymous = self._stranger if routes.open_to_all else None
        return list(before.values())

    def of(self, authorization: bytes | None) -> Account | Refusal:
        """Whose request it is."""
        if authorization is None:
            return self._anonymous or NO_KEY
        account = self._by_sent.get(authorization)
        if account is not None:
            return account
        if len(authorization) > AUTHORIZATION_BYTES_MAX or authorization[: len(_SCHEME)].lower() != _SCHEME:
            return WRONG_KEY
        secret = authorization[len(_SCHEME) :].strip()
        account = self._by_digest.get(digest_of(secret))
        if account is None:
            return WRONG_KEY
        if len(self._by_sent) >= SECRETS_KEPT:
            self._by_sent.clear()
        self._by_sent[authorization] = account
        return account


def _limits(key: Key) -> list[tuple[Lane, tuple[int, float]]]:
    limits: list[tuple[Lane, tuple[int, float]]] = []
    if key.requests_per_s is not None:
        limits.append((Lane.REQUESTS, windows.of_requests(key.requests_per_s)))
    if key.tokens_per_min is not None:
        limits.append((Lane.TOKENS, windows.of_tokens(key.tokens_per_min)))
    if key.budget_usd is not None:
        limits.append((Lane.USD, (int(key.budget_usd * NANO), key.budget_period_s)))
    return limits


def _resized(slice_: Slice | None, name: str, lane: Lane, limit: int, window_s: float) -> Slice:
    if slice_ is None or (
        lane is Lane.USD and slice_.window_s != window_s
    ):  # other periods are other accounts
        return Slice(name, lane, limit, window_s)
    slice_.resize(limit, window_s)
    return slice_
