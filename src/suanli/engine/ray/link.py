"""The controller's end of the pipe to a driver process, and its replacement by a new one whenever it ends."""

import contextlib
import subprocess
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path
from typing import IO

import msgspec

from suanli.domain.errors import Unavailable
from suanli.engine.ray.cluster import require_reachable
from suanli.engine.ray.requests import Answer, Connection, Request

ANSWER_TIMEOUT_S = 8.0
RETRY_EVERY_S = 1.0
TIMEOUTS_MAX = 2
CONNECTED = 0


class Link:
    """Thread-safe. A thread of its own keeps a driver connected for as long as the link is open."""

    def __init__(self, connection: Connection, env: Mapping[str, str], log: Path | None) -> None:
        self._connection = connection
        self._env = dict(env)
        self._log = log
        self._lock = threading.Lock()
        self._driver: subprocess.Popen[bytes] | None = None
        self._waiting: dict[int, Future[bytes]] = {}
        self._next_id = CONNECTED + 1
        self._timeouts = 0
        self._connected = threading.Event()
        self._closed = threading.Event()
        self._tried: Future[None] = Future()
        self._problem, self._cause = "is still being connected to", ""
        threading.Thread(target=self._keep, name="ray-link", daemon=True).start()

    def wait_connected(self, timeout_s: float) -> None:
        """Raises Unavailable where the first try fails, or takes longer."""
        with contextlib.suppress(FutureTimeoutError):
            self._tried.result(timeout_s)
        if not self._connected.is_set():
            raise self._unavailable()

    def ask(self, verb: str, body: bytes = b"null") -> bytes:
        """The driver's answer. Raises Unavailable at once where there is no driver, else within some seconds."""
        future: Future[bytes] = Future()
        with self._lock:
            if not self._connected.is_set() or self._driver is None or self._driver.stdin is None:
                raise self._unavailable()
            id_, self._next_id = self._next_id, self._next_id + 1
            self._waiting[id_] = future
            line = msgspec.json.encode(Request(id=id_, verb=verb, body=msgspec.Raw(body)))
            with contextlib.suppress(BrokenPipeError):  # then the keeping thread fails what waits
                self._driver.stdin.write(line + b"\n")
                self._driver.stdin.flush()
        try:
            answer = future.result(ANSWER_TIMEOUT_S)
        except FutureTimeoutError:
            self._suspect()
            raise self._unavailable(f"no answer within {ANSWER_TIMEOUT_S:g} s") from None
        self._timeouts = 0
        return answer

    def close(self) -> None:
        self._closed.set()
        with self._lock:
            if self._driver is not None:
                self._driver.kill()

    def _keep(self) -> None:
        """Asking the network first, since a driver costs a second of CPU."""
        while not self._closed.is_set():
            try:
                require_reachable(self._connection.address)
                with self._open() as driver:
                    self._listen(driver)
            except (Unavailable, OSError) as error:
                self._problem, self._cause = "does not answer", str(error)
            self._try_over()
            self._closed.wait(RETRY_EVERY_S)

    def _open(self) -> subprocess.Popen[bytes]:
        argv = [
            sys.executable,
            "-P",
            "-m",
            "suanli.engine.ray.driver",
            msgspec.json.encode(self._connection).decode(),
        ]
        with contextlib.ExitStack() as stack:
            errors: IO[bytes] | int = subprocess.DEVNULL
            if self._log is not None:
                errors = stack.enter_context(self._log.open("wb"))
            driver = subprocess.Popen(
                argv,
                env=self._env,
                cwd="/",  # Ray lets its workers import what lies there: nobody's files
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,  # a Ctrl-C is meant for the controller, which still needs it to end work
            )
        with self._lock:
            self._driver = driver
        if self._closed.is_set():
            driver.kill()
        return driver

    def _listen(self, driver: subprocess.Popen[bytes]) -> None:
        """Until the driver ends; whoever waits for it then is told so."""
        assert driver.stdout is not None
        for line in driver.stdout:
            answer = msgspec.json.decode(line, type=Answer)
            if answer.id != CONNECTED:
                self._settle(answer)
            elif answer.error:
                refused = answer.error.startswith("AuthenticationError")
                self._problem = "refuses the token" if refused else "does not answer"
                self._cause = answer.error
            else:
                self._problem, self._cause = "has been lost", ""
                self._connected.set()
                self._try_over()
        with self._lock:
            self._connected.clear()
            waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            future.set_exception(self._unavailable())

    def _settle(self, answer: Answer) -> None:
        with self._lock:
            future = self._waiting.pop(answer.id, None)
        if future is None:
            return
        if answer.error:
            future.set_exception(self._unavailable(answer.error))
        else:
            future.set_result(bytes(answer.body))

    def _suspect(self) -> None:
        """A driver that doesn't answer, again and again, is replaced."""
        with self._lock:
            self._timeouts += 1
            if self._timeouts >= TIMEOUTS_MAX and self._driver is not None:
                self._timeouts = 0
                self._driver.kill()

    def _try_over(self) -> None:
        if not self._tried.done():
            self._tried.set_result(None)

    def _unavailable(self, cause: str = "") -> Unavailable:
        """`cause` is what came back for one question; without it, what is known of the connection."""
        problem = "does not answer" if cause else self._problem
        refused = "refuses" in problem
        return Unavailable(
            f"The Ray cluster at {self._connection.address} {problem}.",
            remedy=(
                "Give the file of its token; RAY_AUTH_TOKEN_PATH names one."
                if refused
                else "What runs there goes on; Suanli tries again by itself."
            ),
            evidence={"address": self._connection.address, "cause": cause or self._cause},
            code="SL-RAY-TOKEN" if refused else "SL-RAY-UNREACHABLE",
        )
