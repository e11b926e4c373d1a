"""The server process: the API in the main thread, the loop in another, signals for both."""

import logging
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from threading import Thread
from types import FrameType
from typing import TextIO

import msgspec
import psutil
import structlog
import uvicorn

from suanli.api.app import create_app
from suanli.api.door import listening, refuse_open_door, url_of
from suanli.control import loop
from suanli.control.home import Home, Server, claim, write_private
from suanli.control.keys import key_records, keys_of, make_key, revoke_key
from suanli.control.wiring import Running, Settings, build
from suanli.credentials.keys import digest_of
from suanli.credentials.secret_file import read_secret, write_secret
from suanli.credentials.tokens import new_token, verify
from suanli.ports.store import Store
from suanli.telemetry.logs import configure_logs

LOCAL = "local"
"""Name of the token in the home folder, which this machine's command line uses."""

SIGNALS = (signal.SIGINT, signal.SIGTERM)
CONNECTIONS_MAX = 512
LAST_REQUESTS_S = 5
STUCK_S = 10.0

log = structlog.get_logger("suanli.api")


def serve(settings: Settings, *, logs_to: TextIO | None = None) -> None:
    """Run a controller and its API until SIGINT or SIGTERM; a second one ends it at once. For the main thread.

    Says on stderr where it is; `logs_to` (default: stderr) gets log lines for people.
    Raises what kept it from starting (UsageError, Conflict, Unavailable), and whatever ended the loop.
    """
    refuse_open_door(settings)
    with _signals(), claim(settings.home) as home, listening(settings) as listener:
        configure_logs(home.log, terminal=logs_to)
        logging.getLogger("alembic").setLevel(logging.WARNING)  # it greets with a dozen lines
        with build(settings, home) as running:
            server = _Server(running)
            for number in SIGNALS:
                signal.signal(number, server.handle_exit)
            url = url_of(settings, listener)
            _welcome(running, url)
            looping = _start_loop(running, server)
            Thread(target=running.journal.catch_up, daemon=True).start()  # a long log takes seconds to read
            with _noted(home, url, listener.getsockname()):
                server.run([listener])
            server.finish(looping)


@contextmanager
def beside(settings: Settings, running: Running) -> Iterator[tuple[str, str]]:
    """A controller and its API in threads of their own, for as long as the caller goes on: its address and a token.

    For who keeps the main thread, and with it the signals. On leaving, the loop ends first, then the API. Raises
    Unavailable, and whatever ended the loop.
    """
    home = running.home
    with listening(settings) as listener:
        secret = local_token(home, running.controller.ports.store, running.started_s) or read_secret(
            home.token
        )
        server, url = _Server(running), url_of(settings, listener)
        looping = _start_loop(running, server)
        serving = Thread(target=server.run, args=([listener],), name="suanli-api", daemon=True)
        serving.start()
        try:
            with _noted(home, url, listener.getsockname()):
                yield url, secret
        finally:
            running.stop.set()
            running.controller.ports.clock.wake()
            server.finish(looping)
            serving.join(LAST_REQUESTS_S)


class _Server(uvicorn.Server):
    """uvicorn, but a signal first ends the loop, while the API goes on answering; the loop then ends the API."""

    def __init__(self, running: Running) -> None:
        self._running = running
        settings = running.settings
        super().__init__(
            uvicorn.Config(
                create_app(running),
                loop="asyncio",
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                proxy_headers=False,  # nobody's word about who asks but the connection's own
                limit_concurrency=CONNECTIONS_MAX,
                timeout_graceful_shutdown=LAST_REQUESTS_S,
                ssl_certfile=settings.tls_cert,
                ssl_keyfile=settings.tls_key,
            )
        )

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """uvicorn's hook for SIGINT and SIGTERM; ours too, before and after it listens to them."""
        running = self._running
        if running.stop.is_set():
            running.at_once.set()
            self.should_exit = self.force_exit = True
        running.stop.set()
        running.controller.ports.clock.wake()

    def finish(self, looping: Future[None]) -> None:
        """Wait for the loop, and raise what ended it. One that hangs is left behind where all shall end at once."""
        try:
            looping.result(STUCK_S if self._running.at_once.is_set() else None)
        except TimeoutError:
            log.warning("the loop does not come to an end; it is left behind")


@contextmanager
def _signals() -> Iterator[None]:
    """While things are being started both signals break that off; at the end all is as it was."""
    former = {number: signal.signal(number, signal.default_int_handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _start_loop(running: Running, server: _Server) -> Future[None]:
    looping: Future[None] = Future()

    def run() -> None:
        try:
            loop.run(running)
            looping.set_result(None)
        except BaseException as error:
            looping.set_exception(error)
            raise
        finally:
            server.should_exit = True

    Thread(target=run, name="suanli-loop", daemon=True).start()
    return looping


@contextmanager
def _noted(home: Home, url: str, address: tuple[str, int]) -> Iterator[None]:
    """`server.json`, for as long as the server answers."""
    process = psutil.Process()
    server = Server(
        pid=process.pid, host=address[0], port=address[1], started_s=process.create_time(), url=url
    )
    write_private(home.server, msgspec.json.encode(server))
    try:
        yield
    finally:
        home.server.unlink(missing_ok=True)


def _welcome(running: Running, url: str) -> None:
    home = running.home
    store = running.controller.ports.store
    secret = local_token(home, store, running.started_s)
    local_key(home, store, running.started_s)
    lines = [f"Suanli runs at {url}; its state is in {home.path}."]
    if secret:
        lines.append(f"Token, shown this once and kept in {home.token}: {secret}")
    print(*lines, sep="\n", file=sys.stderr, flush=True)  # noqa: T201


def local_key(home: Home, store: Store, now_s: float) -> None:
    """A key for this machine's owner, kept in the home folder, where there is none that is good."""
    known = {key.digest for key in keys_of(store)}
    if home.key.exists() and digest_of(read_secret(home.key).encode()) in known:
        return
    if any(record.key.name == LOCAL and record.revoked_s is None for record in key_records(store)):
        revoke_key(store, LOCAL, actor=LOCAL, now_s=now_s)
    secret, _ = make_key(store, LOCAL, {}, actor=LOCAL, now_s=now_s)
    write_secret(home.key, secret)


def local_token(home: Home, store: Store, now_s: float) -> str | None:
    """The secret of a new token, None where the one in the home folder is still good."""
    if home.token.exists() and verify(read_secret(home.token), store.tokens()):
        return None
    secret, token = new_token(LOCAL, now_s)
    store.add_token(token)
    write_secret(home.token, secret)
    return secret
