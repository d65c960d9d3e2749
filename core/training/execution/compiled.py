"""Compiles the layers with torch.compile, which fuses elementwise operations.

Each layer is compiled separately. All layers of a kind share the compiled code, so the time to
compile does not depend on the number of layers. Only training passes on full micro-batches run
compiled. Validation, text samples and smaller micro-batches run in eager mode, because each of them
would need another compilation. Compiled code is kept in a persistent cache. Whether a pass runs
compiled does not depend on this cache, so an interrupted run continues with the same arithmetic,
even if the cache is empty.
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
"""Whether Triton, the compiler for GPUs, is installed. The CUDA builds of torch include it."""
COMPILERS = ("g++", "clang++", "c++")
CPUINFO = Path("/proc/cpuinfo")
CACHE_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"


def missing_compiler(device: torch.device) -> str | None:
    """The reason why torch.compile cannot work on this machine; None if it can work."""
    if device.type == "cuda":
        return None if HAS_TRITON else "triton is not installed"
    if os.environ.get("CXX") or any(shutil.which(name) for name in COMPILERS):
        return None
    return f"none of {', '.join(COMPILERS)} is on the PATH"


def compile_layers(model: PreTrainedModel, *, cache: Path | None) -> None:
    """Compiles each layer at its first call; results are cached in the folder `cache`."""
    if cache is not None:
        folder = cache / kind_of_node()
        folder.mkdir(parents=True, exist_ok=True)
        os.environ.setdefault(CACHE_VARIABLE, str(folder))
    for layer in model.model.layers:
        layer.compile(dynamic=False)


def kind_of_node(cpuinfo: Path = CPUINFO) -> str:
    """A hash of the CPU's instruction sets and the GPU's name.

    Compiled code depends on them and may crash on a host of another kind. The hash names a folder
    of the cache, so that hosts of different kinds can share the cache.
    """
    properties = [platform.machine()]
    with suppress(OSError):
        lines = cpuinfo.read_text().splitlines()
        properties += [line for line in lines if line.startswith(("flags", "Features"))][:1]
    if torch.cuda.is_available():
        properties.append(torch.cuda.get_device_name())
    return hashlib.sha256("\n".join(properties).encode()).hexdigest()[:12]


def uncompile_layers(model: PreTrainedModel) -> None:
    """Undoes `compile_layers`."""
    for layer in model.model.layers:
        layer._compiled_call_impl = None


def is_compiled(model: PreTrainedModel) -> bool:
    """Whether the layers are compiled."""
    return any(layer._compiled_call_impl is not None for layer in model.model.layers)


def outside_compilation(function: Callable[P, R]) -> Callable[P, R]:
    """Excludes a function from torch.compile.

    If it were compiled, torch would unroll its loops, or compile it again for new arguments.
    """
    disabled: Callable[P, R] = torch.compiler.disable(function)  # type: ignore[no-untyped-call]
    return disabled
