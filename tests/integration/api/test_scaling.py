"""A service scales itself, from what a gateway's worker writes to replicas, and says why."""

from pathlib import Path

import msgspec
import pytest

from suanli.cli.services import revision_table
from suanli.control.front import Front
from suanli.control.reach import Reaching
from suanli.domain.traffic import BUCKETS, Counted, bucket_of
from suanli.serving.gateway.stats import ServiceStats, WorkerStats

STEP = """
kind: serve
name: step
run: serve
replicas: 1..6
resources: {cpus: 1}
slo: {p95: 200ms}
gateway: {concurrency: 1}
scaling: {downscale_delay: 60s, forecast: daily}
"""
SERVED_S = 0.05


class Asked:
    """Requests that a gateway's only worker got; each is answered after `SERVED_S`."""

    def __init__(self, house, folder: Path) -> None:
        self.house, self.folder = house, folder
        self.arrived = 0
        house.controller.front = Front(folder, lambda: (), Reaching(frozenset({"127.0.0.1"}), b""))

    def at(self, per_s: int, seconds: int, waiting: int = 0) -> None:
        for _ in range(seconds):
            self.arrived += per_s
            self._write(waiting)
            self.house.cycle(1)

    def _write(self, waiting: int) -> None:
        times = [0] * BUCKETS
        times[bucket_of(SERVED_S)] = self.arrived
        counted = Counted(
            requests=self.arrived, latency=times, served=times, served_seconds=self.arrived * SERVED_S
        )
        services = {"step": ServiceStats(arrived=self.arrived, waiting=waiting, by_revision={"1": counted})}
        now_s = self.house.clock.now_s()
        stats = WorkerStats(pid=1, started_s=0.0, at_s=now_s, routes_version=1, services=services)
        (self.folder / "worker-0.json").write_bytes(msgspec.json.encode(stats))


@pytest.fixture
def asked(house, tmp_path: Path) -> Asked:
    house.apply(STEP)
    return Asked(house, tmp_path)


def view(house):
    return house.api.get("/v1/services/step").json()


def test_a_step_is_followed_within_seconds_and_its_end_after_the_delay(house, asked: Asked) -> None:
    asked.at(15, 30)
    assert view(house)["replicas"] <= 2
    asked.at(60, 6)
    assert view(house)["replicas"] >= 4
    asked.at(60, 60)
    seen = view(house)
    assert (seen["ready"], seen["wanted"]) == (4, 4)
    assert seen["wanted_why"] == "60 requests/s at 50 ms each need 4 replicas for a p95 of 200 ms"
    asked.at(15, 50)
    assert view(house)["replicas"] == 4
    assert view(house)["wanted"] < 4
    asked.at(15, 90)
    assert view(house)["replicas"] == 1, "evenly as these come, nobody waits for the only one"
    assert view(house)["why"].startswith("no more were needed for 60 s: 15 requests/s")


def test_while_no_gateway_reports_replicas_stay_and_nothing_is_wanted(house, asked: Asked) -> None:
    asked.at(60, 60)
    before = view(house)["replicas"]
    house.cycle(300)
    assert (view(house)["replicas"], view(house)["wanted"], view(house)["known"]) == (before, None, False)


def test_a_service_says_what_is_wanted_and_foretold_and_why(house, asked: Asked) -> None:
    asked.at(60, 70)
    lines = revision_table(view(house)).title.splitlines()
    assert lines[0] == "step: 4 of 4 replicas answer, 1..6 may run"
    assert lines[1].startswith("last change: ")
    assert lines[2] == "wanted now: 4, as 60 requests/s at 50 ms each need 4 replicas for a p95 of 200 ms"
    assert lines[3] == "forecast: too little of the last 2 days has been recorded"
