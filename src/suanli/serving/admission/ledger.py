"""Who may use how much of what: the one place where the limits of a gateway's keys are kept, for all its workers.

Workers lease slices and report what they used. Limits by time are windows in memory: after a restart there are new
workers, too. Budgets are accounts in `books`: what a worker is granted of them is in the returned entry, which must be
durable before the worker is told. A pure state machine: instants are arguments, effects its caller's.
"""

import math
from collections import Counter
from typing import Any, NamedTuple

from suanli.serving.admission.books import AccountId, Books, Entry, Posting
from suanli.serving.admission.messages import LEASE_S, Answer, Ask, Lane, Report, Settle
from suanli.serving.admission.usage import hour_of
from suanli.serving.admission.windows import HELD_RETRY_S, Window

IDLE_LEASE_S = 30.0
IDLE_PART = {Lane.REQUESTS: 100, Lane.TOKENS: 100, Lane.USD: 1000}
"""A worker may hold this part of a limit for long, whether it needs it or not: that spares it asking each time."""

SPENDING_PART = 100
"""No slice of a budget is more than this part of it, unless one request needs more: it may be lost with its worker."""


class Now(NamedTuple):
    """One instant by both clocks: the machine's monotonic one, and the calendar's."""

    at_s: float
    unix_s: float


class Outcome(NamedTuple):
    """`at_once` may be told now, `once_durable` when `entry` is; None where nothing durable has changed."""

    at_once: tuple[Answer, ...]
    once_durable: tuple[Answer, ...]
    entry: Entry | None


class Ledger:
    """For one caller at a time. A report costs O(its lines), and O(slots) for each that is refused."""

    def __init__(self, books: Books) -> None:
        self.books = books
        self._windows: dict[tuple[str, Lane], Window] = {}
        self._held: dict[int, Counter[tuple[str, Lane]]] = {}  # by worker
        self._leased: dict[int, Counter[AccountId]] = {}
        self._leased_by_all: Counter[AccountId] = Counter()

    def join(self, worker: int) -> None:
        self._held[worker] = Counter()
        self._leased[worker] = Counter()

    def leave(self, worker: int, now: Now) -> None:
        """It is dead: what it held by time counts as used now, what it held of budgets as spent."""
        for name, amount in self._held.pop(worker).items():
            if amount:
                self._windows[name].settle(now.at_s, amount, 0)
        self._leased_by_all.subtract(self._leased.pop(worker))

    def report(self, worker: int, report: Report, now: Now) -> Outcome:
        """Apply what it says, then grant what it asks."""
        postings: list[Posting] = []
        for settle in report.settled:
            if settle.lane is Lane.USD:
                postings.append(self._spent(worker, settle))
            else:
                self._used(worker, settle)
        at_once: list[Answer] = []
        once_durable: list[Answer] = []
        for ask in report.asks:
            if ask.lane is Lane.USD:
                answer, posting = self._lease(worker, ask, now)
                if posting is not None:
                    postings.append(posting)
                (once_durable if posting else at_once).append(answer)
            else:
                at_once.append(self._hold(worker, ask, now))
        entry = self._entered(tuple(postings), report, now)
        return Outcome(tuple(at_once), tuple(once_durable), entry)

    def forget_idle(self, now: Now) -> None:
        """Drop what says nothing any more. O(windows × workers)."""
        self._windows = {name: each for name, each in self._windows.items() if not each.is_idle(now.at_s)}
        self._held = {worker: _without_zeros(held) for worker, held in self._held.items()}
        self._leased = {worker: _without_zeros(leased) for worker, leased in self._leased.items()}
        self._leased_by_all = _without_zeros(self._leased_by_all)

    def _entered(self, postings: tuple[Posting, ...], report: Report, now: Now) -> Entry | None:
        """For the journal, which tells the next start what this one's books have taken in already."""
        if not postings and not report.usage:
            return None
        hour = hour_of(now.unix_s)
        self.books.count(hour, report.usage)
        self.books.seq += 1
        return Entry(self.books.seq, hour, postings, report.usage)

    def _used(self, worker: int, settle: Settle) -> None:
        name = settle.key, settle.lane
        self._held[worker][name] -= settle.used + settle.returned
        self._window(settle).settle(settle.at_s, settle.used, settle.returned)

    def _hold(self, worker: int, ask: Ask, now: Now) -> Answer:
        window = self._window(ask)
        free = window.free(now.at_s)
        if free < ask.need:
            retry_s = math.inf
            if ask.whole <= ask.limit:
                retry_s = window.retry_s(ask.need, now.at_s, held_is_used=ask.lane is Lane.REQUESTS)
            return _refused(ask, free, retry_s, is_spent=retry_s != HELD_RETRY_S)
        welcome = max(ask.want, ask.limit // IDLE_PART[ask.lane])
        amount = max(ask.need, min(welcome, free // len(self._held)))
        window.hold(amount, now.at_s)
        held = self._held[worker]
        held[ask.key, ask.lane] += amount
        until_s = now.at_s + lease_s(ask, held[ask.key, ask.lane])
        return _granted(ask, amount, until_s, 0, free)

    def _window(self, of: Ask | Settle) -> Window:
        name = of.key, of.lane
        window = self._windows.get(name)
        if window is None:
            window = self._windows[name] = Window(of.limit, of.window_s)
        elif (window.limit, window.window_s) != (of.limit, of.window_s):
            window = self._windows[name] = window.resized(of.limit, of.window_s)
        return window

    def _spent(self, worker: int, settle: Settle) -> Posting:
        posting = Posting(
            settle.key, settle.window_s, settle.period, spent=settle.used, returned=settle.returned
        )
        self.books.post(posting)
        self._note_leased(worker, posting, -settle.used - settle.returned)
        return posting

    def _lease(self, worker: int, ask: Ask, now: Now) -> tuple[Answer, Posting | None]:
        period = int(now.unix_s // ask.window_s)
        ends_in_s = (period + 1) * ask.window_s - now.unix_s
        balance = self.books.balance((ask.key, ask.window_s, period))
        free = ask.limit - balance.spent - balance.held
        if free < ask.need:
            lost = balance.held - self._leased_by_all[ask.key, ask.window_s, period]
            is_spent = ask.limit - balance.spent - lost < ask.whole
            retry_s = math.inf if ask.whole > ask.limit else ends_in_s if is_spent else HELD_RETRY_S
            return _refused(ask, free, retry_s, is_spent), None
        welcome = max(ask.limit // IDLE_PART[Lane.USD], min(ask.want, ask.limit // SPENDING_PART))
        amount = max(ask.need, min(welcome, free // len(self._held)))
        posting = Posting(ask.key, ask.window_s, period, leased=amount)
        self.books.post(posting)
        self._note_leased(worker, posting, amount)
        held = self._leased[worker][ask.key, ask.window_s, period]
        until_s = now.at_s + min(lease_s(ask, held), ends_in_s)
        return _granted(ask, amount, until_s, period, free), posting

    def _note_leased(self, worker: int, posting: Posting, amount: int) -> None:
        account = posting.key, posting.period_s, posting.period
        self._leased[worker][account] += amount
        self._leased_by_all[account] += amount


def lease_s(ask: Ask, held: int) -> float:
    """How long a slice may be used, by a worker that then holds so much; what is left goes back at its end."""
    if held <= ask.limit // IDLE_PART[ask.lane]:
        return IDLE_LEASE_S
    return min(LEASE_S[ask.lane], ask.window_s / 4)


def _without_zeros(amounts: "Counter[Any]") -> "Counter[Any]":
    return Counter({name: amount for name, amount in amounts.items() if amount})


def _granted(ask: Ask, amount: int, until_s: float, period: int, free: int) -> Answer:
    return Answer(
        ask.key, ask.lane, ask.window_s, ask.need, amount, until_s, period, free - amount, 0.0, False
    )


def _refused(ask: Ask, free: int, retry_s: float, is_spent: bool) -> Answer:
    return Answer(ask.key, ask.lane, ask.window_s, ask.need, 0, 0.0, 0, max(0, free), retry_s, is_spent)
