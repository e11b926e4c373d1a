"""vLLM's command line, from the plan."""

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
            {"accelerators": 8, "nodes": 2, "leader": ("10.0.0.1", 2345)},
            ["--gpu-memory-utilization", "0.9", "--tensor-parallel-size", "8", "--pipeline-parallel-size", "2",
             "--distributed-executor-backend", "mp", "--nnodes", "2", "--node-rank", "0",
             "--master-addr", "10.0.0.1", "--master-port", "2345"],
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
