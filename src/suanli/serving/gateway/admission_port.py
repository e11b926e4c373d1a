"""Who may enter: what the gateway's data path asks before it passes a request on, and tells once it is over.

The data path knows nothing of keys, limits or budgets. It asks for each request in `enter`, on its event loop: the
answer is a plain value wherever it can be, and an awaitable only where something has to be fetched first.
"""

from collections.abc import Awaitable, Sequence
from typing import Protocol

import msgspec

from suanli.serving.gateway.routes import Route, Routes


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to who may not enter: an HTTP status, a stable code (`invalid_api_key`), a sentence for the client.

    401: no key or an unknown one. 404: a key that is not for this service, told as if there were no such service.
    429: a limit or a budget is used up; `retry_after_s` says when it is worth asking again. 503: whether it may enter
    cannot be told now. `headers` go out with the answer: which limit, its value, what is left.
    """

    status: int
    code: str
    message: str
    retry_after_s: float | None = None
    headers: tuple[tuple[str, str], ...] = ()


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """Leave to enter, under the name of a key ("" where none was asked for), with what was reserved for it."""

    key: str
    service: str
    tokens: int = 0
    usd: float = 0.0


class Admission(Protocol):
    """Called by one worker only, from one event loop. `routes` is the value that the worker follows now: the same
    object until it takes new ones, so what is derived from it may be kept by its identity."""

    async def start(self) -> None:
        """Before the first request."""
        ...

    async def stop(self) -> None:
        """After the last `leave`: what is not yet durable becomes so."""
        ...

    def enter(
        self, routes: Routes, authorization: bytes | None, service: Route, tokens_max: int, now_s: float
    ) -> Grant | Refusal | Awaitable[Grant | Refusal]:
        """May this request go to that service, with at most so many tokens in and out?

        `authorization` is the header's value as the client sent it (`Bearer ...`), None without one. `now_s` is Unix
        time.
        """
        ...

    def leave(
        self,
        grant: Grant,
        *,
        tokens_in: int,
        tokens_out: int,
        seconds: float,
        status: int,
        request_id: str,
        revision: int = 0,
    ) -> None:
        """A request that entered is over: exactly once for each grant.

        `seconds` is how long a replica worked on it (0 if none got it), one of `revision` (0 likewise). `status` is
        what the client was answered, 499 if it went away before that, 502 if the answer broke off.
        """
        ...

    def visible(self, routes: Routes, authorization: bytes | None, now_s: float) -> Sequence[Route] | Refusal:
        """The services that this caller may use, for lists and for "did you mean"; not counted against a limit."""
        ...


class OpenAdmission:
    """Lets everybody pass."""

    async def start(self) -> None:
        return

    async def stop(self) -> None:
        return

    def enter(
        self, routes: Routes, authorization: bytes | None, service: Route, tokens_max: int, now_s: float
    ) -> Grant:
        return Grant(key="", service=service.service, tokens=tokens_max)

    def leave(
        self,
        grant: Grant,
        *,
        tokens_in: int,
        tokens_out: int,
        seconds: float,
        status: int,
        request_id: str,
        revision: int = 0,
    ) -> None:
        return

    def visible(self, routes: Routes, authorization: bytes | None, now_s: float) -> Sequence[Route]:
        return routes.routes
