"""What the command line of a runtime says."""

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

import msgspec

from suanli.domain.model import TASKS
from suanli.serving.runtime.vllm import Quantization
from suanli.spec import quantities

SHOWN_BY_GATEWAY = "SUANLI_REPLICA_TOKEN"
"""Names what the gateway shows; taken out of the environment, so that no code of a user's finds it there."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """`task` "" is found from the model's files; None is no bound. Without a `token` whoever asks is answered."""

    runtime: str
    name: str
    model_dir: Path
    port: int = 0
    host: str = "127.0.0.1"
    task: str = ""
    code: str = ""
    device: str = "cpu"
    batch_max: int = 16
    batch_wait_s: float = 0.005
    latency_max_s: float | None = None
    concurrency_max: int = 4
    queue_max: int = 1024
    context_max: int | None = None
    memory_max_bytes: int | None = None
    quantization: str = ""
    token: str = ""


def read(argv: Sequence[str] | None = None) -> Options:
    """The options, or an end with exit code 2 and what is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m suanli.serving.runtime",
        description="Serve a model over HTTP, in the shape of OpenAI's API.",
    )
    add = parser.add_argument
    add("--runtime", required=True, choices=("transformers", "onnx", "python", "vllm"))
    add("--name", required=True, help="the name that answers carry")
    add(
        "--model-dir",
        type=Path,
        default=os.environ.get("SUANLI_MODEL_DIR"),
        help="default: $SUANLI_MODEL_DIR; for the runtime python, else the working directory",
    )
    add("--port", type=int, default=os.environ.get("PORT", "0"), help="default: $PORT, else any that is free")
    add(
        "--host",
        default=os.environ.get("SUANLI_LISTEN_HOST", "127.0.0.1"),
        help="default: $SUANLI_LISTEN_HOST, else 127.0.0.1",
    )
    add("--task", choices=(*TASKS, "tensors"), default="", help="default: found from the model's files")
    add("--code", default="", metavar="MODULE:CLASS", help="for the runtime python")
    add("--device", choices=("cpu", "cuda"), default="cpu")
    add("--batch-max", type=_count, default=16, help="most sequences or inputs worked on together")
    add(
        "--batch-wait",
        type=_told(quantities.duration),
        default=0.005,
        help="how long a batch waits for more: 5ms",
    )
    add("--latency-max", type=_told(quantities.duration), help="bound for the p95 of a batched answer: 200ms")
    add("--concurrency-max", type=_count, default=4, help="most generations of user code at once")
    add("--queue-max", type=_count, default=1024, help="most that wait; more are answered with 503")
    add("--context-max", type=_count, help="most tokens of prompt and answer; default: the model's own")
    add("--memory-max", type=_memory, metavar="BYTES", help="what the plan gives: bytes, or such as 2GiB")
    add("--quantization", default="", choices=get_args(Quantization), help="for the runtime vllm")
    given = parser.parse_args(argv)
    if given.runtime == "python" and given.model_dir is None:
        given.model_dir = Path.cwd()  # code may have its model with it
    if given.model_dir is None or not given.model_dir.is_dir():
        parser.error(
            f"no folder with a model: --model-dir, or $SUANLI_MODEL_DIR, is {given.model_dir or 'not set'}"
        )
    if (given.runtime == "python") != bool(given.code):
        parser.error("--code module:Class and --runtime python go together")
    return Options(
        runtime=given.runtime, name=given.name, model_dir=given.model_dir, port=given.port, host=given.host,
        task=given.task, code=given.code, device=given.device, batch_max=given.batch_max,
        batch_wait_s=given.batch_wait, latency_max_s=given.latency_max, concurrency_max=given.concurrency_max,
        queue_max=given.queue_max, context_max=given.context_max, memory_max_bytes=given.memory_max,
        quantization=given.quantization, token=os.environ.pop(SHOWN_BY_GATEWAY, ""),
    )  # fmt: skip


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 to 1000000, got {text}")
    return int(text)


def _memory(text: str) -> int:
    return int(text) if text.isdecimal() else _told(quantities.memory)(text)


def _told(read_quantity: Callable[[object], Any]) -> Callable[[str], Any]:
    """argparse shows the text of this error only, not a ValueError's."""

    def read_or_say(text: str) -> Any:
        try:
            return read_quantity(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return read_or_say
