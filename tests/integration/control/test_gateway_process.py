"""The gateway's process as the controller keeps it: which port it takes, and when it is started again."""

import itertools
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from suanli.control import gateway
from suanli.control.gateway import AGAIN_S, Door, GatewayProcess

Make = Callable[[Door], GatewayProcess]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[GatewayProcess] = []

    def of(door: Door) -> GatewayProcess:
        made.append(GatewayProcess(tmp_path / "gateway", door, tmp_path / "gateway.log"))
        return made[-1]

    yield of
    for each in made:
        each.end()


def until(
    process: GatewayProcess, now_s: Callable[[], float] = time.monotonic, within_s: float = 60.0
) -> int:
    """Its port, once it runs."""
    ends_s = time.monotonic() + within_s
    while (running := process.running()) is None:
        assert time.monotonic() < ends_s
        process.ensure(now_s())
        time.sleep(0.05)
    return running.port


def test_where_the_usual_port_is_taken_any_other_will_do_and_stays_its_own(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setattr(gateway, "DEFAULT_PORT", taken.getsockname()[1])
        process = make(Door())
        port = until(process)
        assert port != taken.getsockname()[1]
        running = process.running()
        assert running is not None
        os.kill(running.pid, signal.SIGKILL)
        os.waitid(os.P_PID, running.pid, os.WEXITED | os.WNOWAIT)
        assert until(process, itertools.count(time.monotonic() + AGAIN_S, AGAIN_S).__next__) == port


def test_a_port_that_was_asked_for_is_waited_for_and_not_tried_without_rest(
    make: Make, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = make(Door(port=taken.getsockname()[1]))
        log = tmp_path / "gateway.log"
        process.ensure(100.0)
        ends_s = time.monotonic() + 60.0
        while not (log.exists() and "cannot listen" in log.read_text()) and time.monotonic() < ends_s:
            time.sleep(0.05)
        process.ensure(100.0 + AGAIN_S / 2)
        assert log.read_text().count("cannot listen") == 1
    assert until(process, lambda: 100.0 + AGAIN_S) == process.running().port  # type: ignore[union-attr]
