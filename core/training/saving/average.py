"""Exponential moving average (EMA) of the weights."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

AVERAGE_FILE = "average.safetensors"


class WeightAverage:
    """Exponential moving average of the trained weights, stored as float32 on the device.

    The decay of step n is min(decay, (1 + n) / (10 + n)), as in TensorFlow's
    ExponentialMovingAverage, so that the influence of the random initial weights fades quickly. All
    ranks (processes of the run) have equal weights and therefore equal averages.
    """

    def __init__(self, model: nn.Module, *, decay: float) -> None:
        self._decay = decay
        self._names = [name for name, _ in model.named_parameters()]
        self._weights: list[Tensor] = [each.detach() for each in model.parameters()]
        self._averages = [each.clone() for each in self._weights]

    def update(self, step: int) -> None:
        """Updates the averages with the weights after a step, counted from 1."""
        decay = min(self._decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._averages, self._weights, 1.0 - decay)

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """A context in which the model has the averaged weights instead of its own."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def save(self, folder: Path) -> None:
        """Writes the averages for a resume point."""
        tensors = zip(self._names, self._averages, strict=True)
        save_file({name: each.cpu().contiguous() for name, each in tensors}, folder / AVERAGE_FILE)

    def load(self, folder: Path) -> None:
        """Restores the averages that `save` wrote.

        Raises:
            FileNotFoundError, KeyError: If the file or the average of a weight is missing.
        """
        tensors = load_file(folder / AVERAGE_FILE)
        for name, average in zip(self._names, self._averages, strict=True):
            average.copy_(tensors[name])

    def _swap(self) -> None:
        """Swaps the values in place, because a CUDA graph reads weights from fixed addresses."""
        for weight, average in zip(self._weights, self._averages, strict=True):
            kept = weight.clone()
            weight.copy_(average)
            average.copy_(kept)
