"""The command that serves a model with vLLM, whose environment is its own: Suanli only writes its arguments.

Flags as in vLLM's `vllm serve --help` (docs.vllm.ai, "Engine Arguments").
"""

from typing import Literal

import msgspec

Quantization = Literal[
    "fp8", "awq", "gptq", "gptq_marlin", "awq_marlin", "compressed-tensors", "bitsandbytes"
]
ENTIRE_CARD = 0.9
"""The part of a whole accelerator's memory that vLLM may take: its own default, as the rest goes to CUDA's graphs."""


class VllmPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What the plan says of the process on one node of a replica. `accelerators` are per node; `accelerator_share` is
    its part of each of them, below 1 where several services share one. The `nodes` in a row hold consecutive layers
    (pipeline parallel); they meet at `leader`, the address and a port of node 0, which alone answers requests.
    """

    model_dir: str
    served_name: str
    port: int
    host: str = "127.0.0.1"
    accelerators: int = 1
    nodes: int = 1
    node: int = 0
    leader: tuple[str, int] = ("127.0.0.1", 29500)
    accelerator_share: float = 1.0
    quantization: str | None = None
    context_max: int | None = None
    batch_max: int | None = None
    embeddings: bool = False


def vllm_argv(plan: VllmPlan) -> list[str]:
    """The command line. Tensor parallel over a node's accelerators, pipeline parallel over nodes."""
    argv = ["vllm", "serve", plan.model_dir, "--served-model-name", plan.served_name]
    argv += ["--host", plan.host, "--port", str(plan.port), "--load-format", "safetensors"]
    argv += ["--gpu-memory-utilization", f"{ENTIRE_CARD * plan.accelerator_share:.3g}"]
    if plan.accelerators > 1:
        argv += ["--tensor-parallel-size", str(plan.accelerators)]
    if plan.nodes > 1:
        host, port = plan.leader
        argv += ["--pipeline-parallel-size", str(plan.nodes), "--distributed-executor-backend", "mp"]
        argv += ["--nnodes", str(plan.nodes), "--node-rank", str(plan.node)]
        argv += ["--master-addr", host, "--master-port", str(port)]
    if plan.node:
        argv += ["--headless"]
    if plan.quantization:
        argv += ["--quantization", plan.quantization]
    if plan.context_max:
        argv += ["--max-model-len", str(plan.context_max)]
    if plan.batch_max:
        argv += ["--max-num-seqs", str(plan.batch_max)]
    if plan.embeddings:
        argv += ["--runner", "pooling"]
    return argv
