"""What an optimizer declares about itself, so that any of them can be clipped, guarded and resumed.

No torch: the API validates and estimates with these classes.
`core.training.optimizers.builders` creates what they describe.

A parameter group carries three keys of ours besides those of its optimizer:

| key | meaning |
| --- | --- |
| `lr_scale` | the group's learning rate as a multiple of `training.learning_rate` |
| `decay_scale` | the group's weight decay as a multiple of `training.weight_decay` |
| `state_names` | tensors that the optimizer keeps for each parameter, for resume points |
"""

from collections.abc import Callable
from dataclasses import dataclass

from core.archs import Architecture


@dataclass(frozen=True)
class OptimizerKind:
    """One optimizer that `training.optimizer` can name."""

    name: str
    description: str
    source: str
    """The paper or page that describes it."""
    applies_grad_scale: bool
    """Whether `step` itself divides gradients by its attribute `grad_scale` and leaves weights and
    state unchanged if its attribute `found_inf` is not zero. If not, the stepper multiplies the
    gradients and skips the step, for which it waits for the device."""
    num_state_elements: Callable[[Architecture, int], int]
    """Numbers in float32 that it keeps for a model, given the vocabulary size."""
