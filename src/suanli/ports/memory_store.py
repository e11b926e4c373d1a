"""The store in memory, for tests, simulations and plans of fleets that do not exist. Nothing outlives the process."""

import threading
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from suanli.domain import events as ev
from suanli.domain.decision import Decision, Memory
from suanli.domain.world import World
from suanli.ports.commit_rules import (
    fold_commit,
    require_digest,
    require_epoch,
    require_seq,
    service_names,
    workload_keys,
)
from suanli.ports.memory_model_index import MemoryModelIndex
from suanli.ports.store import DECISIONS_KEPT, IDEMPOTENCY_KEPT_S, Commit, Idempotency, Lease, Token


class MemoryStore:
    """`ports.store.Store` in dicts; safe for threads. A commit costs what it changes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._epoch = 0
        self._lease: Lease | None = None
        self._world = World()
        self._entries: list[ev.Entry] = []
        self._memory = Memory()
        self._decisions: deque[Decision] = deque(maxlen=DECISIONS_KEPT)
        self._answers: dict[str, _Answer] = {}
        self._documents: dict[tuple[str, str], tuple[float, bytes]] = {}
        self._tokens: dict[str, Token] = {}
        self.models = MemoryModelIndex()

    def clone(self) -> "MemoryStore":
        """A store of its own that holds the same. O(everything), shallow: values are frozen."""
        other = MemoryStore()
        with self._lock:
            other._epoch, other._lease, other._memory = self._epoch, self._lease, self._memory
            other._world = self._world.copy()
            other._entries = self._entries.copy()
            other._decisions = self._decisions.copy()
            other._answers = self._answers.copy()
            other._documents = self._documents.copy()
            other._tokens = self._tokens.copy()
            other.models = self.models.clone()
        return other

    def acquire_lease(self, holder: str, now_s: float, ttl_s: float) -> Lease | None:
        with self._lock:
            held = self._lease
            if held is not None and held.holder != holder and held.expires_s > now_s:
                return None
            self._epoch += 1
            self._lease = Lease(holder=holder, epoch=self._epoch, expires_s=now_s + ttl_s)
            return self._lease

    def renew_lease(self, lease: Lease, now_s: float, ttl_s: float) -> Lease:
        with self._lock:
            require_epoch(self._lease, lease.epoch)
            self._lease = Lease(holder=lease.holder, epoch=lease.epoch, expires_s=now_s + ttl_s)
            return self._lease

    def release_lease(self, lease: Lease) -> None:
        with self._lock:
            if self._lease is not None and self._lease.epoch == lease.epoch:
                self._lease = None

    def lease(self) -> Lease | None:
        with self._lock:
            return self._lease

    def commit(self, commit: Commit) -> tuple[ev.Entry, ...]:
        with self._lock:
            require_epoch(self._lease, commit.epoch)
            if commit.idempotency is not None:
                answer = self._answer(commit.idempotency, commit.at_s)
                if answer is not None:
                    return answer
            require_seq(self._world.seq, commit.if_seq)
            entries = self._append(commit)
            if commit.decision is not None:
                self._decisions.append(commit.decision)
            if commit.memory is not None:
                self._memory = commit.memory
            if commit.idempotency is not None:
                self._remember(commit.idempotency, commit.at_s, entries)
            return entries

    def world(self) -> World:
        with self._lock:
            return self._world.copy()

    def entries(self, after_seq: int, limit: int = 10_000) -> Sequence[ev.Entry]:
        with self._lock:
            return self._entries[after_seq : after_seq + limit]

    def memory(self) -> Memory:
        with self._lock:
            return self._memory

    def decisions(self, limit: int = 1_000) -> Sequence[Decision]:
        with self._lock:
            return list(self._decisions)[-limit:] if limit else []

    def save_document(self, kind: str, name: str, body: bytes, at_s: float) -> None:
        with self._lock:
            self._documents[kind, name] = (at_s, body)

    def document(self, kind: str, name: str) -> bytes | None:
        with self._lock:
            saved = self._documents.get((kind, name))
            return None if saved is None else saved[1]

    def documents(self, kind: str, since_s: float = 0.0) -> dict[str, bytes]:
        with self._lock:
            found = {
                name: body
                for (of_kind, name), (at_s, body) in self._documents.items()
                if of_kind == kind and at_s >= since_s
            }
        return dict(sorted(found.items()))

    def drop_documents(self, kind: str, before_s: float) -> None:
        with self._lock:
            old = [key for key, (at_s, _) in self._documents.items() if key[0] == kind and at_s < before_s]
            for key in old:
                del self._documents[key]

    def add_token(self, token: Token) -> None:
        with self._lock:
            self._tokens[token.name] = token

    def tokens(self) -> Sequence[Token]:
        with self._lock:
            return [self._tokens[name] for name in sorted(self._tokens)]

    def close(self) -> None:
        """Nothing to let go of."""

    def _append(self, commit: Commit) -> tuple[ev.Entry, ...]:
        world = self._world
        keys = workload_keys(commit.events)
        draft = World(
            seq=world.seq,
            records={key: world.records[key] for key in keys if key in world.records},
            fleet=world.fleet,
            cordoned=dict(world.cordoned),
            policy=world.policy,
            services={
                name: world.services[name] for name in service_names(commit.events) if name in world.services
            },
        )
        entries = fold_commit(draft, commit)
        world.records.update(draft.records)
        world.services.update(draft.services)
        world.seq, world.fleet = draft.seq, draft.fleet
        world.cordoned, world.policy = draft.cordoned, draft.policy
        self._entries.extend(entries)
        return entries

    def _answer(self, asked: Idempotency, now_s: float) -> tuple[ev.Entry, ...] | None:
        """What the first commit under that key returned, while it is remembered."""
        known = self._answers.get(asked.key)
        if known is None or known.at_s < now_s - IDEMPOTENCY_KEPT_S:
            return None
        require_digest(asked.key, known.digest, asked.digest)
        return known.entries

    def _remember(self, asked: Idempotency, now_s: float, entries: tuple[ev.Entry, ...]) -> None:
        self._answers.pop(asked.key, None)
        self._answers[asked.key] = _Answer(now_s, asked.digest, entries)
        while self._answers[next(iter(self._answers))].at_s < now_s - IDEMPOTENCY_KEPT_S:
            del self._answers[next(iter(self._answers))]


class _Answer(NamedTuple):
    at_s: float
    digest: str
    entries: tuple[ev.Entry, ...]
