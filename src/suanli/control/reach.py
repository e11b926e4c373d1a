"""How a replica is reached: the address that it listens on, and the token by which it knows its gateway.

On the gateway's own machine it listens on loopback alone, elsewhere on its node's address in the cluster. Whoever else
can reach its port must not get past keys, limits and budgets, so a runtime answers only who shows the token. Each
attempt has its own, made of a secret that never leaves the controller's home: nothing need be kept, the next controller
makes the same, and a replica that gives its own away opens no other.
"""

import hashlib
import hmac
import secrets
from collections.abc import Collection, Mapping
from pathlib import Path

import msgspec

from suanli.domain.observation import Observation
from suanli.whole_file import replace

LOOPBACK = "127.0.0.1"
KEPT_IN = "replicas.secret"
_SECRET_BYTES = 32


class Reach(msgspec.Struct, frozen=True):
    """Of one attempt. Without a token whoever reaches it is answered."""

    host: str = LOOPBACK
    token: str = ""


class Reaching:
    """`here` are this machine's addresses."""

    def __init__(self, here: Collection[str], secret: bytes = b"") -> None:
        self._here = here
        self._secret = secret

    def addresses(self, seen: Observation) -> Mapping[str, str]:
        """Of all nodes, by name."""
        return {view.name: LOOPBACK if view.address in self._here else view.address for view in seen.nodes}

    def of(self, key: str, number: int, node: str, addresses: Mapping[str, str]) -> Reach:
        """Of attempt `number` of `key`, whose first worker is on `node`."""
        return Reach(addresses.get(node) or LOOPBACK, self._token(key, number))

    def _token(self, key: str, number: int) -> str:
        if not self._secret:
            return ""
        return hmac.new(self._secret, f"{key}:{number}".encode(), hashlib.sha256).hexdigest()


def secret_in(home: Path) -> bytes:
    """The home's secret, made where there is none yet; for its owner alone. Raises OSError."""
    path = home / KEPT_IN
    try:
        found = path.read_bytes()
    except FileNotFoundError:
        found = b""
    if len(found) != _SECRET_BYTES:
        found = secrets.token_bytes(_SECRET_BYTES)
        replace(path, found, durable=True)
    return found
