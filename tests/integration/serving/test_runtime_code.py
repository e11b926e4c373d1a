"""User code behind a runtime: whatever a class has is offered, whatever it lacks is named."""

import importlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import openai
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from runtime_replica import Replica, replica, save_tokenizer, wait_until

QUICKSTART = Path(__file__).parents[3] / "examples" / "quickstart"
CODE = '''
import asyncio, time
from pathlib import Path


class All:
    """Everything that a class may have."""

    def load(self, model_dir):
        self.folder, self.sizes = Path(model_dir), []
        self.word = (self.folder / "word.txt").read_text()

    def infer(self, inputs):
        self.sizes.append(len(inputs))
        if "first" in inputs:
            (self.folder / "begun").touch()
            while not (self.folder / "go").exists():
                time.sleep(0.01)
        if "explode" in inputs:
            raise RuntimeError("a secret path /root/x")
        if "refuse" in inputs:
            raise ValueError("this is no input for me")
        if "sizes" in inputs:
            return [self.sizes for _ in inputs]
        if "short" in inputs:
            return []
        return [[one, self.word] for one in inputs]

    def embed(self, texts):
        return [[len(text), text.count("a")] for text in texts]

    def generate(self, prompt, params):
        try:
            for number in range(1000):
                if prompt == "bad":
                    raise ValueError("not this prompt")
                if prompt == "late" and number == 3:
                    raise OSError("disk")
                if prompt == "slow":
                    time.sleep(0.05)
                yield f"{prompt}{number} "
        finally:
            (self.folder / "closed.txt").write_text(prompt)

    def tokens(self, text):
        return len(text.split())

    def stop(self):
        (self.folder / "stopped.txt").write_text("yes")


class Async:
    async def load(self, model_dir):
        self.gate = model_dir / "gate"

    async def infer(self, inputs):
        while not self.gate.exists():
            await asyncio.sleep(0.01)
        return inputs

    async def generate(self, prompt, params):
        for letter in prompt:
            await asyncio.sleep(0)
            yield letter.upper()


class Unloadable:
    def infer(self, inputs):
        return inputs


class Mute:
    def load(self, model_dir):
        pass


class Slow:
    def load(self, model_dir):
        time.sleep(600)

    def infer(self, inputs):
        return inputs


class Broken(Mute):
    def load(self, model_dir):
        raise OSError("weights are missing")

    infer = None
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("code")
    (made / "mine.py").write_text(CODE)
    (made / "word.txt").write_text("hello")
    return made


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[Replica]:
    with replica("--runtime", "python", "--code", "mine:All", model_dir=folder) as running:
        yield running.wait_ready()


@pytest.fixture(scope="module")
def client(served: Replica) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0)


def test_inputs_become_outputs_each_its_own(served: Replica) -> None:
    answer = served.ask("/predict", {"inputs": ["a b c", {"x": 1}]})
    assert answer.json() == {
        "outputs": [["a b c", "hello"], [{"x": 1}, "hello"]],
        "usage": {"prompt_tokens": 3, "completion_tokens": 0, "total_tokens": 3},
    }
    assert served.ask("/predict", {"inputs": 7}).json()["outputs"] == [[7, "hello"]]


def test_requests_that_come_together_share_batches(served: Replica, folder: Path) -> None:
    def ask(given: object) -> object:
        return served.ask("/predict", {"inputs": [given]}).json()["outputs"]

    with ThreadPoolExecutor(17) as threads:
        first = threads.submit(ask, "first")
        wait_until((folder / "begun").exists)
        answers = [threads.submit(ask, number) for number in range(16)]
        wait_until(lambda: served.metric("suanli_runtime_waiting") == 16)
        (folder / "go").touch()
        assert first.result() == [["first", "hello"]]
        assert [answer.result() for answer in answers] == [[[number, "hello"]] for number in range(16)]
    assert max(served.ask("/predict", {"inputs": ["sizes"]}).json()["outputs"][0]) >= 4


def test_embeddings_are_what_the_class_gives(client: openai.OpenAI) -> None:
    answer = client.embeddings.create(model="tiny", input=["banana", "a b"])
    assert [one.embedding for one in answer.data] == [[6.0, 3.0], [3.0, 1.0]]
    assert answer.usage.prompt_tokens == 3


def test_what_the_class_yields_is_streamed_and_ends_where_it_was_asked_to(client: openai.OpenAI) -> None:
    stream = client.completions.create(model="tiny", prompt="x", max_tokens=5, stream=True)
    assert [chunk.choices[0].text for chunk in stream] == ["x0 ", "x1 ", "x2 ", "x3 ", "x4 "]
    answer = client.completions.create(model="tiny", prompt="x", max_tokens=50, stop="x3")
    assert (answer.choices[0].text, answer.choices[0].finish_reason) == ("x0 x1 x2 ", "stop")
    said = client.chat.completions.create(
        model="x", messages=[{"role": "user", "content": "hi"}], max_tokens=4
    )
    assert (said.choices[0].message.content or "").startswith("user: hi\nassistant:0 ")


def test_a_client_that_leaves_ends_the_generator(served: Replica, folder: Path) -> None:
    with served.http.stream(
        "POST", "/v1/completions", json={"prompt": "slow", "max_tokens": 999, "stream": True}
    ) as one:
        events = one.iter_bytes()
        next(events)
    wait_until(lambda: (folder / "closed.txt").read_text() == "slow")
    wait_until(lambda: served.metric("suanli_runtime_in_flight") == 0)


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("/predict", {"inputs": ["refuse"]}, 400, "this is no input for me"),
        ("/predict", {"inputs": ["explode"]}, 500, "the model failed on this request (RuntimeError)"),
        ("/predict", {"inputs": ["short"]}, 500, "0 results for 1 inputs"),
        ("/predict", {"inputs": []}, 400, "1 to 2048 entries"),
        ("/predict", {"data": 1}, 400, "data is not supported here"),
        ("/v1/embeddings", {"input": ["a"], "dimensions": 5}, 400, "have 2 numbers"),
        ("/v1/embeddings", {"input": [1, 2]}, 400, "input[0]: Expected `str`"),
        ("/v1/completions", {"prompt": "bad"}, 400, "not this prompt"),
        ("/v1/completions", {"prompt": "bad", "stream": True}, 400, "not this prompt"),
        ("/v1/completions", {"prompt": "late"}, 500, "failed on this request (OSError)"),
    ],
)
def test_a_failure_is_told_without_what_is_inside(
    served: Replica, path: str, body: object, status: int, said: str
) -> None:
    answer = served.ask(path, body)
    assert answer.status_code == status
    assert said in answer.json()["error"]["message"]
    assert "secret" not in answer.text


def test_a_stream_that_breaks_says_so_and_has_no_good_end(served: Replica) -> None:
    answer = served.ask("/v1/completions", {"prompt": "late", "max_tokens": 9, "stream": True})
    *chunks, error, empty = answer.text.split("\n\n")
    assert len(chunks) == 3
    assert json.loads(error.removeprefix("data: "))["error"]["code"] == "model_failed"
    assert empty == ""


def test_async_methods_are_served_what_is_missing_is_named_and_a_full_queue_refuses(folder: Path) -> None:
    options = ["--runtime", "python", "--code", "mine:Async", "--batch-max", "1", "--queue-max", "2"]
    with replica(*options, model_dir=folder) as running:
        running.wait_ready()
        answer = running.ask("/v1/completions", {"prompt": "abc"}).json()
        assert answer["choices"][0]["text"] == "ABC"
        missing = running.ask("/v1/embeddings", {"input": "x"})
        assert missing.status_code == 404
        assert (
            "it offers /v1/chat/completions, /v1/completions, /predict" in missing.json()["error"]["message"]
        )

        statuses = list[int]()
        threads = [
            threading.Thread(
                target=lambda: statuses.append(running.ask("/predict", {"inputs": [1]}).status_code)
            )
            for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        wait_until(lambda: running.metric("suanli_runtime_waiting") == 2)
        refused = running.ask("/predict", {"inputs": [1]})
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "queue_full")
        assert int(refused.headers["retry-after"]) >= 1
        (folder / "gate").touch()
        for thread in threads:
            thread.join()
        assert statuses == [200, 200, 200]
        assert running.end() == 0


def test_stop_is_called_after_the_last_request(folder: Path) -> None:
    with replica("--runtime", "python", "--code", "mine:All", model_dir=folder) as running:
        running.wait_ready()
        assert not (folder / "stopped.txt").exists()
        assert running.end() == 0
    assert (folder / "stopped.txt").read_text() == "yes"


def test_while_it_loads_it_is_alive_but_takes_no_work_and_a_term_ends_it(folder: Path) -> None:
    with replica("--runtime", "python", "--code", "mine:Slow", model_dir=folder) as running:
        wait_until(lambda: running.http.get("/healthz").status_code == 200)
        for path in ("/readyz", "/v1/models"):
            assert running.http.get(path).status_code == 503
        refused = running.ask("/predict", {"inputs": [1]})
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "loading")
        assert running.end() == 0


def test_a_port_that_is_taken_is_named(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, log = end_of(folder, "--runtime", "python", "--code", "mine:All", "--port", port)
    assert (code, f"mine: cannot listen on 127.0.0.1:{port}" in log) == (1, True)


def test_code_without_a_model_finds_its_files_in_the_working_directory(folder: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "SUANLI_MODEL_DIR"}
    command = [sys.executable, "-m", "suanli.serving.runtime", "--name", "mine", "--runtime", "python"]
    command += ["--code", "mine:Broken"]
    ended = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=110, check=False
    )
    assert "weights are missing" in ended.stderr, "it was loaded"


def test_vllm_takes_the_runtimes_place_with_what_the_plan_says(folder: Path) -> None:
    """A stand-in for vLLM that prints what it was started with."""
    fake = folder / "bin" / "vllm"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\necho $$ $@ >&2\n")
    fake.chmod(0o755)
    command = [
        sys.executable,
        "-m",
        "suanli.serving.runtime",
        "--name",
        "chat",
        "--runtime",
        "vllm",
        "--batch-max",
        "8",
    ]
    command += [
        "--model-dir",
        str(folder),
        "--port",
        "81",
        "--device",
        "cuda",
        "--memory-max",
        "1",
        "--quantization",
        "fp8",
    ]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "2,3", "SUANLI_ACCELERATOR_FRACTION": "0.5"}
    with subprocess.Popen(
        command, env=environment | {"SUANLI_VLLM": str(fake)}, stderr=subprocess.PIPE, text=True
    ) as process:
        *_, printed = (process.stderr or pytest.fail("no log")).read().splitlines()
    assert printed == (
        f"{process.pid} serve {folder} --served-model-name chat --host 127.0.0.1 --port 81 --load-format safetensors"
        " --gpu-memory-utilization 0.45 --tensor-parallel-size 2 --quantization fp8 --max-num-seqs 8"
    )


def test_where_vllm_is_not_installed_it_says_so(folder: Path) -> None:
    code, log = end_of(folder, "--runtime", "vllm")
    assert (code, "SUANLI_VLLM: /opt/vllm/bin/vllm" in log) == (2, True)


def end_of(folder: Path, *arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "suanli.serving.runtime", "--name", "mine", "--model-dir", str(folder)]
    ended = subprocess.run(
        [*command, *arguments], cwd=folder, capture_output=True, text=True, timeout=110, check=False
    )
    return ended.returncode, ended.stderr


@pytest.mark.parametrize(
    ("code", "exit_code", "said"),
    [
        ("nowhere:All", 2, "nowhere cannot be imported"),
        ("mine:Nothing", 2, "mine has no Nothing"),
        ("mine", 2, "must be module:Class"),
        ("mine:Unloadable", 2, "Unloadable has no load; give it load(self, model_dir: Path)"),
        ("mine:Mute", 2, "Mute answers nothing; give it infer, embed or generate"),
        ("mine:Broken", 1, "weights are missing"),
    ],
)
def test_code_that_cannot_be_served_ends_with_why(folder: Path, code: str, exit_code: int, said: str) -> None:
    ended, log = end_of(folder, "--runtime", "python", "--code", code)
    assert ended == exit_code
    assert said in log


def test_a_model_that_does_not_fit_is_refused_with_the_arithmetic_before_anything_is_loaded(
    folder: Path,
) -> None:
    (folder / "model.onnx").write_bytes(bytes(4 * 2**20))
    try:
        code, log = end_of(folder, "--runtime", "python", "--code", "mine:Broken", "--memory-max", "64MiB")
    finally:
        (folder / "model.onnx").unlink()
    assert code == 78
    assert log == (
        "mine: the model does not fit: weights 4MiB + 15% margin 614KiB + libraries 80MiB = 84.6MiB of 64MiB;"
        " give it memory: 0.25GiB\n"
    )


def test_a_command_line_that_makes_no_sense_is_refused(folder: Path) -> None:
    assert "go together" in end_of(folder, "--runtime", "python")[1]
    code, log = end_of(folder, "--runtime", "onnx", "--batch-wait", "5 lightyears")
    assert (code, "argument --batch-wait: " in log) == (2, True)


@pytest.fixture(scope="module")
def gpt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint as the quickstart's training leaves it, with untrained weights."""
    import torch

    output = tmp_path_factory.mktemp("gpt")
    vocabulary = save_tokenizer(output, special=("<|file|>",))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(QUICKSTART))
        checkpoints, model = importlib.import_module("gpt.checkpoints"), importlib.import_module("gpt.model")
        torch.manual_seed(0)
        network = model.GPT(model.Shape(vocabulary=vocabulary, width=32, heads=2, layers=1, context=32))
        optimiser = torch.optim.AdamW(network.parameters())
        checkpoints.save(output / "checkpoints", 7, network, optimiser, output / "tokenizer.json", {})
    return output


def test_the_quickstarts_gpt_is_served_from_a_trainings_output_and_from_a_checkpoint(gpt: Path) -> None:
    name = json.loads((gpt / "checkpoints" / "latest.json").read_text())["name"]
    texts = list[str]()
    for folder in (gpt, gpt / "checkpoints" / name):
        with replica(
            "--runtime", "python", "--code", "gpt.serving:Gpt", model_dir=folder, workdir=QUICKSTART
        ) as running:
            running.wait_ready()
            client = openai.OpenAI(base_url=f"{running.url}/v1", api_key="none", max_retries=0)
            stream = client.completions.create(
                model="tiny", prompt="the fox", max_tokens=12, temperature=1.5, seed=3, stream=True,
                stream_options={"include_usage": True},
            )  # fmt: skip
            *pieces, last = stream
            assert last.usage
            assert last.usage.completion_tokens == 12
            texts.append("".join(piece.choices[0].text for piece in pieces))
            refused = running.ask("/v1/completions", {"prompt": "x", "top_p": 0.5})
            assert "leave top_p out" in refused.json()["error"]["message"]
    assert texts[0] == texts[1] != ""
