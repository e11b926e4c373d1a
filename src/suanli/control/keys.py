"""The API keys of services' clients: made, changed and revoked here, followed by gateways with their next routes."""

import math
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from suanli.credentials.keys import hint_of, new_key
from suanli.domain.errors import Conflict, NotFound, UsageError
from suanli.ports.store import Store
from suanli.serving.gateway.routes import Key

_KIND = "key"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")

PERIOD_MIN_S = 60.0
SERVICES_MAX = 100
RATE_MAX = 1e9
"""Of requests a second, tokens a minute, and dollars a period alike."""


class KeyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A key, and who made it when. `hint` is how its secret begins. One that is revoked stays, for what it used."""

    key: Key
    hint: str
    made_s: float
    made_by: str
    changed_s: float
    changed_by: str
    revoked_s: float | None = None

    def is_valid(self, now_s: float) -> bool:
        return self.revoked_s is None and (self.key.expires_s is None or self.key.expires_s > now_s)


def keys_of(store: Store) -> tuple[Key, ...]:
    """All that may ask, by name: for the routes of gateways, which look at the time themselves. O(keys)."""
    return tuple(record.key for record in key_records(store) if record.revoked_s is None)


def key_records(store: Store) -> tuple[KeyRecord, ...]:
    """All that there ever were, by name."""
    return tuple(msgspec.json.decode(body, type=KeyRecord) for body in store.documents(_KIND).values())


def key_record(store: Store, name: str) -> KeyRecord:
    """Raises NotFound."""
    body = store.document(_KIND, name)
    if body is None:
        raise NotFound(f"There is no key {name!r}.", remedy="See `suanli keys list`.", code="SL-KEY-UNKNOWN")
    return msgspec.json.decode(body, type=KeyRecord)


def make_key(
    store: Store, name: str, terms: Mapping[str, Any], *, actor: str, now_s: float
) -> tuple[str, KeyRecord]:
    """A key by that name, and its secret, which nobody can tell again. `terms` are fields of `routes.Key`.

    For the holder of the mutex. Raises Conflict where a key of that name is in use, UsageError.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is no name for a key.",
            remedy="Use up to 63 letters, digits, dots, dashes and underscores, a letter or digit first.",
        )
    body = store.document(_KIND, name)
    if body is not None and msgspec.json.decode(body, type=KeyRecord).revoked_s is None:
        raise Conflict(
            f"There is a key {name!r} already.",
            remedy=f"Use another name, or `suanli keys revoke {name}` first.",
            code="SL-KEY-EXISTS",
        )
    secret, digest = new_key()
    key = msgspec.structs.replace(Key(name=name, digest=digest), **terms)
    _check(key, now_s)
    record = KeyRecord(
        key=key, hint=hint_of(secret), made_s=now_s, made_by=actor, changed_s=now_s, changed_by=actor
    )
    _save(store, record, now_s)
    return secret, record


def change_key(store: Store, name: str, terms: Mapping[str, Any], *, actor: str, now_s: float) -> KeyRecord:
    """Other terms for the same secret. For the holder of the mutex. Raises NotFound, Conflict, UsageError."""
    before = _in_use(store, name)
    key = msgspec.structs.replace(before.key, **terms)
    _check(key, now_s)
    record = msgspec.structs.replace(before, key=key, changed_s=now_s, changed_by=actor)
    _save(store, record, now_s)
    return record


def revoke_key(store: Store, name: str, *, actor: str, now_s: float) -> KeyRecord:
    """It opens nothing any more, as soon as gateways follow. For the holder of the mutex. Raises NotFound, Conflict."""
    before = _in_use(store, name)
    record = msgspec.structs.replace(before, revoked_s=now_s, changed_s=now_s, changed_by=actor)
    _save(store, record, now_s)
    return record


def _in_use(store: Store, name: str) -> KeyRecord:
    record = key_record(store, name)
    if record.revoked_s is not None:
        raise Conflict(f"The key {name!r} is revoked.", remedy="Make a new one.", code="SL-KEY-REVOKED")
    return record


def _save(store: Store, record: KeyRecord, now_s: float) -> None:
    store.save_document(_KIND, record.key.name, msgspec.json.encode(record), now_s)


def _check(key: Key, now_s: float) -> None:
    """Raises UsageError with the first mistake."""
    for what, value in (
        ("requests per second", key.requests_per_s),
        ("tokens per minute", key.tokens_per_min),
        ("dollars", key.budget_usd),
    ):
        if value is not None and not (math.isfinite(value) and 0 < value <= RATE_MAX):
            raise UsageError(f"{value:g} {what} is no limit.", remedy="Give more than 0, or none at all.")
    if key.tokens_per_min is not None and key.tokens_per_min < 1:
        raise UsageError(
            "Less than one token a minute is no limit.", remedy="Give at least 1, or none at all."
        )
    if not PERIOD_MIN_S <= key.budget_period_s < math.inf:
        raise UsageError("A budget is for at least a minute.", remedy="Such as 5/h, 5/d, 5/week, 5/month.")
    if key.expires_s is not None and not now_s < key.expires_s < math.inf:
        raise UsageError("The key would have expired already.", remedy="Give a time to come, such as 30d.")
    if not 0 < len(key.services) <= SERVICES_MAX:
        raise UsageError(
            "A key is for one service at least.",
            remedy=f"Name up to {SERVICES_MAX} services, or `*` for all.",
        )
