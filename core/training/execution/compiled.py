"""Fusing the elementwise part of each layer through torch.compile, with a cache that persists.

One layer is compiled, not the model: all layers of a kind share the result, so that compiling takes
seconds whatever the depth. What is compiled is the training step on micro-batches of one shape;
validation, sampling and the shorter last batch of an epoch run as they are written, because each
would be compiled anew. Which of them runs is a function of the step, never of the clock, so an
interrupted run goes on with the same arithmetic, whether the cache is warm or cold.
"""

import hashlib
import importlib.util
import os
import platform
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import ParamSpec, TypeVar

import torch
from transformers import PreTrainedModel

P = ParamSpec("P")
R = TypeVar("R")

HAS_TRITON = importlib.util.find_spec("triton") is not None
"""What compiles for a GPU, our own kernels too; it comes with torch's builds for CUDA."""
COMPILERS = ("g++", "clang++", "c++")
CPUINFO = Path("/proc/cpuinfo")
CACHE_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"


def missing_compiler(device: torch.device) -> str | None:
    """What torch.compile would need on this machine and does not find; None if all is there."""
    if device.type == "cuda":
        return None if HAS_TRITON else "triton is not installed"
    if os.environ.get("CXX") or any(shutil.which(name) for name in COMPILERS):
        return None
    return f"none of {', '.join(COMPILERS)} is on the PATH"


def compile_layers(model: PreTrainedModel, *, cache: Path | None) -> None:
    """Marks the layers for compilation at their first call; results are kept in `cache`."""
    if cache is not None:
        folder = cache / kind_of_node()
        folder.mkdir(parents=True, exist_ok=True)
        os.environ.setdefault(CACHE_VARIABLE, str(folder))
    for layer in model.model.layers:
        layer.compile(dynamic=False)


def kind_of_node(cpuinfo: Path = CPUINFO) -> str:
    """What compiled code depends on: the CPU's instructions and the GPU's name.

    Hosts of several kinds may share the cache, and code for one may be illegal on another.
    """
    components = [platform.machine()]
    with suppress(OSError):
        lines = cpuinfo.read_text().splitlines()
        components += [line for line in lines if line.startswith(("flags", "Features"))][:1]
    if torch.cuda.is_available():
        components.append(torch.cuda.get_device_name())
    return hashlib.sha256("\n".join(components).encode()).hexdigest()[:12]


def uncompile_layers(model: PreTrainedModel) -> None:
    """Undoes `compile_layers`."""
    for layer in model.model.layers:
        layer._compiled_call_impl = None


def is_compiled(model: PreTrainedModel) -> bool:
    """Whether `compile_layers` was the last of the two."""
    return any(layer._compiled_call_impl is not None for layer in model.model.layers)


def outside_compilation(function: Callable[P, R]) -> Callable[P, R]:
    """Keeps torch.compile out of a function: its loops would be unrolled, its sizes vary."""
    disabled: Callable[P, R] = torch.compiler.disable(function)  # type: ignore[no-untyped-call]
    return disabled
