"""Bearer tokens. The secret is 256 random bits, so a plain SHA-256 of it is enough to keep."""

import hashlib
import hmac
import secrets
from collections.abc import Iterable

from suanli.ports.store import Token

_PREFIX = "sl_"
"""So that a secret scanner, or a person, knows one when it leaks."""

_SECRET_BYTES = 32


def new_token(name: str, now_s: float) -> tuple[str, Token]:
    """The secret, to be shown once and never kept, and the token as it is stored."""
    secret = _PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
    return secret, Token(name=name, digest=_digest(secret), created_s=now_s)


def verify(secret: str, tokens: Iterable[Token]) -> Token | None:
    """The token that this is the secret of. Takes the same time whichever it is, or none."""
    digest = _digest(secret)
    found: Token | None = None
    for token in tokens:
        if hmac.compare_digest(token.digest, digest):
            found = token
    return found


def _digest(secret: str) -> str:
    # a header may carry anything: what is no text must be refused, not raise
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
