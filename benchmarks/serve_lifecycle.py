"""A service under steady load through all that may happen to it: which requests fail, and why.

python benchmarks/serve_lifecycle.py [--rate 400] [--pace 1.0]: a real controller on an embedded Ray, replicas that wait
2 ms, two gateway processes. Prints each step with what failed while it lasted, and returns all as one value.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from suanli.cli.client import connect

HERE = Path(__file__).parent
SUANLI = [sys.executable, "-m", "suanli.cli"]
REPLICA = [sys.executable, str(HERE / "serve_replica.py")]

FLEET = """
kind: fleet
name: lab
nodes:
  - {name: local, cpus: 0.4, memory: 8GiB}
scaling:
  template: {name: more, cpus: 2, memory: 8GiB}
  max: 1
  add_after: 1s
"""
"""There is room for four replicas on the first node; then the fleet grows by a second one."""


def service(name: str, *, replicas: str = "2..6", update: str = "{}", flags: str = "") -> str:
    argv = json.dumps([*REPLICA, "--wait", "0.002", "--at-once", "64", "--name", name, *flags.split()])
    return (
        f"kind: serve\nname: chat\nrun: {argv}\nreplicas: {replicas}\nresources: {{cpus: 0.1, memory: 128MiB}}\n"
        f"gateway: {{idempotent: true}}\nupdate: {update}\nretry: {{delay: 0s}}\nslo: {{p95: 1s}}\n"
        "scaling: {metric: off}\n"  # how many there are is what this asks for
    )


class Lab:
    """A running controller, its service, and the load on it."""

    def __init__(self, folder: Path, rate: float) -> None:
        self.folder, self.rate = folder, rate
        self.home = folder / "home"
        self.steps: list[tuple[float, str]] = []
        self.taken_back: dict[str, str] = {}
        self.environment = {**os.environ, "SUANLI_HOME": str(self.home)}

    def suanli(self, *words: str, check: bool = True) -> str:
        done = subprocess.run(
            [*SUANLI, *words], env=self.environment, capture_output=True, text=True, check=False, timeout=180
        )
        if check and done.returncode:
            raise RuntimeError(f"suanli {' '.join(words)}: {done.stdout}{done.stderr}")
        return done.stdout

    def up(self) -> None:
        fleet = self.folder / "fleet.yaml"
        fleet.write_text(FLEET)
        flags = ["--port", "0", "--gateway-port", "0", "--gateway-workers", "2", "--fleet", str(fleet)]
        self.suanli("up", "-d", *flags)

    def apply(self, text: str) -> None:
        file = self.folder / "service.yaml"
        file.write_text(text)
        self.suanli("apply", "-f", str(file), "--yes")

    def view(self) -> dict[str, Any]:
        return connect(self.home).get("/v1/services/chat")

    def until(self, holds: Callable[[dict[str, Any]], bool], within_s: float = 120.0) -> float:
        """Seconds until it held."""
        began_s = time.monotonic()
        while not holds(view := self.view()):
            if time.monotonic() - began_s > within_s:
                raise RuntimeError(f"it did not come true within {within_s} s: {view}")
            time.sleep(0.1)
        return time.monotonic() - began_s

    def gateway(self) -> dict[str, Any]:
        return json.loads((self.home / "gateway" / "gateway.json").read_text())

    def serving(self) -> list[int]:
        """Process ids of the replicas that requests go to."""
        told = json.loads((self.home / "gateway" / "routes.json").read_text())
        ports = {t["port"] for route in told["routes"] for r in route["revisions"] for t in r["targets"]}
        listening = (c for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN and c.pid)
        return [c.pid for c in listening if c.pid and c.laddr and c.laddr.port in ports]

    def step(self, name: str) -> None:
        self.steps.append((time.time(), name))
        print(f"{time.strftime('%H:%M:%S')}  {name}", flush=True)


def steady(view: dict[str, Any]) -> bool:
    return view["phase"] == "steady" and view["ready"] == view["replicas"]


def on_node(lab: Lab, node: str) -> list[str]:
    """Replicas that run there."""
    found = connect(lab.home).get("/v1/workloads")["workloads"]
    return [each["key"] for each in found if node in each["nodes"] and each["attempt"]]


def attempts(lab: Lab) -> int:
    """How many were ever made, of all replicas."""
    return sum(each["attempts_made"] for each in connect(lab.home).get("/v1/workloads")["workloads"])


def children(pid: int) -> list[int]:
    out = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False).stdout
    return [int(word) for word in out.split()]


def play(lab: Lab, quiet_s: float) -> None:
    """All of it, one after another."""
    lab.step("steady")
    time.sleep(quiet_s)
    lab.step("rolling update")
    lab.apply(service("second"))
    lab.until(lambda v: v["settled"] == 2 and steady(v))
    lab.step("canary, good")
    watched = f"window: {max(3, quiet_s):g}s, requests: 20"
    lab.apply(service("third", update=f"{{strategy: canary, steps: [10%, 50%, 100%], {watched}}}"))
    lab.until(lambda v: v["settled"] == 3 and steady(v))
    for number, (name, flags) in enumerate([("errors", "--fail 0.3"), ("slow", "--wait 1.5")], 4):
        lab.step(f"canary, bad: {name}")
        lab.apply(
            service(
                name,
                flags=flags,
                update=f"{{strategy: canary, steps: [10%, 100%], {watched}}}",
            )
        )
        took_s = lab.until(lambda v, n=number: bool(v["revisions"][n - 1]["taken_back"]))
        lab.taken_back[name] = lab.view()["revisions"][number - 1]["taken_back"]
        print(f"          taken back after {took_s:.1f} s: {lab.taken_back[name]}")
        lab.until(steady)
    lab.step("scale up")
    lab.suanli("scale", "chat", "5")
    lab.until(steady)
    lab.step("scale down")
    lab.suanli("scale", "chat", "2")
    lab.until(lambda v: v["ready"] == 2)
    lab.step("scale up to a second node, and drain the first")
    lab.suanli("scale", "chat", "6")
    lab.until(steady)
    lab.suanli("drain", "local")
    lab.until(lambda v: v["ready"] == 6 and not on_node(lab, "local"))
    lab.suanli("uncordon", "local")
    lab.suanli("scale", "chat", "2")
    lab.until(lambda v: v["ready"] == 2)
    lab.step("kill -9 a replica")
    made = attempts(lab)
    os.kill(lab.serving()[0], signal.SIGKILL)
    lab.until(lambda _: attempts(lab) > made)
    lab.until(steady)
    lab.step("kill -9 the controller")
    os.kill(json.loads((lab.home / "server.json").read_text())["pid"], signal.SIGKILL)
    time.sleep(quiet_s)
    lab.step("the controller is back")
    lab.up()
    lab.until(steady)
    time.sleep(quiet_s)
    lab.step("kill -9 one gateway process of two")
    os.kill(children(lab.gateway()["pid"])[0], signal.SIGKILL)
    time.sleep(quiet_s)
    lab.step("rollback")
    lab.suanli("rollback", "chat")
    lab.until(steady)
    time.sleep(quiet_s)


def run(rate: float, quiet_s: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        lab = Lab(Path(folder), rate)
        lab.up()
        try:
            lab.apply(service("first"))
            secret = json.loads(lab.suanli("keys", "create", "load", "-o", "json"))["secret"]
            lab.until(steady)
            url = f"http://127.0.0.1:{lab.gateway()['port']}"
            lab.until(
                lambda _: all(_answers(url, secret) for _ in range(20))
            )  # each gateway process knows the key
            load = subprocess.Popen(
                [sys.executable, str(HERE / "serve_steady.py"), url, secret, "chat", str(rate), "32"],
                stdout=subprocess.PIPE,
                text=True,
            )
            try:
                play(lab, quiet_s)
            finally:
                load.send_signal(signal.SIGTERM)
                told = json.loads(load.communicate(timeout=60)[0])
        finally:
            print(lab.suanli("services", "chat", check=False))
            lab.suanli("down", check=False)
    first_s = lab.steps[0][0]
    return {
        **told,
        "taken_back": lab.taken_back,
        "began_s": {name: at_s - first_s for at_s, name in lab.steps},
        "length_s": time.time() - first_s,
        "steps": _by_step(lab.steps, told.pop("failures")),
    }


def _answers(url: str, secret: str) -> bool:
    """Whether a request with this key does, over a connection of its own."""
    asked = urllib.request.Request(f"{url}/services/chat/", headers={"Authorization": f"Bearer {secret}"})
    try:
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return answer.status == 200
    except urllib.error.HTTPError:
        return False


def _by_step(steps: list[tuple[float, str]], failures: list[tuple[float, str]]) -> dict[str, dict[str, int]]:
    """What failed, by the step in which it did."""
    found: dict[str, dict[str, int]] = {name: {} for _, name in steps}
    for at_s, what in failures:
        name = [name for began_s, name in steps if began_s <= at_s][-1]
        found[name][what] = found[name].get(what, 0) + 1
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=float, default=400.0, help="requests a second")
    parser.add_argument("--quiet", type=float, default=10.0, help="seconds in which nothing happens")
    given = parser.parse_args()
    print(json.dumps(run(given.rate, given.quiet), indent=1))
