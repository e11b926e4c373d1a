"""Fixtures that tests of several kinds share. Imports stay inside, so that unit tests start at once."""

import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from fastapi import FastAPI
    from fastapi.testclient import TestClient

    from suanli.control.wiring import Running
    from suanli.ports.clock import VirtualClock
    from suanli.ports.fake_engine import FakeEngine

URL = "http://127.0.0.1:8100"

LONGEST = (
    "test_lifecycle.py",
    "test_crash_points.py",
    "test_quickstart_gpt.py",
    "test_gang_on_many_nodes.py",
    "test_kill_nine.py",
    "test_two_hosts.py",
    "test_runtime_generation.py",
)
"""Files that take half a minute or more, the longest first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long begins first, else processes wait for one at the end."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


class House:
    """A controller with its API, where time passes only when told to, on an engine without machines."""

    def __init__(self, running: "Running", clock: "VirtualClock", engine: "FakeEngine") -> None:
        from fastapi import testclient

        from suanli.api.app import create_app
        from suanli.api.server import local_token
        from suanli.control import loop

        self.running = running
        self.controller = running.controller
        self.store = running.controller.ports.store
        self.clock = clock
        self.engine = engine
        self.knocks_s = 0.0  # what rate limits count by: a request a minute, unless a test sets another pace
        self.pace_s = 60.0
        self.secret = local_token(running.home, self.store, 0.0) or ""
        self.app: FastAPI = create_app(running, monotonic=self._monotonic)
        self.api: TestClient = testclient.TestClient(
            self.app,
            base_url=URL,
            headers={"Authorization": f"Bearer {self.secret}"},
            raise_server_exceptions=False,
        )
        self.stranger: TestClient = testclient.TestClient(
            self.app, base_url=URL, raise_server_exceptions=False
        )
        self._cycle: Callable[[], None] = lambda: loop.cycle(running)

    def cycle(self, seconds: float = 0.0) -> None:
        """Let that much time pass, a cycle each second, and one at its end."""
        while seconds > 0:
            self._cycle()
            self.clock.advance(min(1.0, seconds))
            seconds -= 1.0
        self._cycle()

    def apply(self, text: str, **more: Any) -> Any:
        response = self.api.post("/v1/apply", json=asking(text, **more))
        assert response.status_code == 200, response.text
        return response.json()

    def workload(self, name: str) -> Any:
        return self.api.get(f"/v1/workloads/{name}").json()["workloads"][0]

    def _monotonic(self) -> float:
        self.knocks_s += self.pace_s
        return self.knocks_s


def asking(text: str, **more: Any) -> dict[str, Any]:
    """The body of a plan or an apply."""
    return {"sources": [{"name": "spec.yaml", "text": text}], **more}


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With its schema: to be copied, which is faster than migrating each anew."""
    from suanli.store import SqlStore

    path = tmp_path_factory.mktemp("database") / "suanli.db"
    SqlStore(f"sqlite:///{path}").close()
    return path


@pytest.fixture
def house(tmp_path: Path, empty_database: Path) -> Iterator[House]:
    from structlog.testing import capture_logs

    from suanli.control.controller import Controller, Ports
    from suanli.control.home import claim
    from suanli.control.machines import FAKE
    from suanli.control.models import registry_of
    from suanli.control.watch import Watch
    from suanli.control.wiring import Running, Settings
    from suanli.domain.fleet import Node
    from suanli.ports.clock import VirtualClock
    from suanli.ports.fake_engine import FakeEngine, FakeNodes
    from suanli.ports.notifier import CollectingNotifier
    from suanli.ports.scripted_telemetry import ScriptedTelemetry
    from suanli.store import SqlStore
    from suanli.telemetry.alerts import evaluate_all

    clock = VirtualClock(1_000_000.0)
    nodes = [Node(name=f"n{i}", cpus=4, memory_bytes=16 * 2**30, price_per_hour=1.0) for i in range(2)]
    engine = FakeEngine(clock, nodes)
    telemetry = ScriptedTelemetry()
    settings = Settings(home=tmp_path / "home", engine=FAKE)
    with claim(settings.home) as home, capture_logs():
        shutil.copy(empty_database, home.database)
        store = SqlStore(f"sqlite:///{home.database}")
        watch = Watch((), telemetry, CollectingNotifier(), evaluate_all)
        ports = Ports(store, engine, clock, telemetry, FakeNodes(engine, clock))
        controller = Controller(ports, holder="test", home=home.path, watch=watch)
        models = registry_of(home.path, settings.models, store.models, clock.now_s)
        house = House(Running(settings, home, controller, "test", models), clock, engine)
        house.cycle()
        yield house
        store.close()


def pytest_configure() -> None:
    """Started in the background, this may have SIGINT ignored, and every program under test would inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
