"""Lists the devices of this machine without torch."""

import logging
import os
import platform
from functools import cache
from typing import Any

log = logging.getLogger(__name__)

Device = dict[str, Any]
"""A JSON object with at least the keys index, name, kind and memory_bytes."""


def list_devices() -> list[Device]:
    """The GPUs that this process may use, or the CPU if there is none."""
    return _gpus() or [
        {
            "index": 0,
            "kind": "cpu",
            "name": platform.processor() or platform.machine(),
            "cores": len(os.sched_getaffinity(0)),
            "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        }
    ]


def num_gpus(devices: list[Device]) -> int:
    """The number of GPUs among the devices."""
    return sum(device["kind"] == "cuda" for device in devices)


def gpus_of_slot(devices: list[Device], slot: int, slots: int) -> list[int]:
    """Indices of the GPUs of a slot, which is a place for one running job.

    The slots divide the GPUs as evenly as possible. If there are more slots than GPUs, each slot
    has one GPU, which it may share with other slots. Without GPUs the list is empty.
    """
    gpus = [device["index"] for device in devices if device["kind"] == "cuda"]
    if slots >= len(gpus):
        return [gpus[slot % len(gpus)]] if gpus else []
    return gpus[slot * len(gpus) // slots : (slot + 1) * len(gpus) // slots]


@cache
def _driver() -> Any:  # Any, because the module has no types
    """NVIDIA's management library, or None without a driver.

    The library is initialized once. The worker lists its devices every few seconds; on a host with
    an H200, initializing the library each time took 7 % of a core.
    """
    try:
        import pynvml

        pynvml.nvmlInit()
    except ModuleNotFoundError:
        return None
    except pynvml.NVMLError as error:
        log.debug("no NVIDIA driver: %s", error)
        return None
    return pynvml


def _gpus() -> list[Device]:
    driver = _driver()
    if driver is None:
        return []
    try:
        return [_gpu(driver, index) for index in _visible(driver.nvmlDeviceGetCount())]
    except driver.NVMLError:
        _driver.cache_clear()  # the driver may have been reloaded: the next call initializes again
        raise


def _gpu(pynvml: Any, index: int) -> Device:  # Any, because the module has no types
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    use = pynvml.nvmlDeviceGetUtilizationRates(handle)
    return {
        "index": index,
        "kind": "cuda",
        "name": pynvml.nvmlDeviceGetName(handle),
        "memory_bytes": memory.total,
        "memory_used_bytes": memory.used,
        "utilization": use.gpu / 100.0,
        "temperature_celsius": pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU),
    }


def _visible(count: int) -> list[int]:
    """The indices in CUDA_VISIBLE_DEVICES; all if it is not set or an entry is not a number."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is None:
        return list(range(count))
    numbers = [part.strip() for part in chosen.split(",") if part.strip()]
    if not all(part.isdigit() for part in numbers):
        return list(range(count))
    return [int(part) for part in numbers if int(part) < count]
