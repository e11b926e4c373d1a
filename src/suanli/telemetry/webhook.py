"""One POST to an address that an operator wrote down, with the care that such an address needs.

A webhook makes the controller send a request where somebody else says. So: http and https only; the address is checked
when it is connected to, not when it is resolved, since a name may resolve to something else a moment later; redirects
are not followed; proxies of the environment are not used.
"""

import http.client
import ipaddress
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

import msgspec

from suanli.domain.errors import UsageError

TIMEOUT_S = 3.0
"""Of one attempt as a whole, all but the name's resolution."""

_HTTP = {False: http.client.HTTPConnection, True: http.client.HTTPSConnection}
_WORTH_RETRYING = frozenset({408, 425, 429, *range(500, 600)})


class Webhook(msgspec.Struct, frozen=True):
    """`allow_private`: it may be this machine or one of a private network. Raises UsageError for a bad address."""

    url: str
    allow_private: bool = False

    def __post_init__(self) -> None:
        problem = _problem(self.url)
        if problem:
            raise UsageError(
                f"The webhook's address {problem}.",
                code="SL-WEBHOOK",
                remedy="Give an address such as https://hooks.example.com/suanli.",
            )

    @property
    def shown(self) -> str:
        """What may be logged: the rest of such addresses is often a secret."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.hostname}/…"

    def __repr__(self) -> str:
        return f"Webhook({self.shown!r}, allow_private={self.allow_private})"


class Undelivered(Exception):
    """The receiver, or our own rule, said no."""

    def __init__(self, reason: str, *, retry: bool = False) -> None:
        super().__init__(reason)
        self.retry = retry


def post(webhook: Webhook, body: bytes) -> None:
    """Send JSON once. Raises Undelivered, OSError, http.client.HTTPException."""
    parts = urlsplit(webhook.url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    with _connected(webhook) as connection:
        connection.request("POST", target, body, {"Content-Type": "application/json", "User-Agent": "suanli"})
        status = connection.getresponse().status
    if 300 <= status < 400:
        raise Undelivered(f"it answered with a redirect ({status}), which is not followed")
    if not 200 <= status < 300:
        raise Undelivered(f"it answered {status}", retry=status in _WORTH_RETRYING)


@contextmanager
def _connected(webhook: Webhook) -> Iterator[http.client.HTTPConnection]:
    """A connection that is cut off at the time limit, however slowly the other side drips."""
    parts = urlsplit(webhook.url)
    host, secure = parts.hostname or "", parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    candidates = _addresses(host, port, webhook.allow_private)
    deadline_s = time.monotonic() + TIMEOUT_S
    raw = _first_connected(candidates, deadline_s)
    handle = raw.dup()  # TLS takes the socket over; its duplicate still ends the connection
    cutter = threading.Timer(max(0.0, deadline_s - time.monotonic()), _cut, [handle])
    cutter.start()
    connection = _HTTP[secure](host, port)
    connection.auto_open, connection.sock = 0, raw  # it never resolves and connects by itself
    try:
        if secure:
            connection.sock = ssl.create_default_context().wrap_socket(raw, server_hostname=host)
        yield connection
    finally:
        cutter.cancel()
        connection.close()
        handle.close()


def _addresses(host: str, port: int, allow_private: bool) -> list[tuple[socket.AddressFamily, tuple]]:
    found = [(info[0], info[4]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    allowed = [(family, address) for family, address in found if allow_private or _is_public(str(address[0]))]
    if not allowed:
        raise Undelivered(f"{found[0][1][0]} is not a public address; set allow_private to send there")
    return allowed


def _is_public(address: str) -> bool:
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        parsed = parsed.ipv4_mapped or parsed.sixtofour or parsed
    return parsed.is_global and not parsed.is_multicast and not parsed.is_reserved


def _first_connected(
    candidates: list[tuple[socket.AddressFamily, tuple]], deadline_s: float
) -> socket.socket:
    """To one of the checked addresses themselves: the name is not resolved again."""
    failure = OSError("no address")
    for family, address in candidates:
        raw = socket.socket(family, socket.SOCK_STREAM)
        try:
            raw.settimeout(max(0.01, deadline_s - time.monotonic()))
            raw.connect(address)
        except OSError as error:
            raw.close()
            failure = error
        else:
            return raw
    raise failure


def _cut(handle: socket.socket) -> None:
    with suppress(OSError):  # the other side was faster
        handle.shutdown(socket.SHUT_RDWR)


def _problem(url: str) -> str:
    """What is wrong with an address, empty if nothing is."""
    if not re.fullmatch(r"[!-~]{1,2048}", url):
        return "must be plain ASCII without spaces"
    try:
        parts = urlsplit(url)
        _ = parts.port, (parts.hostname or "").encode("idna")
    except ValueError as error:
        return f"can't be read ({error})"
    if parts.scheme not in ("http", "https"):
        return "must begin with http:// or https://"
    if not parts.hostname:
        return "must name a host"
    if parts.username is not None or parts.password is not None:
        return "must not carry a user or password"
    return ""
