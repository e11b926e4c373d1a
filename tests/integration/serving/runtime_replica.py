"""Replicas as real processes, and small models for them: random weights in real files."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

TEXT = "the quick brown fox jumps over the lazy dog while sixty wizards quote vexing black jive; 0123456789 (.,:!?)\n"


class Replica:
    """A running runtime. Its log is read by a thread, so that it never blocks on a full pipe."""

    def __init__(
        self, arguments: list[str], model_dir: Path, workdir: Path, environment: dict[str, str]
    ) -> None:
        given = {
            **os.environ,
            "PORT": "0",
            "SUANLI_MODEL_DIR": str(model_dir),
            "OMP_NUM_THREADS": "1",
            **environment,
        }
        command = [sys.executable, "-m", "suanli.serving.runtime", "--name", "tiny", *arguments]
        self.process = subprocess.Popen(command, cwd=workdir, env=given, stderr=subprocess.PIPE, text=True)
        self.log = list[str]()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.port = int(re.findall(r"listening on http://[^:]+:(\d+)", self.wait_for_line("listening on"))[0])
        self.url = f"http://127.0.0.1:{self.port}"
        self.http = httpx.Client(base_url=self.url, timeout=110)

    def _read(self) -> None:
        assert self.process.stderr
        self.log.extend(self.process.stderr)

    def wait_for_line(self, part: str, timeout_s: float = 90) -> str:
        return wait_until(lambda: next((line for line in self.log if part in line), ""), timeout_s, self.said)

    def said(self) -> str:
        return "".join(self.log)

    def wait_ready(self) -> "Replica":
        wait_until(lambda: self.http.get("/readyz").status_code == 200, 90, self.said)
        return self

    def ask(self, path: str, body: Any) -> httpx.Response:
        return self.http.post(path, content=body if isinstance(body, bytes) else json.dumps(body).encode())

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels."""
        lines = self.http.get("/metrics").text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if re.match(rf"{name}[ {{]", line))

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=90)


@contextmanager
def replica(
    *arguments: str, model_dir: Path, workdir: Path | None = None, environment: dict[str, str] | None = None
) -> Iterator[Replica]:
    running = Replica(list(arguments), model_dir, workdir or model_dir, environment or {})
    try:
        yield running
    finally:
        running.process.kill()
        running.process.wait()
        running.http.close()


def wait_until(condition: Any, timeout_s: float = 90, said: Any = lambda: "") -> Any:
    deadline_s = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline_s, said()
        time.sleep(0.02)
    return value


def save_tokenizer(folder: Path, special: tuple[str, ...] = ("<end>",)) -> int:
    """A small byte-pair tokenizer over the letters of TEXT; returns the size of its vocabulary."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=200, special_tokens=list(special), show_progress=False)
    tokenizer.train_from_iterator([TEXT, TEXT.upper()], trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": special[0], "pad_token": special[0]}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return tokenizer.get_vocab_size()


def save_llama(folder: Path, *, context: int = 256) -> Any:
    """A random Llama of two layers with grouped queries, in safetensors."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    vocabulary = save_tokenizer(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=context, initializer_range=0.3,
        eos_token_id=0, bos_token_id=None, pad_token_id=0,
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval()
    model.save_pretrained(folder)
    return model


def save_gpt2(folder: Path, *, context: int = 256) -> Any:
    """A random GPT-2 of two layers: learnt positions, where Llama's rotate."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    vocabulary = save_tokenizer(folder)
    torch.manual_seed(1)
    config = GPT2Config(
        vocab_size=vocabulary, n_embd=48, n_layer=2, n_head=4, n_positions=context, initializer_range=0.3,
        eos_token_id=0, bos_token_id=0, pad_token_id=0,
    )  # fmt: skip
    model = GPT2LMHeadModel(config).eval()
    model.save_pretrained(folder)
    return model
