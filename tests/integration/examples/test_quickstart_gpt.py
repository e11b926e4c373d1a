"""The GPT of the quickstart as Suanli runs it: two processes with torchrun's environment, on a corpus of four files."""

import hashlib
import http.client
import importlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

QUICKSTART = Path(__file__).parents[3] / "examples" / "quickstart"
STEPS = 150
SMALL = ["--steps", str(STEPS), "--batch", "2", "--layers", "1", "--warmup", "5"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environment(output: Path, attempt: int) -> dict[str, str]:
    return {
        "MASTER_PORT": str(free_port()),
        "SUANLI_ATTEMPT": str(attempt),
        "SUANLI_OUTPUT_DIR": str(output),
        "SUANLI_PROGRESS_FILE": str(output / "progress.json"),
    }


def start_gang(python: list[str], given: Mapping[str, str]) -> list[subprocess.Popen[str]]:
    gang = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "SUANLI_WORKLOAD": "gpt"}
    return [
        subprocess.Popen(
            [sys.executable, *python, *SMALL],
            cwd=QUICKSTART,
            env={**os.environ, **gang, **given, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]


def finish(gang: list[subprocess.Popen[str]]) -> tuple[list[int], str]:
    try:
        printed = gang[0].communicate(timeout=200)[0]
        return [worker.wait(timeout=100) for worker in gang], printed
    finally:
        for worker in gang:
            worker.kill()


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two output folders, in which four files of the standard library are encoded already."""
    stopped, through = tmp_path_factory.mktemp("stopped"), tmp_path_factory.mktemp("through")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(QUICKSTART))
        module = importlib.import_module("gpt.corpus")
        texts = [(name, text) for name, text in module._source_files() if name in FILES]
        patch.setattr(module, "_source_files", lambda: iter(texts))
        module.prepare(stopped / "corpus")
    shutil.copytree(stopped / "corpus", through / "corpus")
    return {"stopped": stopped, "through": through}


FILES = ("argparse.py", "inspect.py", "typing.py", "opcode.py")
"""The last is held out."""


@pytest.fixture(scope="module")
def stopped_at(outputs: dict[str, Path]) -> int:
    """The step after which a training left when one of its workers got SIGTERM."""
    gang = start_gang(["-m", "gpt.train"], environment(outputs["stopped"], attempt=1))
    assert gang[0].stdout
    next(line for line in gang[0].stdout if line.startswith("step 20/"))
    gang[1].send_signal(signal.SIGTERM)
    codes, _ = finish(gang)
    assert codes == [143, 143]
    return state(outputs["stopped"])["step"]


ONE_AFTER_THE_OTHER = """
import json, os
from gpt import train
for environment in json.loads(os.environ["RUNS"]):
    os.environ.update(environment)
    assert train.main() == 0
"""
"""Importing torch takes most of such a run, so two of them share it."""


@pytest.fixture(scope="module")
def printed(outputs: dict[str, Path], stopped_at: int) -> str:
    """What was printed by going on after `stopped_at`, and then by a training that runs through."""
    runs = [environment(outputs["stopped"], attempt=2), environment(outputs["through"], attempt=1)]
    codes, text = finish(start_gang(["-c", ONE_AFTER_THE_OTHER], {"RUNS": json.dumps(runs)}))
    assert codes == [0, 0]
    return text


def newest(output: Path) -> Path:
    return output / "checkpoints" / json.loads((output / "checkpoints" / "latest.json").read_text())["name"]


def state(output: Path) -> dict[str, Any]:
    return json.loads((newest(output) / "state.json").read_text())


def digests(output: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in newest(output).glob("*.safetensors")
    }


def test_all_workers_leave_after_the_same_step_and_go_on_from_it(stopped_at: int, printed: str) -> None:
    assert 20 <= stopped_at < STEPS
    assert printed.startswith(f"step {stopped_at}/{STEPS}"), "and nothing was encoded again"


def test_a_training_that_was_stopped_ends_with_the_weights_of_one_that_ran_through(
    outputs: dict[str, Path], printed: str
) -> None:
    assert f"step {STEPS}/{STEPS}" in printed
    assert state(outputs["stopped"])["step"] == state(outputs["through"])["step"] == STEPS
    assert sorted(digests(outputs["through"])) == ["model.safetensors", "optimiser.safetensors"]
    assert digests(outputs["stopped"]) == digests(outputs["through"])


@pytest.mark.usefixtures("printed")
def test_training_reports_its_steps_its_loss_and_its_checkpoint(outputs: dict[str, Path]) -> None:
    said = json.loads((outputs["through"] / "progress.json").read_text())
    assert (said["step"], said["total"], said["checkpoint_step"]) == (STEPS, STEPS, STEPS)
    assert said["metrics"].keys() == {"loss", "val_bits_per_byte", "tokens_per_s"}
    assert said["metrics"]["loss"] < 3.2 < said["metrics"]["val_bits_per_byte"], (
        "three files teach little of a fourth"
    )


def start_service(port: int, model: Path) -> subprocess.Popen[str]:
    given = os.environ | {"PORT": str(port), "SUANLI_MODEL_DIR": str(model)}
    command = [sys.executable, "serve_gpt.py"]
    return subprocess.Popen(command, cwd=QUICKSTART, env=given, stderr=subprocess.PIPE, text=True)


class Service:
    """A running server, and a client for it."""

    def __init__(self, port: int, process: subprocess.Popen[str]) -> None:
        self.port, self.process = port, process

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, path, body)
        response = connection.getresponse()
        content = response.read()
        if response.headers["Content-Type"] != "application/json":
            return response.status, content.decode()
        return response.status, json.loads(content)

    def generate(self, wish: Mapping[str, object]) -> tuple[int, Any]:
        return self.ask("POST", "/generate", json.dumps(wish).encode())

    def health(self) -> int:
        try:
            return self.ask("GET", "/healthz")[0]
        except ConnectionRefusedError:
            return 0


@pytest.fixture(scope="module")
def service(outputs: dict[str, Path], printed: str) -> Iterator[Service]:
    port = free_port()
    running = Service(port, start_service(port, outputs["through"]))
    try:
        seen = {running.health()}
        deadline_s = time.monotonic() + 110
        while 200 not in seen and time.monotonic() < deadline_s:
            time.sleep(0.02)
            seen.add(running.health())
        assert seen - {0} == {503, 200}, "it answers 503 while it loads, then 200"
        yield running
        running.process.terminate()
        assert running.process.wait(timeout=60) == 0, "SIGTERM ends it cleanly"
    finally:
        running.process.kill()


def test_the_trained_model_is_served(service: Service) -> None:
    status, answer = service.generate({"prompt": "def main(", "max_tokens": 12, "seed": 3})
    assert (status, answer["model_step"]) == (200, STEPS)
    assert answer["text"]
    assert 1 <= answer["tokens"] <= 12
    assert answer["tokens_per_s"] > 0


def test_the_same_seed_writes_the_same_text(service: Service) -> None:
    def text(**wish: object) -> str:
        return service.generate({"prompt": "import ", "max_tokens": 20, **wish})[1]["text"]

    assert text(seed=1, temperature=1.0) == text(seed=1, temperature=1.0)
    assert text(seed=1, temperature=0) == text(seed=2, temperature=1e-300)


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"", "must be JSON"),
        (b"[" * 50_000, "must be JSON"),
        (b"[]", "a JSON object"),
        (b"{}", "a text as its prompt"),
        (b'{"prompt": "x", "top_k": 3}', "unknown field 'top_k'"),
        (b'{"prompt": "x", "max_tokens": 0}', "max_tokens must be a whole number from 1 to 512"),
        (b'{"prompt": "x", "max_tokens": true}', "max_tokens must be"),
        (b'{"prompt": "x", "temperature": NaN}', "temperature must be a number from 0 to 10"),
        (b'{"prompt": "x", "temperature": "hot"}', "temperature must be"),
        (b'{"prompt": "x", "seed": 1e3}', "seed must be a whole number"),
        (b'{"prompt": "\\ud800"}', "surrogates"),
    ],
)
def test_a_request_that_makes_no_sense_is_told_why(service: Service, body: bytes, complaint: str) -> None:
    status, answer = service.ask("POST", "/generate", body)
    assert status == 400
    assert complaint in answer["error"]


def test_a_body_that_is_too_long_and_paths_that_do_not_exist_are_refused(service: Service) -> None:
    assert service.ask("POST", "/generate", b"x" * (64 * 1024 + 1))[0] == 413
    assert service.ask("POST", "/other", b"{}")[0] == 404
    assert service.ask("GET", "/../etc/passwd")[0] == 404


def test_the_front_page_says_how_in_one_line(service: Service) -> None:
    status, text = service.ask("GET", "/")
    assert (status, text.count("\n")) == (200, 1)
    assert "/generate" in text


def test_without_a_checkpoint_the_service_ends_and_says_so(tmp_path: Path) -> None:
    process = start_service(free_port(), tmp_path)
    complaint = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert "no checkpoint" in complaint


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = start_service(port, tmp_path)
        complaint = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in complaint
