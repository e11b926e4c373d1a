"""Services of a real home with controller, Ray and gateway: beside training, and as `models evaluate` asks them."""

import json
import math
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from runtime_replica import save_gpt2

from suanli.cli.client import connect

SUANLI = [sys.executable, "-m", "suanli.cli"]
REPLICA = Path(__file__).resolve().parents[3] / "benchmarks" / "serve_replica.py"
FLEET = "kind: fleet\nname: lab\nnodes: [{name: local, cpus: 2, memory: 8GiB}]\n"
CHAT = f"""
kind: serve
name: chat
run: [{sys.executable}, {REPLICA}]
replicas: 1..3
scaling: {{metric: "off"}}
resources: {{cpus: 0.5, memory: 128MiB}}
priority: 80
"""
TRAINING = """
kind: train
name: training
run: [{python}, {file}, {enough}]
resources: {{cpus: 1.5, memory: 128MiB}}
priority: 20
checkpoint: {{every: 10m}}
"""
PROGRAM = """
import os, signal, sys, time
from pathlib import Path
import suanli

told = []
signal.signal(signal.SIGTERM, lambda *_: told.append("stop"))
out = Path(os.environ["SUANLI_OUTPUT_DIR"])
saved = suanli.latest_checkpoint(out)
step = int((saved / "step").read_text()) if saved else 0
with (out / "steps").open("a") as log:
    while not Path(sys.argv[1]).exists():
        step += 1
        print(os.environ["SUANLI_ATTEMPT"], step, file=log, flush=True)
        time.sleep(0.02)
        if told:
            suanli.commit_checkpoint(out, step, lambda draft: (draft / "step").write_text(str(step)))
            sys.exit(143)
"""
TEXTS = ("the cat sat on the mat", "a small boat under a red sky", "seven white horses")


class Home:
    """A controller that runs, and what is asked of it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / "home"
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("SUANLI_")}
        self.environment["SUANLI_HOME"] = str(self.path)

    def run(self, *words: object) -> subprocess.CompletedProcess[str]:
        argv = [*SUANLI, *map(str, words)]
        return subprocess.run(
            argv, env=self.environment, capture_output=True, text=True, check=False, timeout=200
        )

    def suanli(self, *words: object) -> str:
        done = self.run(*words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def apply(self, text: str) -> None:
        file = self.folder / "applied.yaml"
        file.write_text(text)
        self.suanli("apply", "-f", file, "--yes")

    def service(self, name: str) -> Any:
        return connect(self.path).get(f"/v1/services/{name}")

    def workload(self, key: str) -> Any:
        found = connect(self.path).get("/v1/workloads")["workloads"]
        return next(each for each in found if each["key"] == key)

    def replica(self, service: str) -> str:
        """Which one answers the owner; the status where none does."""
        port = json.loads((self.path / "gateway" / "gateway.json").read_text())["port"]
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/services/{service}/anything",
            headers={"Authorization": f"Bearer {(self.path / 'key').read_text().strip()}"},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.loads(answer.read())["replica"]
        except urllib.error.HTTPError as error:
            return str(error.code)


def until(holds: Callable[[], object], within_s: float = 120.0) -> None:
    ends_s = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < ends_s, "it did not come true in time"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    made = Home(tmp_path_factory.mktemp("real"))
    fleet = made.folder / "fleet.yaml"
    fleet.write_text(FLEET)
    made.suanli("up", "-d", "--port", 0, "--gateway-port", 0, "--fleet", fleet)
    try:
        yield made
    finally:
        made.suanli("down")


@pytest.mark.timeout(600)
def test_a_service_takes_the_room_of_training_and_gives_it_back_and_no_step_is_lost(home: Home) -> None:
    program, enough = home.folder / "training.py", home.folder / "enough"
    program.write_text(PROGRAM)
    home.apply(CHAT)
    until(lambda: home.service("chat")["ready"] == 1)
    home.apply(TRAINING.format(python=sys.executable, file=program, enough=enough))
    until(lambda: list(home.path.glob("outputs/training-*/steps")))
    (log,) = home.path.glob("outputs/training-*/steps")

    home.suanli("scale", "chat", 3)
    until(lambda: home.service("chat")["ready"] == 3)
    stopped = home.workload("training")
    assert (stopped["status"], stopped["preemptions"]) == ("waiting", 1)
    until(lambda: {home.replica("chat") for _ in range(12)} == {"0", "1", "2"})

    home.suanli("scale", "chat", 1)
    until(lambda: home.workload("training")["status"] == "running")
    until(lambda: log.read_text().splitlines()[-1].split()[0] == "2")
    assert home.replica("chat") == "0"
    enough.touch()
    until(lambda: home.workload("training")["status"] == "succeeded")
    assert home.service("chat")["ready"] == 1
    steps = [tuple(map(int, line.split())) for line in log.read_text().splitlines()]
    assert [step for _, step in steps] == list(range(1, len(steps) + 1))
    home.suanli("stop", "chat")


@pytest.mark.timeout(600)
def test_perplexity_through_the_gateway_is_that_of_the_model_computed_here(home: Home) -> None:
    model_dir, data = home.folder / "gpt", home.folder / "texts.jsonl"
    model_dir.mkdir()
    expected = perplexity(save_gpt2(model_dir), model_dir)
    data.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    home.suanli("models", "push", model_dir, "--name", "gpt")
    home.apply("kind: serve\nname: talk\nmodel: gpt/1\nresources: {cpus: 1, memory: 2GiB}\n")
    until(lambda: home.service("talk")["ready"] == 1)

    words = ("models", "evaluate", "gpt/1", "--data", data, "--service", "talk", "-o", "json")
    refused = home.run(*words, "--key", "sk-nobodys")
    assert "keys create" in refused.stderr
    found = json.loads(home.suanli(*words, "--key", (home.path / "key").read_text().strip()))
    assert found["metrics"]["perplexity"] == pytest.approx(expected, rel=1e-4)
    assert (found["samples"], found["how"], found["stored"]) == (3, "service talk", True)

    (model_dir / "notes.json").write_text("{}")
    home.suanli("models", "push", model_dir, "--name", "gpt")
    other = home.run("models", "evaluate", "gpt/2", "--data", data, "--service", "talk")
    assert "talk serves gpt/1" in other.stderr
    (kept,) = json.loads(home.suanli("models", "show", "gpt/1", "-o", "json"))["evaluations"]
    assert kept["metrics"]["perplexity"] == found["metrics"]["perplexity"]
    home.suanli("stop", "talk")


def perplexity(model: Any, folder: Path) -> float:
    """Of all tokens of TEXTS, each after those before it, the first after the token that begins texts."""
    import torch
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    total, count = 0.0, 0
    for text in TEXTS:
        ids = torch.tensor([[0, *tokenizer.encode(text).ids]])
        with torch.no_grad():
            said = model(ids).logits[0, :-1].log_softmax(-1)
        total += float(said[torch.arange(len(said)), ids[0, 1:]].sum())
        count += len(said)
    return math.exp(-total / count)
