"""A request that a caller sends again, because the answer got lost, gets the first one's answer and does nothing."""

import hashlib
from collections.abc import Callable
from typing import TypeVar

import msgspec

from suanli.ports.commit_rules import require_digest
from suanli.ports.store import IDEMPOTENCY_KEPT_S, Store

_KIND = "answer"

_T = TypeVar("_T")


class _Answer(msgspec.Struct, frozen=True):
    digest: str
    body: msgspec.Raw


def once(store: Store, key: str, request: bytes, now_s: float, kind: type[_T], do: Callable[[], _T]) -> _T:
    """What `do` answers, or answered to the same request under that key within a day. Without a key: `do`.

    What is compared is the request as it was sent: read again, a `deadline: 2h` would be another instant. The commit
    within `do` carries the key as well, so nothing is done twice if we die before the answer is kept.
    For the holder of the mutex. Raises Conflict where the key came with another request.
    """
    if not key:
        return do()
    digest = hashlib.sha256(request).hexdigest()
    known = store.document(_KIND, key)
    if known is not None:
        answer = msgspec.json.decode(known, type=_Answer)
        require_digest(key, answer.digest, digest)
        return msgspec.json.decode(answer.body, type=kind)
    done = do()
    store.drop_documents(_KIND, now_s - IDEMPOTENCY_KEPT_S)
    body = msgspec.json.encode(_Answer(digest, msgspec.Raw(msgspec.json.encode(done))))
    store.save_document(_KIND, key, body, now_s)
    return done
