"""Where truth lies: an append-only event log, and its projection in the same transaction."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from suanli.domain.decision import Decision, Memory
from suanli.domain.events import Entry, Event
from suanli.domain.world import World
from suanli.ports.model_index import ModelIndex

IDEMPOTENCY_KEPT_S = 24 * 3600.0
"""How long a caller's key is remembered, by the `at_s` of commits."""

DECISIONS_KEPT = 20_000
"""Recorded decisions beyond this number are dropped, oldest first."""


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """The right to decide. `epoch` grows with every new holder and fences the writes of former ones."""

    holder: str
    epoch: int
    expires_s: float


class Idempotency(msgspec.Struct, frozen=True, kw_only=True):
    """A caller's key and the digest of what it sent; kept for at least a day."""

    key: str
    digest: str


class Commit(msgspec.Struct, frozen=True, kw_only=True):
    """One transaction: all of it happens or nothing.

    Checked in this order. `epoch` set: refused (`Deposed`) unless that lease is current; one that ran out but that
    nobody took over still is. `idempotency` set: a second commit with the same key and digest changes nothing and
    returns the first one's entries, whatever `if_seq` says; with another digest it raises `Conflict`. `if_seq` set:
    refused (`StaleWrite`) unless the log ends there.
    """

    events: tuple[Event, ...] = ()
    actor: str
    at_s: float
    epoch: int | None = None
    if_seq: int | None = None
    idempotency: Idempotency | None = None
    decision: Decision | None = None
    memory: Memory | None = None


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A credential as stored: only its SHA-256."""

    name: str
    digest: str
    created_s: float
    scopes: tuple[str, ...] = ("admin",)


class Store(Protocol):
    """Raises `Unavailable` where the database cannot be reached or is full or locked: nothing was written then."""

    @property
    def models(self) -> ModelIndex:
        """Which models there are."""
        ...

    def acquire_lease(self, holder: str, now_s: float, ttl_s: float) -> Lease | None:
        """The lease with a new epoch, or None while another holder's has not expired (`expires_s` > `now_s`)."""
        ...

    def renew_lease(self, lease: Lease, now_s: float, ttl_s: float) -> Lease:
        """The same epoch for longer. Raises Deposed where it is no longer ours."""
        ...

    def release_lease(self, lease: Lease) -> None:
        """Give it up at once. Does nothing where it is no longer ours."""
        ...

    def lease(self) -> Lease | None:
        """Who holds it now, expired or not; None where nobody ever did or it was given up."""
        ...

    def commit(self, commit: Commit) -> tuple[Entry, ...]:
        """Append events, project them, record the decision.

        Raises IllegalTransition, StaleWrite, Deposed, Conflict; then nothing of it was written.
        """
        ...

    def world(self) -> World:
        """The projection: equal to folding every entry, the order of `records` included. The caller's to keep."""
        ...

    def entries(self, after_seq: int, limit: int = 10_000) -> Sequence[Entry]:
        """Entries after `after_seq`, oldest first."""
        ...

    def memory(self) -> Memory:
        """Of the last decision recorded."""
        ...

    def decisions(self, limit: int = 1_000) -> Sequence[Decision]:
        """The latest, oldest first."""
        ...

    def save_document(self, kind: str, name: str, body: bytes, at_s: float) -> None:
        """Keep a small JSON document (a plan that was shown, alert states) until overwritten."""
        ...

    def document(self, kind: str, name: str) -> bytes | None: ...

    def documents(self, kind: str, since_s: float = 0.0) -> dict[str, bytes]:
        """Those of that kind saved at that instant or later, in the order of their names."""
        ...

    def drop_documents(self, kind: str, before_s: float) -> None:
        """Drop those of that kind saved before that instant: plans nobody will apply any more."""
        ...

    def add_token(self, token: Token) -> None:
        """Let it in. One of the same name is replaced: the former secret stops working."""
        ...

    def tokens(self) -> Sequence[Token]:
        """All, by name."""
        ...

    def close(self) -> None: ...
