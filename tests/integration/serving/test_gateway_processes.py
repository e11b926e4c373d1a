"""The gateway as it runs: a supervisor, its workers, and replicas that are processes; and any of them killed."""

import asyncio
import ipaddress
import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import msgspec
import psutil
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

sys.path.insert(0, str(Path(__file__).parent))

from street import Client, post, route, routes, run, target

from suanli.serving.gateway.routes import Revision, Route
from suanli.serving.gateway.routes_file import write_routes
from suanli.serving.gateway.stats import WorkerStats

HERE = Path(__file__).parent
ASK = post(b'{"model":"chat"}')


def wait_until(condition: Callable[[], object], for_s: float = 60.0) -> None:
    until_s = time.monotonic() + for_s
    while not condition():
        assert time.monotonic() < until_s, "it did not come true in time"
        time.sleep(0.005)


class Running:
    """A gateway of processes, told of by its folder."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes], workers: int) -> None:
        self.folder = folder
        self.process = process
        self.workers = workers

    @property
    def port(self) -> int:
        return json.loads((self.folder / "gateway.json").read_text())["port"]

    def stats(self, slot: int = 0) -> WorkerStats:
        return msgspec.json.decode((self.folder / f"worker-{slot}.json").read_bytes(), type=WorkerStats)

    def is_up(self) -> bool:
        return all((self.folder / f"worker-{slot}.json").exists() for slot in range(self.workers))

    def follow(self, *told: Route) -> int:
        value = routes(*told)
        write_routes(self.folder, value)
        return value.version

    def wait_for_routes(self, version: int) -> None:
        wait_until(lambda: all(self.stats(s).routes_version >= version for s in range(self.workers)))


@contextmanager
def running(folder: Path, *told: Route, workers: int = 1) -> Iterator[Running]:
    write_routes(folder, routes(*told))
    process = subprocess.Popen(
        [sys.executable, "-m", "suanli.serving.gateway", "--dir", str(folder), "--workers", str(workers)]
    )
    try:
        gateway = Running(folder, process, workers)
        wait_until(gateway.is_up)
        yield gateway
    finally:
        process.terminate()
        process.wait()


@contextmanager
def replica_process(
    name: str, wait_ms: float = 5.0, port: int = 0
) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    process = subprocess.Popen(
        [sys.executable, str(HERE / "slow_replica.py"), name, str(wait_ms), str(port)], stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline()), process
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


class Load:
    """Clients that ask one request after the other, each over its connection, and connect anew where that broke."""

    def __init__(self, port: int, clients: int) -> None:
        self.port = port
        self.seen: Counter[str] = Counter()
        self.going = True
        self.tasks = [asyncio.ensure_future(self._client()) for _ in range(clients)]

    async def _client(self) -> None:
        client: Client | None = None
        while self.going:
            try:
                client = client or Client(*await asyncio.open_connection("127.0.0.1", self.port))
            except ConnectionRefusedError:
                self.seen["refused"] += 1
                continue
            client.send(ASK)
            answer = await client.answer()
            if not answer.complete:
                self.seen["broken"] += 1
                client.close()
                client = None
            else:
                self.seen[answer.body.decode() if answer.status == 200 else str(answer.status)] += 1
        if client is not None:
            client.close()

    async def more(self, count: int) -> None:
        """Until so many more were answered."""
        enough = self.seen.total() + count
        async with asyncio.timeout(60):
            while self.seen.total() < enough:  # noqa: ASYNC110 - it is the clients that go on
                await asyncio.sleep(0.005)

    async def end(self) -> Counter[str]:
        self.going = False
        await asyncio.gather(*self.tasks)
        return self.seen


def test_a_killed_worker_takes_only_what_it_was_answering(tmp_path: Path) -> None:
    clients = 16

    async def test() -> None:
        load = Load(gateway.port, clients)
        await load.more(300)
        killed = gateway.stats(0).pid
        killed_s = time.monotonic()
        os.kill(killed, signal.SIGKILL)
        await load.more(300)
        async with asyncio.timeout(60):
            while gateway.stats(0).pid == killed:  # noqa: ASYNC110 - another process writes it
                await asyncio.sleep(0.005)
        started_s = time.monotonic() - killed_s
        await load.more(300)
        seen = await load.end()
        assert seen["refused"] == 0
        assert seen["broken"] <= clients
        assert seen.keys() <= {"a", "broken"}
        assert started_s < 20

    with replica_process("a") as (port, _), running(tmp_path, route(port), workers=2) as gateway:
        run(test())


def test_a_killed_replica_takes_only_what_it_was_answering(tmp_path: Path) -> None:
    clients = 16

    async def test() -> None:
        load = Load(gateway.port, clients)
        await load.more(300)
        killed.kill()
        await load.more(600)
        seen = await load.end()
        assert seen["broken"] == 0
        assert 0 < seen["502"] <= clients
        assert seen.keys() <= {"a", "b", "502", "broken"}

    with (
        replica_process("a", wait_ms=8000) as (a, killed),  # so that it surely has something in hand
        replica_process("b") as (b, _),
        running(tmp_path, route(a, b)) as gateway,
    ):
        run(test())


def test_no_request_fails_where_it_may_be_sent_again_and_a_replica_is_killed(tmp_path: Path) -> None:
    async def test() -> None:
        load = Load(gateway.port, 16)
        await load.more(200)
        killed.kill()
        await load.more(400)
        assert (await load.end()).keys() <= {"a", "b"}

    with (
        replica_process("a") as (a, killed),
        replica_process("b") as (b, _),
        running(tmp_path, route(a, b, idempotent=True)) as gateway,
    ):
        run(test())


def test_replicas_are_exchanged_under_load_without_a_failed_request(tmp_path: Path) -> None:
    """As a rolling update does it: the new one in, the old one out, and ended once nothing is in flight there."""

    def idle(key: str) -> bool:
        return all(key not in gateway.stats(slot).in_flight for slot in range(2))

    async def test() -> None:
        load = Load(gateway.port, 16)
        await load.more(200)
        both = Revision(number=1, share=0.5, targets=(target(a, "chat/0"),))
        new = Revision(number=2, share=0.5, targets=(target(b, "chat/1"),))
        gateway.follow(route(revisions=(both, new)))
        await load.more(200)
        version = gateway.follow(
            route(revisions=(Revision(number=2, share=1.0, targets=(target(b, "chat/1"),)),))
        )
        await asyncio.to_thread(gateway.wait_for_routes, version)
        await asyncio.to_thread(wait_until, lambda: idle("chat/0:1"))
        old.terminate()
        await load.more(200)
        seen = await load.end()
        assert seen.keys() == {"a", "b"}

    with (
        replica_process("a") as (a, old),
        replica_process("b") as (b, _),
        running(tmp_path, route(a), workers=2) as gateway,
    ):
        run(test())


def test_new_routes_are_followed_soon_and_a_broken_file_is_not(tmp_path: Path) -> None:
    with running(tmp_path, route(1), workers=2) as gateway:
        began_s = time.monotonic()
        version = gateway.follow(route(1), route(1, service="embed", models=("mini",)))
        gateway.wait_for_routes(version)
        assert time.monotonic() - began_s < 10.0
        (tmp_path / "routes.json").write_bytes(b"{")
        models = httpx.get(f"http://127.0.0.1:{gateway.port}/v1/models").json()
        assert {model["id"] for model in models["data"]} == {"chat", "gpt-small", "mini"}


def test_it_ends_in_order_when_told_to(tmp_path: Path) -> None:
    async def test() -> None:
        client = Client(*await asyncio.open_connection("127.0.0.1", gateway.port))
        idle = Client(*await asyncio.open_connection("127.0.0.1", gateway.port))
        client.send(ASK)
        await asyncio.to_thread(wait_until, lambda: gateway.stats().in_flight)
        gateway.process.terminate()
        assert await idle.reader.read() == b""
        answer = await client.answer()
        assert (answer.status, answer.body, answer.complete) == (200, b"a", True)
        assert await asyncio.to_thread(gateway.process.wait, 60) == 0
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port_was)

    with replica_process("a", wait_ms=1500) as (port, _), running(tmp_path, route(port)) as gateway:
        port_was = gateway.port
        run(test())
    assert not (tmp_path / "gateway.json").exists()


def test_workers_end_with_their_supervisor(tmp_path: Path) -> None:
    with running(tmp_path, route(1), workers=2) as gateway:
        workers = [gateway.stats(slot).pid for slot in range(2)]
        assert all(psutil.Process(pid).ppid() == gateway.process.pid for pid in workers)
        gateway.process.kill()
        wait_until(lambda: not any(psutil.pid_exists(pid) for pid in workers))


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    with running(tmp_path / "a", route(1)) as gateway:
        command = [sys.executable, "-m", "suanli.serving.gateway", "--dir", str(tmp_path / "b")]
        second = subprocess.run(
            [*command, "--port", str(gateway.port)], capture_output=True, text=True, check=False
        )
        assert second.returncode == 1
        assert f"cannot listen on 127.0.0.1:{gateway.port}" in second.stderr
        same = subprocess.run(
            [*command[:-1], str(tmp_path / "a")], capture_output=True, text=True, check=False
        )
        assert same.returncode == 5
        assert "another gateway" in same.stderr


def test_metrics_tell_of_all_workers(tmp_path: Path) -> None:
    with replica_process("a", wait_ms=0) as (port, _), running(tmp_path, route(port), workers=2) as gateway:
        url = f"http://127.0.0.1:{gateway.port}"
        for _ in range(10):
            assert httpx.post(f"{url}/v1/completions", json={"model": "chat"}).text == "a"

        def requests() -> float:
            lines = httpx.get(f"{url}/metrics").text.splitlines()
            return sum(
                float(line.split()[-1]) for line in lines if line.startswith("suanli_gateway_requests_total{")
            )

        wait_until(lambda: requests() == 10)
        text = httpx.get(f"{url}/metrics").text
        assert 'le="+Inf"' in text
        assert httpx.get(f"{url}/metrics", headers={"x-forwarded-for": "1.2.3.4"}).status_code == 404


def test_it_speaks_tls(tmp_path: Path) -> None:
    cert, key = self_signed(tmp_path)
    write_routes(tmp_path, routes(route(1)))
    tls = ["--tls-cert", str(cert), "--tls-key", str(key)]
    process = subprocess.Popen([sys.executable, "-m", "suanli.serving.gateway", "--dir", str(tmp_path), *tls])
    try:
        gateway = Running(tmp_path, process, 1)
        wait_until(gateway.is_up)
        context = ssl.create_default_context(cafile=str(cert))
        with httpx.Client(verify=context) as client:
            for _ in range(2):
                assert client.get(f"https://127.0.0.1:{gateway.port}/readyz").status_code == 200
        with pytest.raises(httpx.TransportError):
            httpx.get(f"http://127.0.0.1:{gateway.port}/readyz")
    finally:
        process.terminate()
        assert process.wait(60) == 0


def self_signed(folder: Path) -> tuple[Path, Path]:
    secret = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gateway")])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(secret.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(names, critical=False)
        .sign(secret, hashes.SHA256())
    )
    cert, key = folder / "cert.pem", folder / "key.pem"
    cert.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        secret.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return cert, key
