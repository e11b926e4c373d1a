"""The address that the server listens at: loopback unless TLS is set up, and nobody else's."""

import errno
import ipaddress
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil

from suanli.control.wiring import Settings
from suanli.domain.errors import Unavailable, UsageError


def refuse_open_door(settings: Settings) -> None:
    """Raises UsageError where the token would travel a network in the clear."""
    if bool(settings.tls_cert) != bool(settings.tls_key):
        raise UsageError(
            "TLS needs both a certificate and its key.",
            remedy="Give `--tls-cert` and `--tls-key`.",
            code="SL-TLS",
        )
    for file in filter(None, (settings.tls_cert, settings.tls_key)):
        if not file.is_file():
            raise UsageError(f"There is no file {file}.", remedy="Give one in PEM format.", code="SL-TLS")
    addresses = [ipaddress.ip_address(address[0].partition("%")[0]) for _, address in _addresses(settings)]
    if not settings.tls_cert and not all(address.is_loopback for address in addresses):
        raise UsageError(
            f"{settings.host} can be reached from other machines, and without TLS anyone on the way reads the token.",
            remedy="Listen on 127.0.0.1 (the default), or give `--tls-cert` and `--tls-key`.",
            evidence={"host": settings.host},
            code="SL-BIND",
        )


@contextmanager
def listening(settings: Settings) -> Iterator[socket.socket]:
    """A socket that listens already, so that a port that is taken is known before anything is started.

    Raises Unavailable.
    """
    family, address = _addresses(settings)[0]
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen()
        except OSError as error:
            raise _not_bound(settings, error) from error
        yield listener
    finally:
        listener.close()


def url_of(settings: Settings, listener: socket.socket) -> str:
    """Where clients on this machine find it."""
    host, port = listener.getsockname()[:2]
    if ipaddress.ip_address(host).is_unspecified:
        host = "localhost"
    scheme = "https" if settings.tls_cert else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def own_names(settings: Settings) -> frozenset[str]:
    """What clients may call this server besides localhost, as the `Host` header spells it."""
    named = {settings.host, *settings.hosts} - {"", "0.0.0.0", "::"}  # noqa: S104 - "all addresses" is no name
    return frozenset(f"[{name}]" if ":" in name else name for name in named)


def _addresses(settings: Settings) -> list[tuple[socket.AddressFamily, Any]]:
    try:
        found = socket.getaddrinfo(
            settings.host or None, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (socket.gaierror, UnicodeError, OverflowError) as error:
        raise UsageError(
            f"{settings.host!r} and port {settings.port} are no address of this machine.",
            remedy="Such as `--host 127.0.0.1 --port 8100`.",
            code="SL-ADDRESS",
        ) from error
    return [(info[0], info[4]) for info in found]


def _not_bound(settings: Settings, error: OSError) -> Unavailable | UsageError:
    where = f"{settings.host}:{settings.port}"
    match error.errno:
        case errno.EADDRINUSE:
            return Unavailable(
                f"Port {settings.port} of {settings.host} is in use.",
                remedy="End that process, or choose another port with `--port` (0 takes any free one).",
                evidence=_user_of(settings.port),
                code="SL-PORT-IN-USE",
            )
        case errno.EACCES | errno.EPERM:
            return Unavailable(
                f"This user may not listen at {where}.", remedy="Choose a port above 1023.", code="SL-PORT"
            )
        case _:
            return UsageError(
                f"One cannot listen at {where}: {error.strerror}.",
                remedy="Give an address of this machine with `--host`.",
                code="SL-ADDRESS",
            )


def _user_of(port: int) -> dict[str, Any]:
    """Whose port it is, as far as this user may know."""
    try:
        listeners = [c for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN and c.pid]
        pid = next((c.pid for c in listeners if c.laddr[1:] == (port,)), None)
        return {"pid": pid, "command": psutil.Process(pid).name()} if pid else {}
    except psutil.Error:
        return {}
