"""One POST with care, against real servers on this machine."""

import datetime as dt
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from suanli.domain.errors import UsageError
from suanli.telemetry import webhook as w
from suanli.telemetry.webhook import Undelivered, Webhook, post


class Receiver(BaseHTTPRequestHandler):
    """Answers with the status in the path; remembers what it got."""

    requests: list[tuple[str, bytes, str | None]] = []  # noqa: RUF012

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        Receiver.requests.append((self.path, body, self.headers["Content-Type"]))
        status = int(self.path.strip("/").split("?")[0] or 200)
        self.send_response(status)
        if 300 <= status < 400:
            self.send_header("Location", "/200")
        self.end_headers()

    def log_request(self, code: object = None, size: object = None) -> None:
        pass


@contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[str]:
    Receiver.requests = []
    server = HTTPServer(("127.0.0.1", 0), Receiver)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=60)


@contextmanager
def answering(handle: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that does as it likes with its one connection."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            try:
                connection, _ = listening.accept()
                with connection:
                    handle(connection)
            except OSError:
                return  # the client hung up

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
    thread.join(timeout=60)


def test_json_is_posted_to_the_path_and_query_as_written():
    with serving() as address:
        post(Webhook(f"http://{address}/200?key=a%20b", allow_private=True), b'{"a": 1}')
    assert Receiver.requests == [("/200?key=a%20b", b'{"a": 1}', "application/json")]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_refused_rather_than_followed(status: int):
    with serving() as address, pytest.raises(Undelivered, match="redirect") as refused:
        post(Webhook(f"http://{address}/{status}", allow_private=True), b"{}")
    assert not refused.value.retry
    assert [path for path, _, _ in Receiver.requests] == [f"/{status}"]


@pytest.mark.parametrize(
    ("status", "retry"), [(400, False), (401, False), (404, False), (429, True), (503, True)]
)
def test_an_answer_that_may_change_is_worth_retrying(status: int, retry: bool):
    with serving() as address, pytest.raises(Undelivered, match=str(status)) as refused:
        post(Webhook(f"http://{address}/{status}", allow_private=True), b"{}")
    assert refused.value.retry is retry


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "0.0.0.0",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[fd00::1]",
        "[fe80::1]",
        "[fe80::1%25lo]",
        "[ff02::1]",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "224.0.0.1",
        "255.255.255.255",
        "2130706433",
        "0x7f.1",
        "127.1",
    ],
)
def test_an_address_that_is_not_public_is_refused_however_it_is_written(host: str):
    with pytest.raises((Undelivered, OSError)) as refused:
        post(Webhook(f"http://{host}:9/"), b"{}")
    if isinstance(refused.value, Undelivered):
        assert "not a public address" in str(refused.value)
        assert not refused.value.retry
    else:
        assert isinstance(refused.value, socket.gaierror)  # the resolver knows no such spelling


def test_the_address_connected_to_is_the_one_that_was_checked(monkeypatch: pytest.MonkeyPatch):
    """A name that resolves to a public address first and to this machine a moment later."""
    answers = [
        [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("203.0.114.1", 80))],
        [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80))],
    ]
    connected = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_kw: answers.pop(0))
    monkeypatch.setattr(socket.socket, "connect", lambda _self, address: connected.append(address))
    monkeypatch.setattr(w, "TIMEOUT_S", 0.1)
    with pytest.raises((OSError, HTTPException)):
        post(Webhook("http://rebinding.example/"), b"{}")
    assert connected == [("203.0.114.1", 80)]
    assert len(answers) == 1


def test_of_several_addresses_only_public_ones_are_tried(monkeypatch: pytest.MonkeyPatch):
    found = [
        (socket.AF_INET, 1, 6, "", (address, 80)) for address in ("10.0.0.1", "203.0.114.1", "127.0.0.1")
    ]
    tried = []

    def refuse(_self: socket.socket, address: tuple) -> None:
        tried.append(address[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_kw: found)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    with pytest.raises(ConnectionRefusedError):
        post(Webhook("http://mixed.example/"), b"{}")
    assert tried == ["203.0.114.1"]


def drip(connection: socket.socket) -> None:
    connection.recv(65_536)
    while True:
        connection.sendall(b"x")
        time.sleep(0.02)


def say_nothing(connection: socket.socket) -> None:
    while connection.recv(65_536):
        pass


@pytest.mark.parametrize("handle", [drip, say_nothing])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_receiver_that_dawdles_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, handle: Callable[[socket.socket], None], scheme: str
):
    monkeypatch.setattr(w, "TIMEOUT_S", 0.3)
    before_s = time.monotonic()
    with answering(handle) as address, pytest.raises((OSError, HTTPException)):
        post(Webhook(f"{scheme}://{address}/", allow_private=True), b"{}")
    assert time.monotonic() - before_s < 60.0


def test_what_is_not_http_is_an_error():
    with (
        answering(lambda connection: connection.sendall(b"SSH-2.0-OpenSSH\r\n")) as address,
        pytest.raises((OSError, HTTPException)),
    ):
        post(Webhook(f"http://{address}/", allow_private=True), b"{}")


def certificate(folder: Path) -> Path:
    """A key and a certificate for 127.0.0.1, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    return path


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path):
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate(tmp_path))
    with serving(tls) as address, pytest.raises(ssl.SSLCertVerificationError):
        post(Webhook(f"https://{address}/200", allow_private=True), b"{}")
    assert Receiver.requests == []


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hooks.example.com/x",
        "ftp://hooks.example.com/",
        "file:///etc/passwd",
        "gopher://hooks.example.com/",
        "http://",
        "http:///path",
        "http://user:secret@hooks.example.com/",
        "http://hooks.example.com:notaport/",
        "http://hooks.example.com/a b",
        "http://hooks.example.com/a\r\nX-Injected: 1",
        "http://hööks.example.com/",
        "http://[::1/",
        f"http://{'a' * 64}.example.com/",
        "http://a..b/",
    ],
)
def test_an_address_that_cannot_be_one_is_refused_when_it_is_written_down(url: str):
    with pytest.raises(UsageError) as refused:
        Webhook(url)
    assert refused.value.remedy
    assert "secret" not in refused.value.sentence


def test_the_secret_part_of_an_address_is_never_shown():
    hook = Webhook("https://hooks.example.com:8443/services/T00/SECRET?token=SECRET")
    assert hook.shown == "https://hooks.example.com/…"
    assert "SECRET" not in repr(hook)
    assert "SECRET" not in str(hook)
