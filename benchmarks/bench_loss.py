"""The loss of the output layer: our chunked computation and liger-kernel's fused one, on a GPU.

Both compute the summed cross-entropy of N rows, and its gradients with respect to rows and weight,
in bf16 with the shapes of the `best-*` presets and of the upstream 100M presets. liger-kernel needs
Triton, so the benchmark needs a GPU. The package of liger-kernel must be importable: run
`pip install liger-kernel`, or on a machine without a network set PYTHONPATH to the folder FOLDER of
`pip install --target FOLDER --no-deps liger-kernel`.
"""

import time
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from statistics import median
from typing import Any

import torch
from torch import Tensor

from benchmarks.report import figure, note, wanted
from core.training.loss import LinearCrossEntropy

NAMES = ("loss/best-10m", "loss/best-100m", "loss/upstream-100m")
SHAPES = {  # rows, hidden size, vocabulary
    "loss/best-10m": (32_768, 512, 8_192),
    "loss/best-100m": (32_768, 768, 16_384),
    "loss/upstream-100m": (32_768, 768, 48_000),
}
ROUNDS = 20

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def run(only: str | None) -> None:
    for name in wanted(NAMES, only):
        if not torch.cuda.is_available():
            note(name, "skipped, because liger-kernel needs a GPU and there is none")
        elif find_spec("liger_kernel") is None:
            note(name, "skipped, because the package liger-kernel is not installed")
        else:
            compare(name)


def compare(name: str) -> None:
    """Measures both functions in turn, after one untimed round, and compares their results."""
    num_rows, hidden_size, vocab_size = SHAPES[name]
    torch.manual_seed(0)
    options: dict[str, Any] = {"device": "cuda", "dtype": torch.bfloat16}  # keywords of torch
    rows = torch.randn(num_rows, hidden_size, **options).requires_grad_()
    weight = (torch.randn(vocab_size, hidden_size, **options) * 0.02).requires_grad_()
    targets = torch.randint(vocab_size, (num_rows,), device="cuda")
    fused = import_module("liger_kernel.transformers").LigerFusedLinearCrossEntropyLoss(
        reduction="sum"
    )
    ways: dict[str, Loss] = {
        "ours": ours,
        "liger": lambda rows, weight, targets: fused(weight, rows, targets),
    }
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    losses, peaks = {}, {}
    for _ in range(ROUNDS + 1):
        for way, loss in ways.items():
            rows.grad = weight.grad = None
            torch.cuda.reset_peak_memory_stats()
            torch.cuda.synchronize()
            began = time.perf_counter()
            result = loss(rows, weight, targets)
            result.backward()  # type: ignore[no-untyped-call]
            torch.cuda.synchronize()
            seconds[way].append(time.perf_counter() - began)
            losses[way], peaks[way] = result.item(), torch.cuda.max_memory_allocated()
    mine, theirs = (median(seconds[way][1:]) for way in ways)
    figure(name, "seconds", mine, "s", "liger", theirs / mine)
    figure(name, "peak_memory", peaks["ours"], "byte", "liger", peaks["liger"] / peaks["ours"])
    figure(name, "relative_difference", abs(losses["ours"] / losses["liger"] - 1.0), "1")


def ours(rows: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """The loss of this project, with gradients."""
    loss: Tensor = LinearCrossEntropy.apply(rows, weight, targets, None, 0.0, True)[0]  # type: ignore[no-untyped-call]
    return loss
