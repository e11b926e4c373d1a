"""The durable part of the ledger: what was spent of budgets and leased from them, and what was used this hour.

`Books` is the fold of the journal's records: at the next start by `apply`, in life by what `apply` is made of. A lease
that no record settled counts as spent until its period is over: whoever held it may have used it all.
"""

from collections.abc import Iterable, Sequence

import msgspec

from suanli.serving.admission.usage import Counted, Hour

KEPT_S = 86400.0
"""How long the account of a period that is over is kept, for clocks that go back."""

AccountId = tuple[str, float, int]
"""A key, the length of its periods in seconds, and the number of the period since the epoch."""


class Posting(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A change of an account, in nano-dollars: leased to a worker, spent of what was leased, given back of it."""

    key: str
    period_s: float
    period: int
    leased: int = 0
    spent: int = 0
    returned: int = 0


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="entry"):
    """What one report changed."""

    seq: int
    hour: int
    postings: tuple[Posting, ...] = ()
    usage: tuple[Counted, ...] = ()


class Reopened(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="reopened"):
    """An hour that was over, and its file written, goes on where that file ends: the clock went back."""

    seq: int
    hour: Hour


class Balance(msgspec.Struct, array_like=True, gc=False):
    """Of one account: `spent` for good, `held` by workers or lost with them."""

    key: str
    period_s: float
    period: int
    spent: int = 0
    held: int = 0


class Snapshot(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="snapshot"):
    """All that came before."""

    seq: int
    balances: tuple[Balance, ...]
    hours: tuple[Hour, ...]


_RECORD = msgspec.msgpack.Decoder(Entry | Reopened | Snapshot)


class Books:
    """Balances by account, and counts by hour, key, service and revision. `seq` is the number of the last record."""

    def __init__(self, records: Iterable[bytes] = ()) -> None:
        self.seq = 0
        self.balances: dict[AccountId, Balance] = {}
        self.hours: dict[int, dict[tuple[str, str, int], Counted]] = {}
        for record in records:
            self.apply(_RECORD.decode(record))

    def apply(self, record: Entry | Reopened | Snapshot) -> None:
        match record:
            case Entry(postings=postings, usage=usage):
                for posting in postings:
                    self.post(posting)
                self.count(record.hour, usage)
            case Reopened(hour=hour):
                self.hours[hour.number] = _by_what(hour.rows)
            case Snapshot(balances=balances, hours=hours):
                self.balances = {(each.key, each.period_s, each.period): each for each in balances}
                self.hours = {hour.number: _by_what(hour.rows) for hour in hours}
        self.seq = max(self.seq, record.seq)

    def post(self, posting: Posting) -> None:
        account = posting.key, posting.period_s, posting.period
        balance = self.balances.get(account)
        if balance is None:
            balance = self.balances[account] = Balance(*account)
        balance.held += posting.leased - posting.spent - posting.returned
        balance.spent += posting.spent

    def count(self, hour: int, usage: Sequence[Counted]) -> None:
        if not usage:
            return
        rows = self.hours.setdefault(hour, {})
        for counted in usage:
            row = rows.get(counted.of)
            if row is None:
                rows[counted.of] = row = Counted(key=counted.key, team=counted.team, service=counted.service)
                row.revision = counted.revision
            row.add(counted)

    def balance(self, account: AccountId) -> Balance:
        return self.balances.get(account) or Balance(*account)

    def hour(self, number: int) -> Hour:
        """As it stands, for its file."""
        return Hour(number=number, seq=self.seq, rows=tuple(self.hours[number].values()))

    def snapshot(self, unix_s: float) -> bytes:
        """All as one record, without the accounts of periods that are long over."""
        self.balances = {
            account: balance
            for account, balance in self.balances.items()
            if (balance.period + 1) * balance.period_s + KEPT_S > unix_s
        }
        hours = tuple(map(self.hour, self.hours))
        return msgspec.msgpack.encode(Snapshot(self.seq, tuple(self.balances.values()), hours))


def _by_what(rows: Iterable[Counted]) -> dict[tuple[str, str, int], Counted]:
    return {row.of: row for row in rows}
