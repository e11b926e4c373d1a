"""How much of its accelerators one worker uses, by NVML. Nothing where there is none."""

import functools
from collections.abc import Collection, Sequence

import pynvml


def usage(devices: Sequence[int], pids: Collection[int]) -> tuple[float | None, int | None]:
    """(mean utilisation of the devices, bytes of their memory that these processes hold); None: not measurable.

    Within a container NVML may name processes as the host does; where it knows none of `pids`, all of them count.
    """
    if not devices or not _initialised():
        return None, None
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in devices]
        percents = [int(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu) for handle in handles]
        held = [
            (int(process.pid), int(process.usedGpuMemory or 0))
            for handle in handles
            for process in pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
        ]
    except pynvml.NVMLError:
        return None, None
    ours = [memory_bytes for pid, memory_bytes in held if pid in pids]
    return sum(percents) / len(percents) / 100, sum(ours or [memory_bytes for _, memory_bytes in held])


@functools.cache
def _initialised() -> bool:
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return False
    return True
