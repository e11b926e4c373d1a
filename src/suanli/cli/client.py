"""The API as the command line speaks it: standard library only, so that `suanli ps` starts at once."""

import json
import os
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from suanli.cli.errors import Refused, TimedOut
from suanli.domain.errors import NotAuthorised, Unavailable, UsageError

DEFAULT_HOME = "~/.suanli"
REQUEST_S = 30.0


class Client:
    """A controller at an address. Not for several threads.

    Every verb returns the decoded body. Raises Refused with what the controller said, Unavailable where there is
    none, TimedOut.
    """

    def __init__(
        self, url: str, token: str, *, home: Path | None = None, timeout_s: float = REQUEST_S
    ) -> None:
        scheme, self._host, self._port, self._prefix = _parts(url)
        self.url = url.rstrip("/")
        self._home = home
        self._is_secure = scheme == "https"
        self._headers = {"Authorization": f"Bearer {token.strip()}", "Accept": "application/json"}
        self._timeout_s = timeout_s

    def get(self, path: str, **query: Any) -> Any:
        said = {name: _query(value) for name, value in query.items() if value not in (None, "")}
        return self._call("GET", f"{path}?{urllib.parse.urlencode(said)}" if said else path)

    def post(self, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        return self._call("POST", path, body, headers or {})

    def put(self, path: str, body: Any) -> Any:
        return self._call("PUT", path, body)

    def patch(self, path: str, body: Any) -> Any:
        return self._call("PATCH", path, body)

    def delete(self, path: str) -> Any:
        return self._call("DELETE", path)

    def send(self, path: str, piece: bytes, *, offset: int) -> Any:
        """Bytes of a file, from that offset on."""
        headers = {"Content-Type": "application/octet-stream"}
        return _decoded(self._ask("PUT", f"{path}?offset={offset}", piece, headers))

    def read(self, path: str, first: int, last: int) -> bytes:
        """These bytes of a file, the last one included."""
        return self._ask("GET", path, None, {"Range": f"bytes={first}-{last}"})

    def is_ready(self) -> bool:
        """Whether a controller answers, holds the lease, and reaches its engine."""
        try:
            self._call("GET", "/readyz")
        except (Unavailable, Refused, TimedOut):
            return False
        return True

    def _call(self, verb: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        sent = None if body is None else json.dumps(body).encode()
        said = dict(headers or {})
        if sent is not None:
            said["Content-Type"] = "application/json"
        return _decoded(self._ask(verb, path, sent, said))

    def _ask(self, verb: str, path: str, sent: bytes | None, headers: Mapping[str, str]) -> bytes:
        try:
            status, answer = self._exchange(verb, self._prefix + path, sent, {**self._headers, **headers})
        except TimeoutError:
            raise TimedOut(
                f"The controller at {self.url} did not answer in {self._timeout_s:g} s.",
                remedy="Look at `suanli doctor`, or allow more with `--timeout`.",
            ) from None
        except OSError as error:
            raise _nobody_there(self.url, self._home, str(error)) from None
        if status >= 400:
            raise Refused(_problem(status, _decoded(answer)))
        return answer

    def _exchange(
        self, verb: str, path: str, sent: bytes | None, headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        """A connection of its own: none that the other side may have closed meanwhile, and nothing to send twice.

        Raises OSError.
        """
        from http.client import (  # 30 ms that `--help` need not pay
            HTTPConnection,
            HTTPException,
            HTTPSConnection,
        )

        kind = HTTPSConnection if self._is_secure else HTTPConnection
        connection = kind(self._host, self._port, timeout=self._timeout_s)
        try:
            connection.request(verb, path, sent, dict(headers))
            response = connection.getresponse()
            return response.status, response.read()
        except HTTPException as error:
            raise ConnectionError(f"what answers there speaks no HTTP ({error})") from error
        finally:
            connection.close()


def connect(home: Path, timeout_s: float | None = None) -> Client:
    """The controller of SUANLI_URL, or the one that `suanli up` noted in the home folder. Raises Unavailable."""
    timeout_s = timeout_s or REQUEST_S
    url, token = os.environ.get("SUANLI_URL", ""), os.environ.get("SUANLI_TOKEN", "")
    if url:  # then the token of this home is none of that controller's business
        if not token:
            raise NotAuthorised(
                "SUANLI_URL is set and SUANLI_TOKEN is not.", remedy="Set SUANLI_TOKEN as well."
            )
        return Client(url, token, timeout_s=timeout_s)
    server = read_server(home)
    if server is None:
        raise _nobody_there("", home, "")
    return Client(server["url"], token or _token(home), home=home, timeout_s=timeout_s)


def read_server(home: Path) -> dict[str, Any] | None:
    """What the controller of this home noted about itself (pid, url, started_s), None where there is none."""
    try:
        server = json.loads((home / "server.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return server if isinstance(server, dict) and "url" in server and "pid" in server else None


def path_of(*parts: str) -> str:
    """A path below /v1; the slash of a replica's name stays one."""
    return "/v1/" + "/".join(urllib.parse.quote(part, safe="/") for part in parts)


def _parts(url: str) -> tuple[str, str, int | None, str]:
    """Scheme, host, port and path. Raises UsageError."""
    parts = urllib.parse.urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = -1
    if parts.scheme not in ("http", "https") or not parts.hostname or port == -1:
        raise UsageError(f"{url!r} is no address of a controller.", remedy="Such as http://127.0.0.1:8100.")
    return parts.scheme, parts.hostname, port, parts.path.rstrip("/")


def _token(home: Path) -> str:
    try:
        return (home / "token").read_text(encoding="utf-8").strip()
    except OSError as error:
        raise NotAuthorised(
            f"There is no token to read in {home}: {error.strerror or error}.",
            remedy="Set SUANLI_TOKEN, or run as the user who started the controller.",
        ) from None


def _query(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body) if body else {}
    except ValueError:
        return {"detail": body[:200].decode("utf-8", "replace")}


def _problem(status: int, answer: Any) -> dict[str, Any]:
    problem = answer if isinstance(answer, dict) else {"detail": str(answer)}
    defaults = {"status": status, "exit_code": 6 if status in (401, 403) else 1, "code": f"SL-HTTP-{status}"}
    return {**defaults, **problem}


def _nobody_there(url: str, home: Path | None, why: str) -> Unavailable:
    if url:
        sentence = f"No controller answers at {url}{f': {why}' if why else ''}."
    else:
        sentence = f"No controller runs here: {home} holds no server.json."
    where = f" --home {home}" if home and home != Path(DEFAULT_HOME).expanduser() else ""
    return Unavailable(sentence, remedy=f"Start one with `suanli up{where}`.", code="SL-NO-CONTROLLER")
