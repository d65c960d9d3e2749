"""AdamW over two groups: matrices, which decay, and vectors, which do not."""

import torch
from torch import Tensor, nn

from core.training.options import TrainingSpec

MOMENTS = ("exp_avg", "exp_avg_sq", "step")
"""What AdamW keeps for each parameter."""


def build_optimizer(model: nn.Module, training: TrainingSpec) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019); weight decay on tensors of two or more dimensions."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {
            "params": [parameter for parameter in parameters if parameter.ndim >= 2],
            "weight_decay": training.weight_decay,
        },
        {
            "params": [parameter for parameter in parameters if parameter.ndim < 2],
            "weight_decay": 0.0,
        },
    ]
    optimizer = torch.optim.AdamW(
        groups,
        lr=training.learning_rate,
        betas=(training.adam_beta1, training.adam_beta2),
        eps=training.adam_epsilon,
        fused=True,
    )
    # AdamW itself would do so after the first step, in the holes that activations left between the
    # gradients; what then lives for the whole run cuts the memory into pieces (1.4 GB of 6.2 lost).
    for parameter in parameters:
        optimizer.state[parameter] = {
            "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
            "exp_avg": torch.zeros_like(parameter),
            "exp_avg_sq": torch.zeros_like(parameter),
        }
    return optimizer


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Sets the learning rate of all groups."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The state of the optimizer by `<parameter>:<moment>`, on the CPU."""
    return {
        f"{name}:{moment}": optimizer.state[parameter][moment].detach().cpu().contiguous()
        for name, parameter in model.named_parameters()
        if parameter in optimizer.state
        for moment in MOMENTS
    }


def load_optimizer_tensors(
    model: nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]
) -> None:
    """Puts back what `optimizer_tensors` gave.

    Raises:
        KeyError: If the state of a parameter is missing.
    """
    for name, parameter in model.named_parameters():
        optimizer.state[parameter] = {
            moment: tensors[f"{name}:{moment}"].to(parameter.device) for moment in MOMENTS
        }
