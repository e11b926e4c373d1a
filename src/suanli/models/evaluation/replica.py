"""Something that answers: a runtime started on a folder for the while, or a service behind a gateway."""

import http.client
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from suanli.domain.errors import Conflict, NotAuthorised, Unavailable, UsageError

START_S = 600.0
ANSWER_S = 600.0
END_S = 10.0
TRIES_MAX = 30
RETRY_S_MAX = 10.0
TAIL_BYTES = 4000

DYING_WITH_PARENT = """
import ctypes, runpy, signal
PR_SET_PDEATHSIG = 1
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
runpy.run_module("suanli.serving.runtime", run_name="__main__", alter_sys=True)
"""


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where a model answers: paths begin with `prefix`, `key` is empty where none is asked for."""

    host: str
    port: int
    model: str
    prefix: str = ""
    key: str = ""


class Connection:
    """A kept connection to an endpoint. Not for several threads."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._http = http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=ANSWER_S)

    def ask(self, path: str, body: Mapping[str, Any]) -> Any:
        """The decoded answer, patiently where there is no room yet.

        Raises UsageError for what the model refuses, NotAuthorised, Unavailable.
        """
        sent = json.dumps({**body, "model": self._endpoint.model}).encode()
        for tries_left in reversed(range(TRIES_MAX)):
            status, retry_s, answer = self._exchange("POST", path, sent)
            if status == 200:
                return answer
            if status not in (429, 503) or not tries_left:
                raise _refused(path, status, answer)
            time.sleep(min(RETRY_S_MAX, retry_s))
        raise AssertionError("unreachable")

    def is_ready(self) -> bool:
        try:
            return self._exchange("GET", "/readyz", None)[0] == 200
        except Unavailable:
            return False

    def close(self) -> None:
        self._http.close()

    def _exchange(self, verb: str, path: str, sent: bytes | None) -> tuple[int, float, Any]:
        headers = {"Content-Type": "application/json"} if sent else {}
        if self._endpoint.key:
            headers["Authorization"] = f"Bearer {self._endpoint.key}"
        try:
            self._http.request(verb, self._endpoint.prefix + path, sent, headers)
            response = self._http.getresponse()
            return (
                response.status,
                _retry_s(response.headers.get("Retry-After", "")),
                _decoded(response.read()),
            )
        except (OSError, http.client.HTTPException) as error:
            self._http.close()
            where = f"{self._endpoint.host}:{self._endpoint.port}"
            raise Unavailable(f"The model at {where} does not answer: {error}.") from error


def service_at(url: str, service: str, key: str) -> Endpoint:
    """A service behind the gateway at `url`. Raises Unavailable where no gateway runs."""
    parts = urlsplit(url)
    if not parts.hostname:
        raise Unavailable("No gateway runs.", remedy="See `suanli services`.")
    prefix = f"/services/{service}"
    return Endpoint(host=parts.hostname, port=parts.port or 80, model=service, prefix=prefix, key=key)


@contextmanager
def runtime_on(folder: Path, runtime: str, *, task: str = "", code: str = "") -> Iterator[Endpoint]:
    """A runtime that serves the folder, from when it is ready until the end of the block.

    Code of the user is looked for among the model's files first, else in the working directory. It dies with this
    process. Raises Conflict with the end of its log where it ends by itself, Unavailable where it takes too long.
    """
    words = [sys.executable, "-c", DYING_WITH_PARENT, "--runtime", runtime, "--name", "evaluated"]
    words += ["--model-dir", str(folder), "--port", "0"]
    words += ["--task", task] if task else []
    words += ["--code", code] if code else []
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=_workdir(folder, code),
            start_new_session=True,
        )  # fmt: skip
        try:
            yield _ready(process, log)
        finally:
            end(process, END_S)


def _ready(process: subprocess.Popen[bytes], log: Any) -> Endpoint:
    deadline_s, endpoint = time.monotonic() + START_S, None
    while time.monotonic() < deadline_s:
        if process.poll() is not None:
            raise Conflict(
                f"The model cannot be served here: its runtime ended with {process.returncode}.",
                evidence={"log": _tail(log)[-600:].strip()},
                remedy="Look at the log's last line; `--service` asks one that runs elsewhere.",
                code="SL-EVALUATE-START",
            )
        endpoint = endpoint or _listening(_tail(log))
        if endpoint is not None:
            probe = Connection(endpoint)
            ready = probe.is_ready()
            probe.close()
            if ready:
                return endpoint
        time.sleep(0.05)
    raise Unavailable(f"The model was not ready within {START_S:g} s.", evidence={"log": _tail(log)[-600:]})


def _listening(said: str) -> Endpoint | None:
    _, found, rest = said.partition("listening on http://127.0.0.1:")
    digits = rest.partition("\n")[0].strip() if found and "\n" in rest else ""
    return Endpoint(host="127.0.0.1", port=int(digits), model="evaluated") if digits.isdecimal() else None


def _tail(log: Any) -> str:
    size = log.seek(0, 2)
    log.seek(max(0, size - TAIL_BYTES))
    return log.read().decode("utf-8", "replace")


def end(process: subprocess.Popen[bytes], grace_s: float) -> None:
    """SIGTERM, the grace, SIGKILL; nothing where it has ended."""
    process.terminate()
    try:
        process.wait(grace_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _workdir(folder: Path, code: str) -> Path:
    module = code.partition(":")[0].replace(".", "/")
    return folder if code and (folder / f"{module}.py").is_file() else Path.cwd()


def _retry_s(text: str) -> float:
    return float(text) if text.isdecimal() else 1.0


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body[:200].decode("utf-8", "replace")


def _refused(path: str, status: int, answer: Any) -> UsageError | NotAuthorised | Unavailable:
    error = answer.get("error") if isinstance(answer, dict) else None
    said = str(error.get("message") if isinstance(error, dict) else error or answer)[:500]
    if status in (401, 403):
        return NotAuthorised(
            f"The gateway refuses: {said}", remedy="Give a key with `--key`, made by `suanli keys create`."
        )
    if 400 <= status < 500 and status != 429:
        return UsageError(
            f"The model refuses what it is asked at {path}: {said}",
            remedy="Choose a task that the model is made for with `--task`.",
            code="SL-EVALUATE-REFUSED",
        )
    return Unavailable(f"The model answered {status} at {path}: {said}")
