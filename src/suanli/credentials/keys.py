"""API keys of services' clients: as OpenAI's look, and kept as digests. 256 random bits need no slower hash."""

import hashlib
import secrets

PREFIX = "sk-suanli-"
"""So that a secret scanner, or a person, knows one when it leaks."""

_SECRET_BYTES = 32
_HINT_CHARACTERS = 4


def new_key() -> tuple[str, str]:
    """The secret, to be shown once and never kept, and the digest that is kept."""
    secret = PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
    return secret, digest_of(secret.encode())


def digest_of(secret: bytes) -> str:
    """In hexadecimal. A look-up by it tells by its time at most something of the digest, never of the secret."""
    return hashlib.sha256(secret).hexdigest()


def hint_of(secret: str) -> str:
    """The beginning, by which a person knows which of their keys it is."""
    return secret[: len(PREFIX) + _HINT_CHARACTERS] + "…"
