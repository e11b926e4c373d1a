"""The replica's HTTP side, plain ASGI: where requests go, who goes away, and when it is time to end."""

import asyncio
import enum
import hmac
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from suanli.serving.runtime.answers import Stream, Whole, failed_event
from suanli.serving.runtime.endpoints import Endpoints
from suanli.serving.runtime.metrics import Metrics
from suanli.serving.runtime.refusals import Refusal

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Answer = Callable[[bytes], Awaitable[Whole | Stream]]

BODY_BYTES_MAX = 16 * 2**20
WORK = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/predict", "/score")
OPEN = ("/healthz", "/readyz")
log = logging.getLogger("suanli.runtime")


class Phase(enum.StrEnum):
    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"


class App:
    """It answers from the start: health at once, work once `serve` was called, until `drain` is.

    With a `token` only who shows it is answered, except about health.
    """

    def __init__(self, metrics: Metrics, token: str = "") -> None:
        self._shown = f"Bearer {token}".encode() if token else b""
        self.phase = Phase.LOADING
        self._endpoints: Endpoints | None = None
        self._metrics = metrics
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()
        metrics.follow(lambda: self._in_flight, lambda: self._endpoints.waiting if self._endpoints else 0)

    def serve(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints
        if self.phase is Phase.LOADING:
            self.phase = Phase.READY

    async def drain(self) -> None:
        """Take no new work; return when none is in flight."""
        self.phase = Phase.DRAINING
        await self._idle.wait()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(f"only HTTP is spoken here, not {scope['type']}")
        path, method = scope["path"], scope["method"]
        try:
            self._check_token(scope)
            if path in WORK:
                await self._work(scope, receive, send)
            else:
                await _send_whole(send, 200, self._glance(path, method))
        except Refusal as refusal:
            await self._refuse(refusal, path, send)

    def _check_token(self, scope: Scope) -> None:
        if not self._shown or scope["path"] in OPEN:
            return
        shown = dict(scope["headers"]).get(b"authorization", b"")
        if not hmac.compare_digest(shown, self._shown):
            raise Refusal(401, "this replica answers its gateway only; ask that one", code="not_the_gateway")

    def _glance(self, path: str, method: str) -> Whole:
        """What is known at once."""
        _check_method(path, method, "GET", "HEAD")
        match path:
            case "/healthz":
                return Whole(b'{"status":"alive"}')
            case "/readyz":
                if self.phase is not Phase.READY:
                    raise Refusal(503, f"the replica is {self.phase}", code=self.phase, retry_after_s=1)
                return Whole(b'{"status":"ready"}')
            case "/metrics":
                return Whole(self._metrics.text(), b"text/plain; version=0.0.4; charset=utf-8")
            case "/v1/models":
                return self._serving().models()
        raise Refusal(404, f"there is no {path[:100]!r}; see {', '.join(WORK)}", code="not_found")

    def _serving(self) -> Endpoints:
        if self._endpoints is None or self.phase is not Phase.READY:
            raise Refusal(503, f"the replica is {self.phase}", code=self.phase, retry_after_s=1)
        return self._endpoints

    async def _work(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        _check_method(path, scope["method"], "POST")
        answer = self._serving().at(path)
        _check_length(dict(scope["headers"]).get(b"content-length", b"0"))
        self._in_flight += 1
        self._idle.clear()
        try:
            body = await _body(receive)
            if body is not None:
                await self._unless_gone(self._answer(path, answer, body, send), receive)
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._idle.set()

    async def _unless_gone(self, answering: Any, receive: Receive) -> None:
        """Work for a client that has gone away is given up."""
        work, gone = asyncio.ensure_future(answering), asyncio.ensure_future(_gone(receive))
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                self._metrics.cancelled.inc()
                work.cancel()
            await asyncio.wait({work})
        finally:
            work.cancel()
            gone.cancel()
        if not work.cancelled():
            work.result()

    async def _answer(self, path: str, answer: Answer, body: bytes, send: Send) -> None:
        started_s = time.perf_counter()
        try:
            result = await answer(body)
        except Refusal:
            raise
        except Exception as error:
            log.exception("%s failed", path)
            raise _failed(error) from error
        if isinstance(result, Whole):
            await _send_whole(send, 200, result)
        else:
            await _send_stream(send, result)
        self._metrics.requests.labels(path, "200").inc()
        self._metrics.latency.labels(path).observe(time.perf_counter() - started_s)

    async def _refuse(self, refusal: Refusal, path: str, send: Send) -> None:
        if path in WORK:
            self._metrics.requests.labels(path, str(refusal.status)).inc()
        headers = refusal.headers()
        if self.phase is Phase.DRAINING:
            headers.append((b"connection", b"close"))
        await _send_whole(send, refusal.status, Whole(refusal.body()), headers)


def _check_method(path: str, method: str, *allowed: str) -> None:
    if method not in allowed:
        raise Refusal(405, f"{path[:100]} takes {allowed[0]}, not {method[:10]}", code="method_not_allowed")


def _failed(error: Exception) -> Refusal:
    """What went wrong inside stays in the replica's log; its kind is enough to ask about."""
    kind = type(error).__name__
    return Refusal(
        500, f"the model failed on this request ({kind}); see the replica's log", code="model_failed"
    )


def _check_length(said: bytes) -> None:
    if len(said) > 20 or (said.isdigit() and int(said) > BODY_BYTES_MAX):
        raise _too_long()


def _too_long() -> Refusal:
    return Refusal(413, f"the body has more than {BODY_BYTES_MAX} bytes; send less", code="body_too_long")


async def _body(receive: Receive) -> bytes | None:
    """The whole body, None where the client left. Raises Refusal (413) as soon as it is too long."""
    parts, size = list[bytes](), 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > BODY_BYTES_MAX:
            raise _too_long()
        if not message.get("more_body", False):
            return b"".join(parts)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send_whole(
    send: Send, status: int, whole: Whole, more: list[tuple[bytes, bytes]] | None = None
) -> None:
    headers = [(b"content-type", whole.content_type), (b"content-length", str(len(whole.body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers + (more or [])})
    await send({"type": "http.response.body", "body": whole.body})


async def _send_stream(send: Send, stream: Stream) -> None:
    """An error in the midst becomes the last event, without the mark of a good end."""
    headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    try:
        async for event in stream.events:
            await send({"type": "http.response.body", "body": event, "more_body": True})
    except Refusal as refusal:
        await send({"type": "http.response.body", "body": failed_event(refusal), "more_body": True})
    except Exception as error:
        log.exception("a stream failed")
        await send({"type": "http.response.body", "body": failed_event(_failed(error)), "more_body": True})
    finally:
        await stream.events.aclose()
        await stream.close()
    await send({"type": "http.response.body", "body": b""})
