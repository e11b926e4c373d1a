"""A worker's part of one limit of one key: what it may use without asking, until when, and what it has to report."""

from suanli.serving.admission.messages import LEASE_S, Answer, Ask, Lane, Settle
from suanli.serving.admission.windows import SLOTS

DRY_MAX_S = 0.25
"""After a refusal the ledger is asked again at the latest after this: others may have given something back."""

DRY_SPENT_S = 1.0
"""The same where a budget is used up."""

MEASURED_MIN_S = 0.02
"""Use is measured over at least this long before it is taken for a rate."""


class Slice:
    """`left` may be taken until `until_s`. What was taken is settled once it is known how much was truly used.

    Always: leased = left + taken and not settled + settled and not reported + reported.
    """

    __slots__ = (
        "_key",
        "_returned",
        "_since_s",
        "_slot_s",
        "_taken",
        "_used",
        "answer",
        "answered_s",
        "asked",
        "dry_until_s",
        "lane",
        "left",
        "limit",
        "period",
        "until_s",
        "window_s",
    )

    def __init__(self, key: str, lane: Lane, limit: int, window_s: float) -> None:
        self._key = key
        self.lane = lane
        self.resize(limit, window_s)
        self.left = 0
        self.until_s = 0.0
        self.period = 0
        self.asked = False
        self.answer: Answer | None = None
        self.answered_s = 0.0
        self._taken = 0
        self._since_s = 0.0
        self._used: dict[
            tuple[int, int], tuple[int, float]
        ] = {}  # by period and slot: how much, at the latest when
        self._returned: dict[int, int] = {}  # by period

    def resize(self, limit: int, window_s: float) -> None:
        self.dry_until_s = 0.0
        self.limit = limit
        self.window_s = window_s
        self._slot_s = window_s / SLOTS

    def lacks(self, need: int, now_s: float) -> int:
        """How much more than what is left it takes; not above 0 where nothing is lacking."""
        return need - self.left if now_s < self.until_s else need

    def is_dry(self, lacking: int, now_s: float) -> bool:
        """The ledger refused as little a moment ago."""
        return now_s < self.dry_until_s and self.answer is not None and lacking >= self.answer.need

    def take(self, amount: int) -> None:
        self.left -= amount
        self._taken += amount

    def settle(self, taken: int, used: int, period: int, now_s: float) -> None:
        """Of what was taken so much was used, in truth; the rest may be taken again, or goes back."""
        if used:
            at = period, (0 if self.lane is Lane.USD else int(now_s / self._slot_s))
            before = self._used.get(at)
            self._used[at] = (used + before[0] if before else used, now_s)
        if taken != used:
            if period == self.period and now_s < self.until_s:
                self.left += taken - used
            else:
                self._returned[period] = self._returned.get(period, 0) + taken - used

    def ask(self, need: int, lacking: int, welcome: int, now_s: float) -> Ask:
        """For what is lacking of a need, and for what it will use until the lease is over if demand goes on."""
        elapsed_s = max(MEASURED_MIN_S, now_s - self._since_s)
        rate = self._taken / elapsed_s
        self._taken, self._since_s, self.asked = 0, now_s, True
        want = max(lacking, welcome, int(rate * LEASE_S[self.lane]))
        return Ask(self._key, self.lane, self.limit, self.window_s, lacking, need, min(want, self.limit))

    def answered(self, answer: Answer, now_s: float) -> None:
        self.asked = False
        self.answer, self.answered_s = answer, now_s
        if not answer.granted:
            most_s = DRY_SPENT_S if answer.is_spent and self.lane is Lane.USD else DRY_MAX_S
            self.dry_until_s = now_s + max(self._slot_s / 2, min(answer.retry_s, most_s))
            return
        if answer.period != self.period:
            self._give_back()
            self.period = answer.period
        self.left += answer.granted
        self.until_s = answer.until_s

    def expire(self, now_s: float) -> None:
        """What is left when the lease is over goes back."""
        if now_s >= self.until_s:
            self._give_back()

    def settled(self) -> list[Settle]:
        """What is to be reported since the last time. O(its lines), no more than the slots between two reports."""
        if not (self._used or self._returned):
            return []
        lines = [self._line(period, used, 0, at_s) for (period, _), (used, at_s) in self._used.items()]
        lines += [self._line(period, 0, returned, 0.0) for period, returned in self._returned.items()]
        self._used.clear()
        self._returned.clear()
        return lines

    def _give_back(self) -> None:
        if self.left:
            self._returned[self.period] = self._returned.get(self.period, 0) + self.left
            self.left = 0

    def _line(self, period: int, used: int, returned: int, at_s: float) -> Settle:
        return Settle(self._key, self.lane, self.limit, self.window_s, period, used, returned, at_s)
