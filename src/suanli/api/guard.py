"""What every request passes before any route sees it: where it was sent, who sends it, how much, how often.

It stands around the whole app and not at its routes, so that a route that somebody adds later is closed too, and so
that nothing of a stranger's request is read.
"""

import re
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import structlog
from fastapi import HTTPException
from fastapi.concurrency import run_in_threadpool
from fastapi.datastructures import Headers

from suanli.api import problems
from suanli.api.limits import Buckets
from suanli.credentials.tokens import verify
from suanli.domain.errors import NotAuthorised, SuanliError, UsageError
from suanli.ports.store import Store, Token

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
"""These five are the ASGI specification's."""

OPEN_PATHS = frozenset({"/healthz", "/readyz"})
"""All that answers without a token. A test holds every other route to it."""

BODY_BYTES_MAX = 2**20
PIECE_BYTES_MAX = 8 * 2**20
PIECE_PATH = re.compile(r"/v1/models/[^/]{1,100}/uploads/[0-9a-f]{40}/[0-9a-f]{64}")
"""What may be larger: a piece of a model's file, which its route takes a few of at a time."""

REQUESTS_PER_S = 100.0
FAILED_LOGINS_PER_MINUTE = 5.0
TOKENS_READ_EVERY_S = 2.0
"""A token taken away stops working after at most that long."""

LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})

_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")

_HEADERS = [
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
]


class Forbidden(NotAuthorised):
    """You may not do that."""

    code = "SL-FORBIDDEN"
    http_status = 403


class Guard:
    """ASGI middleware. Refuses with a problem; passes on with `request_id` and `actor` in the request's state."""

    def __init__(
        self, app: ASGIApp, *, store: Store, hosts: Collection[str], monotonic: Callable[[], float]
    ) -> None:
        self._app = app
        self._hosts = LOCAL_HOSTS | {host.lower() for host in hosts}
        self._tokens = _Tokens(store, monotonic)
        self._requests = Buckets(REQUESTS_PER_S, REQUESTS_PER_S, monotonic)
        self._failed = Buckets(FAILED_LOGINS_PER_MINUTE / 60.0, FAILED_LOGINS_PER_MINUTE, monotonic)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        request_id = uuid4().hex
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        send = _with_headers(send, request_id)
        headers = Headers(scope=scope)
        try:
            self._check_host(headers, scope["method"])
            if scope["path"] not in OPEN_PATHS:
                state["actor"] = await self._check_token(headers, scope)
            bytes_max = _bytes_max(scope)
            _check_length(headers, bytes_max)
        except SuanliError as error:
            await problems.response(error, request_id)(scope, receive, send)
            return
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            await self._app(scope, _bounded(receive, bytes_max), send)

    def _check_host(self, headers: Headers, method: str) -> None:
        """A name that leads here by DNS is no name of ours: so no web page can speak to this port."""
        said = headers.getlist("host")
        match = _HOST.fullmatch(said[0]) if len(said) == 1 else None
        if match is None or match[1].lower() not in self._hosts:
            raise UsageError(
                "The request was sent to a host name that is not this controller's.",
                remedy="Use the address that `suanli up` showed, or allow the name with `--allow-host`.",
                code="SL-HOST",
            )
        origins = headers.getlist("origin")
        if origins and method not in ("GET", "HEAD") and not _is_own(origins, said[0]):
            raise Forbidden("The request comes from a page of another origin.", code="SL-ORIGIN")

    async def _check_token(self, headers: Headers, scope: Scope) -> str:
        """The name of a valid token.

        A missing token is no guess and is not counted; a valid one is let in whatever else was tried from its
        address, since one process of a machine must not be able to lock out its owner, and nobody guesses 256 bits.
        """
        scheme, _, secret = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not secret.strip():
            raise NotAuthorised(remedy="Send `Authorization: Bearer TOKEN`; `suanli up` made a token.")
        token = verify(secret.strip(), await self._tokens.current())
        if token is None:
            client = scope.get("client")
            self._failed.take(client[0] if client else "")
            raise NotAuthorised(
                "The token is not valid.", remedy="`suanli up` shows where it keeps its token."
            )
        self._requests.take(token.name)
        if "admin" not in token.scopes and not (scope["method"] == "GET" and "read" in token.scopes):
            raise Forbidden(f"The token {token.name} may not do that.", evidence={"scopes": token.scopes})
        return token.name


class _Tokens:
    """The store's tokens, read anew every other second."""

    def __init__(self, store: Store, monotonic: Callable[[], float]) -> None:
        self._store = store
        self._monotonic = monotonic
        self._known: tuple[Token, ...] = ()
        self._read_s = -TOKENS_READ_EVERY_S

    async def current(self) -> tuple[Token, ...]:
        now_s = self._monotonic()
        if now_s - self._read_s >= TOKENS_READ_EVERY_S:
            self._known = tuple(await run_in_threadpool(self._store.tokens))
            self._read_s = now_s
        return self._known


def _is_own(origins: list[str], host: str) -> bool:
    if len(origins) != 1:
        return False
    parts = urlsplit(origins[0])
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower() and not parts.path


def _bytes_max(scope: Scope) -> int:
    is_piece = scope["method"] == "PUT" and PIECE_PATH.fullmatch(scope["path"]) is not None
    return PIECE_BYTES_MAX if is_piece else BODY_BYTES_MAX


def _check_length(headers: Headers, bytes_max: int) -> None:
    said = headers.get("content-length", "0")
    if not re.fullmatch(r"[0-9]{1,15}", said) or int(said) > bytes_max:
        raise problems.TooLarge(
            remedy=f"Send at most {bytes_max // 2**20} MiB; split the declarations.",
            evidence={"bytes_max": bytes_max},
        )


def _bounded(receive: Receive, bytes_max: int) -> Receive:
    """The same limit for a body that does not say its length."""
    received = 0

    async def bounded() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > bytes_max:
            raise HTTPException(413)
        return message

    return bounded


def _with_headers(send: Send, request_id: str) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = list(message.get("headers", ()))
            names = {name.lower() for name, _ in given}
            more = [*_HEADERS, (b"x-request-id", request_id.encode())]
            message["headers"] = given + [header for header in more if header[0] not in names]
        await send(message)

    return sending
