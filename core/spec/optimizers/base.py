"""Descriptions of the optimizers. Gradient clipping, loss scaling and resuming rely on them.

This module does not import torch, because the API uses it to validate and estimate jobs.
`core.training.optimizers.builders` creates the optimizers.

A parameter group has two keys in addition to the options of its optimizer:

| key | meaning |
| --- | --- |
| `lr_scale` | the group's learning rate as a multiple of `training.learning_rate` |
| `state_names` | names of the state tensors of each parameter, which resume points save |
"""

from collections.abc import Callable
from dataclasses import dataclass

from core.archs import Architecture


@dataclass(frozen=True)
class OptimizerKind:
    """An optimizer that `training.optimizer` can name."""

    name: str
    description: str
    source: str
    """The paper or page that describes the optimizer."""
    applies_grad_scale: bool
    """Whether `step` divides gradients by its attribute `grad_scale` and leaves weights and state
    unchanged if its attribute `found_inf` is not zero. If False, the training loop scales the
    gradients and skips the step, which requires a device synchronization."""
    num_state_elements: Callable[[Architecture, int], int]
    """Returns the number of float32 elements of state, given a model and a vocabulary size."""
