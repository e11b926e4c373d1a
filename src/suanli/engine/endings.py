"""Why a worker ended, in its owner's words. Pure."""

import re
import signal

from suanli.domain.workload import EndCause
from suanli.engine.messages import End
from suanli.engine.process import Exit

MIB = 2**20
KILLED = 128 + signal.SIGKILL
_DEVICE_OUT_OF_MEMORY = re.compile(
    r"OutOfMemoryError|(CUDA|HIP|NPU|XPU) out of memory|CUDA_ERROR_OUT_OF_MEMORY"
)


def end_of(exit_: Exit, *, node: str, memory_bytes: int | None, last_line: str) -> End:
    """`memory_bytes` is what it asked for, `last_line` the last of its log."""
    if exit_.failed:
        return End(EndCause.START_FAILED, None, exit_.failed)
    if exit_.cut_off:
        return End(EndCause.NODE_LOST, exit_.code, f"{node} was cut off from the cluster")
    if exit_.code == 0:
        return End(EndCause.SUCCEEDED, 0)
    if exit_.oom_kills:
        return out_of_memory(memory_bytes or 0, exit_.memory_peak_bytes)
    cause = EndCause.KILLED if exit_.code == KILLED else EndCause.FAILED
    if _DEVICE_OUT_OF_MEMORY.search(last_line):
        cause = EndCause.OUT_OF_MEMORY
    how = _how(exit_.code or 0)
    return End(cause, exit_.code, f"{how}; its last words: {last_line}" if last_line else how)


def out_of_memory(asked_bytes: int, used_bytes: int) -> End:
    sentence = f"it asked for {asked_bytes / MIB:,.0f} MiB of memory and used {used_bytes / MIB:,.0f} MiB"
    return End(EndCause.OUT_OF_MEMORY, KILLED, sentence)


def too_many_processes(most: int, had: int) -> End:
    return End(EndCause.FAILED, KILLED, f"it may have {most} processes and had {had}")


def _how(code: int) -> str:
    try:
        return f"killed by {signal.Signals(code - 128).name}" if code > 128 else f"exit code {code}"
    except ValueError:
        return f"exit code {code}"
