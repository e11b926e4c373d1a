"""What the hub must not forget when it dies, in the cluster's own key-value store: it lives as long as the cluster."""

import uuid

import msgspec
from ray.experimental.internal_kv import _internal_kv_get, _internal_kv_list, _internal_kv_put

from suanli.engine.gangs import Durable, Gangs
from suanli.engine.ray.names import NAMESPACE
from suanli.engine.ray.requests import Settings

_PREFIX = "suanli:key:"
_INCARNATION = "suanli:incarnation"
_SETTINGS = "suanli:settings"


class _Entry(msgspec.Struct, frozen=True):
    """All that is kept of one workload key."""

    key: str
    highest: int
    attempts: list[Durable]


def incarnation() -> str:
    """The name of this cluster's life; the first to ask gives it."""
    _internal_kv_put(_INCARNATION, uuid.uuid4().hex, overwrite=False, namespace=NAMESPACE)
    return _internal_kv_get(_INCARNATION, namespace=NAMESPACE).decode()


def settings() -> Settings:
    """Those of the last controller, until one has come the defaults."""
    kept = _internal_kv_get(_SETTINGS, namespace=NAMESPACE)
    return Settings() if kept is None else msgspec.json.decode(kept, type=Settings)


def save_settings(settings: Settings) -> None:
    _internal_kv_put(_SETTINGS, msgspec.json.encode(settings), overwrite=True, namespace=NAMESPACE)


def save(gangs: Gangs, key: str) -> None:
    highest, attempts = gangs.of_key(key)
    entry = msgspec.json.encode(_Entry(key, highest, attempts))
    _internal_kv_put(_PREFIX + key, entry, overwrite=True, namespace=NAMESPACE)


def restore(gangs: Gangs, now_s: float) -> None:
    names = _internal_kv_list(_PREFIX, namespace=NAMESPACE)
    entries = [
        msgspec.json.decode(_internal_kv_get(name, namespace=NAMESPACE), type=_Entry) for name in names
    ]
    attempts = [attempt for entry in entries for attempt in entry.attempts]
    gangs.restore(attempts, {entry.key: entry.highest for entry in entries}, now_s)
