"""Device and precision of a run, and measurements of memory and speed."""

import contextlib
import ctypes
import logging
import resource
import time
from dataclasses import dataclass
from typing import Any

import psutil
import torch

from core.errors import DevicesMissing, PrecisionUnsupported
from core.spec.training import TrainingSpec

log = logging.getLogger(__name__)

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Parameters of glibc's mallopt(3), from malloc.h."""
PEAK_SIDES = (256, 512, 1024, 2048, 4096, 8192)
"""Sides of the square matrices that are multiplied to measure the peak rate. The first sides are
small, because a CPU without bf16 instructions takes 100 seconds to multiply bf16 matrices of side
2048."""
PEAK_SECONDS = 0.02
"""Duration of a matrix product in seconds. If a product takes longer, its rate is close to the peak
rate, so larger matrices are skipped."""
PEAK_PRODUCTS = 5
"""Number of products for each side. The fastest product counts, because other processes may slow
down some of them."""
RSS_UNIT_BYTES = 1024
"""Number of bytes in a kibibyte, the unit of `ru_maxrss` in getrusage(2) on Linux."""


@dataclass(frozen=True)
class Device:
    """A device and a precision that it supports."""

    torch_device: torch.device
    precision: str
    """fp32, bf16 or fp16."""

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the matrix products."""
        return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[
            self.precision
        ]

    @property
    def has_bf16_units(self) -> bool:
        """True if the device has bf16 instructions, so that bf16 is not slower than fp32."""
        return has_bf16_units(is_cuda=self.is_cuda)

    @property
    def is_cuda(self) -> bool:
        """True on a GPU."""
        return self.torch_device.type == "cuda"

    def autocast(self) -> contextlib.AbstractContextManager[Any]:  # as in torch
        """A context of mixed precision for a forward pass; no effect in fp32."""
        if self.precision == "fp32":
            return contextlib.nullcontext()
        return torch.autocast(self.torch_device.type, dtype=self.dtype)

    def put(self, array: Any) -> torch.Tensor:  # a numpy array of integers
        """The array as a tensor on the device; copied asynchronously to a GPU."""
        tensor = torch.from_numpy(array)
        if self.is_cuda:
            return tensor.pin_memory().to(self.torch_device, non_blocking=True)
        return tensor


def has_bf16_units(*, is_cuda: bool | None = None) -> bool:
    """True if the device has bf16 instructions.

    The device is a GPU if `is_cuda` is True, and the CPU if it is False. If `is_cuda` is None, the
    device is a GPU if this machine has one, else the CPU.
    """
    if torch.cuda.is_available() if is_cuda is None else is_cuda:
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def choose_device(training: TrainingSpec) -> Device:
    """The device and precision that the spec gives; for `auto`, the best that this machine has.

    Raises:
        PrecisionUnsupported: If the spec requires a GPU and this machine has none, or if the device
            does not support the precision.
        DevicesMissing: If there are fewer GPUs than `num_devices`.
    """
    has_cuda = torch.cuda.is_available()
    if training.device == "cuda" and not has_cuda:
        raise PrecisionUnsupported(
            "training.device is cuda, but this machine has no CUDA device",
            hint='Use "device": "auto", or run a worker on a machine with a GPU.',
        )
    use_cuda = has_cuda and training.device != "cpu"
    if use_cuda and torch.cuda.device_count() < training.num_devices:
        raise DevicesMissing(
            f"training.num_devices is {training.num_devices}, but only "
            f"{torch.cuda.device_count()} GPU(s) are visible to this run"
        )
    torch_device = torch.device("cuda" if use_cuda else "cpu")
    has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False) if use_cuda else True
    precision = training.precision
    if precision == "auto":
        precision = ("bf16" if has_bf16 else "fp16") if use_cuda else "fp32"
    if precision == "fp16" and not use_cuda:
        raise PrecisionUnsupported("training.precision is fp16, which needs a GPU; this is a CPU")
    if precision == "bf16" and not has_bf16:
        raise PrecisionUnsupported(f"{torch.cuda.get_device_name()} cannot compute in bf16")
    return Device(torch_device, precision)


def prepare(device: Device, training: TrainingSpec) -> None:
    """Sets the number of threads and the allocator. Call it once, before the first large tensor."""
    if training.num_threads is not None or training.num_devices > 1:
        threads = training.num_threads or torch.get_num_threads()
        torch.set_num_threads(max(1, threads // training.num_devices))
    if not device.is_cuda:
        keep_freed_memory()


def keep_freed_memory() -> None:
    """Makes glibc keep large freed blocks instead of returning them to the operating system.

    Activations are freed and allocated again in every step. By default, newly allocated memory
    causes a page fault for every 4 KiB. The page faults take 17 to 30 % of the time of a step on a
    CPU. If the C library is not glibc, this function does nothing.
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def measured_peak_flops(device: Device) -> float:
    """Floating-point operations per second of a large matrix product in the run's precision.

    The metric `throughput/mfu` gives the speed of training as a share of this rate. The rate is
    measured and not read from a table, because it depends on threads, clock rates and other
    processes. The measurement takes about 0.3 seconds.
    """
    best = 0.0
    for side in PEAK_SIDES:
        left = torch.randn(side, side, device=device.torch_device).to(device.dtype)
        seconds = min(_product_seconds(left, is_cuda=device.is_cuda) for _ in range(PEAK_PRODUCTS))
        best = max(best, 2.0 * side**3 / seconds)
        if seconds > PEAK_SECONDS:
            break
    return best


def _product_seconds(left: torch.Tensor, *, is_cuda: bool) -> float:
    began = time.perf_counter()
    left @ left
    if is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - began


def free_bytes(device: Device) -> int:
    """Bytes of free memory of the device."""
    if device.is_cuda:
        return int(torch.cuda.mem_get_info(device.torch_device)[0])
    return int(psutil.virtual_memory().available)


def memory_metrics(device: Device) -> dict[str, float]:
    """Current and peak memory in bytes by metric name, and the GPU's utilization and power."""
    resident = psutil.Process().memory_info().rss
    # Linux updates the peak less often than the current size, so the peak may be too low.
    peak = max(resident, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT_BYTES)
    metrics = {
        "memory/host_rss_bytes": float(resident),
        "memory/host_peak_bytes": float(peak),
    }
    if device.is_cuda:
        metrics |= {
            "memory/device_allocated_bytes": float(torch.cuda.memory_allocated()),
            "memory/device_reserved_bytes": float(torch.cuda.memory_reserved()),
            "memory/device_peak_bytes": float(torch.cuda.max_memory_allocated()),
        } | _nvml_metrics()
    return metrics


def _nvml_metrics() -> dict[str, float]:
    try:
        return {
            "device/utilization": torch.cuda.utilization() / 100.0,
            "device/power_watts": torch.cuda.power_draw() / 1000.0,
        }
    except (ModuleNotFoundError, RuntimeError) as error:
        log.debug("the driver reports no utilization: %s", error)
        return {}
