"""What a replica of a model runs: the command of its runtime. Pure."""

from suanli.domain.resources import Share
from suanli.domain.workload import Workload

PYTHON = "python"
"""The interpreter of the node on which it starts, first in a worker's PATH."""


def runtime_argv(workload: Workload, share: Share) -> tuple[str, ...]:
    """The command line for a workload with a runtime; its port and its model's folder come by the environment.

    `share` is what the replica holds on its first node.
    """
    service = workload.service
    assert service is not None
    assert service.runtime is not None
    runtime = service.runtime
    words = [PYTHON, "-P", "-m", "suanli.serving.runtime", "--runtime", runtime.name, "--name", workload.name]
    options = {
        "--task": runtime.task,
        "--code": runtime.code,
        "--device": "cuda" if share.accelerator else "",
        "--batch-max": runtime.batch_max,
        "--batch-wait": None if runtime.batch_wait_s is None else f"{runtime.batch_wait_s * 1000:g}ms",
        "--latency-max": None if runtime.latency_max_s is None else f"{runtime.latency_max_s * 1000:g}ms",
        "--context-max": runtime.context_max,
        "--memory-max": share.memory_bytes // workload.workers_per_node or None,
        "--quantization": runtime.quantization,
    }
    for name, value in options.items():
        if value not in (None, ""):
            words += [name, str(value)]
    return tuple(words)
