"""Two averages of the weights over a run.

One is the exponential moving average (EMA). The other is the mean of the weights at the ends of the
last epochs.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from core.events.types import AverageKind
from core.spec.plan import Plan
from core.spec.training import TrainingSpec


class WeightAverage(ABC):
    """An average of the trained weights, stored as float32 on the device.

    All ranks have equal weights and therefore equal averages.
    """

    file: ClassVar[str]
    """Name of the file in a resume point."""

    def __init__(self, model: nn.Module) -> None:
        self._names = [name for name, _ in model.named_parameters()]
        self._weights: list[Tensor] = [each.detach() for each in model.parameters()]
        self._averages = [each.clone() for each in self._weights]

    @abstractmethod
    def update(self, step: int) -> None:
        """Updates the average with the weights after a step, counted from 1."""

    @abstractmethod
    def is_meaningful(self, step: int) -> bool:
        """Whether the average after `step` should be validated."""

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
        save_file({name: each.cpu().contiguous() for name, each in tensors}, folder / self.file)

    def load(self, folder: Path) -> None:
        """Restores the averages that `save` wrote.

        Raises:
            FileNotFoundError, KeyError: If the file or the average of a weight is missing.
        """
        tensors = load_file(folder / self.file)
        for name, average in zip(self._names, self._averages, strict=True):
            average.copy_(tensors[name])

    def _move(self, weight: float) -> None:
        """Moves each average towards the weights by the fraction `weight` of the distance."""
        torch._foreach_lerp_(self._averages, self._weights, weight)

    def _swap(self) -> None:
        """Swaps the values in place, because a CUDA graph reads weights from fixed addresses."""
        for weight, average in zip(self._weights, self._averages, strict=True):
            kept = weight.clone()
            weight.copy_(average)
            average.copy_(kept)


class MovingAverage(WeightAverage):
    """Exponential moving average.

    The decay of step n is min(decay, (1 + n) / (10 + n)), as in TensorFlow's
    ExponentialMovingAverage, so that the influence of the random initial weights fades quickly.
    """

    file: ClassVar[str] = "average.safetensors"

    def __init__(self, model: nn.Module, *, decay: float) -> None:
        super().__init__(model)
        self._decay = decay

    def update(self, step: int) -> None:
        """Updates the averages with the weights after a step."""
        self._move(1.0 - min(self._decay, (1 + step) / (10 + step)))

    def is_meaningful(self, step: int) -> bool:
        """True after every step, because the average follows the weights."""
        del step
        return True


class EpochAverage(WeightAverage):
    """Mean of the weights at given steps, the ends of the last epochs.

    The method is "average of the last epochs' weights" in qlabs-eng/slowrun, a form of
    stochastic weight averaging (Izmailov et al. 2018).
    """

    file: ClassVar[str] = "epoch_average.safetensors"

    def __init__(self, model: nn.Module, *, steps: tuple[int, ...]) -> None:
        """Averages the weights after each of `steps`, which must be in ascending order."""
        super().__init__(model)
        self._steps = steps

    def update(self, step: int) -> None:
        """Includes the weights after `step` if `step` is one of the averaged steps."""
        if step in self._steps:
            self._move(1.0 / (self._steps.index(step) + 1))

    def is_meaningful(self, step: int) -> bool:
        """True as soon as the average includes the last of its steps."""
        return step >= self._steps[-1]


def build_averages(
    model: nn.Module, training: TrainingSpec, plan: Plan
) -> dict[AverageKind, WeightAverage]:
    """The averages that the spec requests, by the kind of checkpoint that publishes them."""
    averages: dict[AverageKind, WeightAverage] = {}
    if training.ema_decay is not None:
        averages["ema"] = MovingAverage(model, decay=training.ema_decay)
    if training.average_last_epochs is not None:
        steps = plan.last_epoch_ends(training.average_last_epochs)
        averages["average"] = EpochAverage(model, steps=steps)
    return averages
