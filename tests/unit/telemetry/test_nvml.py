"""NVML where it can't be had: the machine's own answer, and a stand-in for the driver's library."""

from collections.abc import Iterator
from types import SimpleNamespace

import pynvml
import pytest

from suanli.telemetry import nvml

GPUS = (("GPU-aaaa-1", "NVIDIA A100-SXM4-80GB"), ("GPU-bbbb-2", "NVIDIA H200"), ("GPU-bbcc-3", "NVIDIA H200"))


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """A driver with three GPUs, of which the second doesn't tell its power."""

    def power(handle: int) -> int:
        if handle == 1:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return 250_500

    answers = {
        "nvmlInit": lambda: None,
        "nvmlDeviceGetCount": lambda: len(GPUS),
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetName": lambda handle: GPUS[handle][1],
        "nvmlDeviceGetUUID": lambda handle: GPUS[handle][0],
        "nvmlDeviceGetMemoryInfo": lambda handle: SimpleNamespace(total=80 * 2**30, used=handle * 2**30),
        "nvmlDeviceGetUtilizationRates": lambda handle: SimpleNamespace(gpu=50 + handle),
        "nvmlDeviceGetPowerUsage": power,
    }
    for name, answer in answers.items():
        monkeypatch.setattr(pynvml, name, answer)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    nvml._initialised.cache_clear()
    yield monkeypatch
    nvml._initialised.cache_clear()


def test_without_a_driver_there_are_no_devices_and_no_error(monkeypatch: pytest.MonkeyPatch):
    def no_driver() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", no_driver)
    nvml._initialised.cache_clear()
    assert nvml.devices() == ()
    nvml._initialised.cache_clear()


def test_devices_come_with_name_memory_and_uuid(driver: pytest.MonkeyPatch):
    first, *others = nvml.devices()
    assert (first.index, first.name, first.uuid) == (0, "NVIDIA A100-SXM4-80GB", "GPU-aaaa-1")
    assert first.memory_bytes == 80 * 2**30
    assert len(others) == 2


@pytest.mark.parametrize(
    ("mask", "indices"),
    [
        ("2,0", [2, 0]),
        (" 1 , GPU-aaaa", [1, 0]),
        ("", []),
        ("-1", []),
        ("0,7,1", [0]),  # as CUDA does: nothing after the first that isn't there
        ("GPU-bb,0", []),  # two devices begin like that
        ("GPU-bbcc-3", [2]),
    ],
)
def test_cuda_visible_devices_is_respected(driver: pytest.MonkeyPatch, mask: str, indices: list[int]):
    driver.setenv("CUDA_VISIBLE_DEVICES", mask)
    assert [device.index for device in nvml.devices()] == indices


def test_a_device_that_cannot_be_opened_is_left_out(driver: pytest.MonkeyPatch):
    def only_the_last(index: int) -> int:
        if index < 2:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NO_PERMISSION)
        return index

    driver.setattr(pynvml, "nvmlDeviceGetHandleByIndex", only_the_last)
    assert [device.index for device in nvml.devices()] == [2]


def test_what_a_device_does_not_tell_is_none(driver: pytest.MonkeyPatch):
    telling, silent, _ = nvml.devices()
    assert nvml.read(telling) == nvml.Reading(fraction=0.5, memory_bytes=0, power_w=250.5)
    assert nvml.read(silent) == nvml.Reading(fraction=0.51, memory_bytes=2**30, power_w=None)
