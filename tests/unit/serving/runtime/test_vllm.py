"""vLLM's command line, from the plan; and which program gets it."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from suanli.serving.runtime.vllm import VllmPlan, vllm_argv

ALWAYS = ["vllm", "serve", "/m", "--served-model-name", "chat", "--host", "127.0.0.1", "--port", "8000"]
ALWAYS += ["--load-format", "safetensors"]


@pytest.mark.parametrize(
    ("plan", "more"),
    [
        ({}, ["--gpu-memory-utilization", "0.9"]),
        ({"accelerators": 4}, ["--gpu-memory-utilization", "0.9", "--tensor-parallel-size", "4"]),
        ({"accelerator_share": 0.5}, ["--gpu-memory-utilization", "0.45"]),
        (
            {"accelerators": 8, "nodes": 2},
            ["--gpu-memory-utilization", "0.9", "--tensor-parallel-size", "8", "--pipeline-parallel-size", "2",
             "--distributed-executor-backend", "ray"],
        ),
        ({"quantization": "fp8"}, ["--gpu-memory-utilization", "0.9", "--quantization", "fp8"]),
        (
            {"context_max": 8192, "batch_max": 64},
            ["--gpu-memory-utilization", "0.9", "--max-model-len", "8192", "--max-num-seqs", "64"],
        ),
        ({"embeddings": True}, ["--gpu-memory-utilization", "0.9", "--runner", "pooling"]),
    ],
)  # fmt: skip
def test_flags_follow_the_plan(plan: dict[str, Any], more: list[str]) -> None:
    assert vllm_argv(VllmPlan(model_dir="/m", served_name="chat", port=8000, **plan)) == ALWAYS + more


def _started(folder: Path, program: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "suanli.serving.runtime",
            "--runtime",
            "vllm",
            "--name",
            "chat",
            "--port",
            "8000",
        ],
        env={**os.environ, "SUANLI_MODEL_DIR": str(folder), "SUANLI_VLLM": str(program)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_program_that_is_named_takes_the_process_over(tmp_path: Path) -> None:
    program = tmp_path / "elsewhere"
    program.write_text("#!/bin/sh\necho $0 $@\n")
    program.chmod(0o755)
    done = _started(tmp_path, program)
    assert done.stdout.split()[:4] == [str(program), "serve", str(tmp_path), "--served-model-name"]


def test_a_program_that_is_not_there_is_told_with_what_to_do(tmp_path: Path) -> None:
    done = _started(tmp_path, tmp_path / "nowhere")
    assert done.returncode
    assert "SUANLI_VLLM" in done.stderr
