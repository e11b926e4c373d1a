"""NVIDIA accelerators through NVML. A machine without a driver, or with a failing device, is no error here."""

import functools
import os
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
import pynvml

_T = TypeVar("_T")


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """One accelerator that this process may use. `index` is NVML's; `handle` its own and valid in this process."""

    index: int
    name: str
    uuid: str
    memory_bytes: int
    handle: Any


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """Use of one accelerator at an instant; None where the device doesn't tell."""

    fraction: float | None
    memory_bytes: int | None
    power_w: float | None


def devices() -> tuple[Device, ...]:
    """Those that CUDA_VISIBLE_DEVICES leaves to this process, in its order; all where it isn't set."""
    if not _initialised():
        return ()
    count = _ask(pynvml.nvmlDeviceGetCount) or 0
    found = [device for index in range(count) if (device := _device(index)) is not None]
    return _visible(found, os.environ.get("CUDA_VISIBLE_DEVICES"))


def read(device: Device) -> Reading:
    """What the device tells now."""
    utilisation = _ask(pynvml.nvmlDeviceGetUtilizationRates, device.handle)
    memory = _ask(pynvml.nvmlDeviceGetMemoryInfo, device.handle)
    power_mw = _ask(pynvml.nvmlDeviceGetPowerUsage, device.handle)
    return Reading(
        fraction=None if utilisation is None else float(utilisation.gpu) / 100,
        memory_bytes=None if memory is None else int(memory.used),
        power_w=None if power_mw is None else power_mw / 1000,
    )


@functools.cache
def _initialised() -> bool:
    """Once per process: NVML stays open as long as it is sampled, and a driver doesn't appear meanwhile."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return False
    return True


def _device(index: int) -> Device | None:
    handle = _ask(pynvml.nvmlDeviceGetHandleByIndex, index)
    memory = None if handle is None else _ask(pynvml.nvmlDeviceGetMemoryInfo, handle)
    if handle is None or memory is None:
        return None
    return Device(
        index=index,
        name=_ask(pynvml.nvmlDeviceGetName, handle) or "unknown",
        uuid=_ask(pynvml.nvmlDeviceGetUUID, handle) or "",
        memory_bytes=int(memory.total),
        handle=handle,
    )


def _visible(found: list[Device], mask: str | None) -> tuple[Device, ...]:
    """CUDA's rule: indices or beginnings of UUIDs; the first entry that matches nothing ends the list."""
    if mask is None:
        return tuple(found)
    chosen: list[Device] = []
    for entry in (part.strip() for part in mask.split(",")):
        match = [
            device
            for device in found
            if entry == str(device.index) or (entry.startswith("GPU-") and device.uuid.startswith(entry))
        ]
        if len(match) != 1:
            break
        chosen.extend(match)
    return tuple(chosen)


def _ask(question: Callable[..., _T], *arguments: Any) -> _T | None:
    try:
        return question(*arguments)
    except pynvml.NVMLError:
        return None
