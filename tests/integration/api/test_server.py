"""The server as a process: how it starts, what it refuses, how it ends, and what it leaves to the next one."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import httpx
import psutil
import pytest

from suanli.api.door import listening, own_names, refuse_open_door
from suanli.control.home import Home, claim, running_server
from suanli.control.wiring import Settings
from suanli.domain.errors import Conflict, Unavailable, UsageError
from suanli.store import SqlStore

UP = Path(__file__).with_name("up.py")
LONG = "kind: train\nname: gpt\nrun: sleep 600\nduration: 600s\ncheckpoint: {every: 1s}\ngrace: 5s\n"


def until(holds: Callable[[], Any], within_s: float = 60.0) -> Any:
    """What `holds` returns once it is true."""
    ends_s = time.monotonic() + within_s
    while time.monotonic() < ends_s:
        if found := holds():
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {within_s} s: {holds}")


def environment_of(process: psutil.Process) -> str:
    try:
        return str(process.environ())
    except psutil.Error:
        return ""


class Server:
    """A running process."""

    def __init__(self, home: Path, *arguments: str) -> None:
        self.home = home
        self.stderr = TemporaryFile("w+")  # noqa: SIM115 - as long as the process
        argv = [sys.executable, str(UP), str(home), *(arguments or ("0",))]
        self.process = subprocess.Popen(
            argv, stderr=self.stderr, stdout=subprocess.PIPE, start_new_session=True
        )

    def wait_until_ready(self) -> "Server":
        noted = until(lambda: self._noted() or self.process.poll() is not None, 60)
        assert self.process.poll() is None, self.said()
        token = (self.home / "token").read_text().strip()
        self.api = httpx.Client(base_url=noted["url"], headers={"Authorization": f"Bearer {token}"})
        until(lambda: self.api.get("/readyz").status_code == 200, 60)
        return self

    def workload(self, name: str) -> Any:
        return self.api.get(f"/v1/workloads/{name}").json()["workloads"][0]

    def apply(self, text: str) -> None:
        body = {"sources": [{"name": "spec.yaml", "text": text}]}
        assert self.api.post("/v1/apply", json=body).status_code == 200

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(90)

    def interrupt(self) -> int:
        """As Ctrl-C in a terminal does: the whole group is told."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(90)

    def said(self) -> str:
        self.stderr.seek(0)
        return self.stderr.read()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.stderr.close()

    def _noted(self) -> Any:
        try:
            noted = json.loads((self.home / "server.json").read_text())
        except FileNotFoundError:
            return None
        return noted if noted["pid"] == self.process.pid else None


Start = Callable[..., Server]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts one server after the other in one home."""
    servers: list[Server] = []

    def starting(*arguments: str) -> Server:
        servers.append(Server(tmp_path / "home", *arguments))
        return servers[-1]

    yield starting
    for server in servers:
        server.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that has just been started for the first time."""
    server = Server(tmp_path_factory.mktemp("server") / "home").wait_until_ready()
    yield server
    server.close()


def test_a_first_start_makes_a_private_home_and_shows_its_token_once(server: Server):
    secret = (server.home / "token").read_text().strip()
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [server.home, *server.home.iterdir()]}
    assert {name: oct(mode) for name, mode in modes.items() if mode & 0o077} == {}
    assert server.said().count(secret) == 1
    assert len(server.said().splitlines()) <= 6
    assert secret not in (server.home / "controller.log").read_text()
    assert secret.encode() not in (server.home / "suanli.db").read_bytes()


def test_a_second_server_in_one_home_is_refused_and_the_first_goes_on(server: Server):
    with pytest.raises(Conflict) as refused, claim(server.home):
        pass
    assert refused.value.code == "SL-RUNNING"
    assert str(server.api.base_url).rstrip("/") in refused.value.sentence
    assert refused.value.evidence == {"pid": server.process.pid}
    found = running_server(Home(server.home))
    assert found is not None
    assert found.pid == server.process.pid
    assert server.api.get("/v1/status").status_code == 200


def test_a_port_in_use_is_told_with_its_user(server: Server, tmp_path: Path):
    port = server.api.base_url.port or 0
    with pytest.raises(Unavailable) as refused, listening(Settings(home=tmp_path, port=port)):
        pass
    assert refused.value.code == "SL-PORT-IN-USE"
    assert refused.value.evidence["pid"] == server.process.pid


def test_sigterm_ends_work_with_its_grace_and_kill_9_does_not_the_next_start_goes_on(start: Start):
    first = start().wait_until_ready()
    first.apply(LONG)
    until(lambda: (first.workload("gpt")["progress"] or {"step": 0})["step"] >= 1)
    assert first.end(signal.SIGTERM) == 0
    assert not (first.home / "server.json").exists()

    second = start("0", "leased").wait_until_ready()
    view = until(lambda: (v := second.workload("gpt"))["status"] in ("starting", "running") and v)
    assert (view["attempt"], view["attempts_made"], view["preemptions"]) == (2, 2, 0)
    history = second.api.get("/v1/workloads/gpt").json()["history"]
    assert [line["sentence"] for line in history if line["event"] == "ended"] == ["attempt 1 ended: drained"]
    assert "Token" not in second.said()
    second.end(signal.SIGKILL)

    assert running_server(Home(first.home)) is None  # though server.json still lies there
    third = start().wait_until_ready()  # the dead one's lease, of an hour, was not waited for
    assert third.api.get("/v1/status").json()["epoch"] == 3
    assert third.workload("gpt")["attempts_made"] == 2


def test_a_mistake_that_nobody_foresaw_ends_the_server_and_says_so(start: Start):
    server = start("0", "broken")
    assert server.process.wait(90) == 1
    assert "ZeroDivisionError: a mistake that nobody foresaw" in server.said()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", ""])
def test_an_address_that_others_reach_is_refused_without_tls(host: str):
    with pytest.raises(UsageError) as refused:
        refuse_open_door(Settings(host=host, port=0))
    assert (refused.value.code, refused.value.exit_code) == ("SL-BIND", 2)


def test_a_server_answers_to_its_own_address_and_the_names_it_is_given():
    settings = Settings(host="10.0.0.5", hosts=("gpu.lab", "fd00::7"))
    assert own_names(settings) == {"10.0.0.5", "gpu.lab", "[fd00::7]"}
    assert own_names(Settings(host="0.0.0.0")) == set()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.8.8.8"])
def test_loopback_needs_no_tls(host: str):
    refuse_open_door(Settings(host=host, port=0))


def test_tls_needs_a_certificate_and_its_key_that_are_there(tmp_path: Path):
    with pytest.raises(UsageError, match="needs both"):
        refuse_open_door(Settings(host="0.0.0.0", tls_cert=tmp_path / "cert.pem"))
    with pytest.raises(UsageError, match="There is no file"):
        refuse_open_door(Settings(tls_cert=tmp_path / "cert.pem", tls_key=tmp_path / "key.pem"))


def test_an_address_of_another_machine_cannot_be_listened_at(tmp_path: Path):
    with pytest.raises(UsageError, match="cannot listen"), listening(Settings(host="203.0.113.1", port=0)):
        pass


def test_on_ray_from_a_first_start_to_an_end_that_leaves_nothing_behind(start: Start):
    server = start("0", "embedded").wait_until_ready()
    assert [node["name"] for node in server.api.get("/v1/nodes").json()["nodes"]] == ["local"]
    server.apply(
        "kind: job\nname: hello\nrun: [sh, -c, echo 你好]\nworkdir: /tmp\n---\n" + LONG + "workdir: /tmp\n"
    )
    until(lambda: server.workload("hello")["status"] == "succeeded", 60)
    until(lambda: server.workload("gpt")["status"] == "running", 60)
    assert server.api.get("/v1/logs/hello").json()["text"] == "你好\n"
    ours = [p for p in psutil.process_iter() if str(server.home / "ray") in environment_of(p)]
    assert len(ours) > 5
    assert server.interrupt() == 0
    assert "SL-" not in server.said()  # no trouble on the way
    until(lambda: not any(process.is_running() for process in ours))
    store = SqlStore(f"sqlite:///{server.home / 'suanli.db'}")
    assert store.world().records["gpt"].status.value == "waiting"
    store.close()
