"""AdamW over two groups: matrices, which decay, and vectors, which do not."""

from typing import Any

import torch
from torch import Tensor, nn

from core.spec.training import TrainingSpec
from core.training.execution.compiled import HAS_TRITON

MOMENTS = ("exp_avg", "exp_avg_sq", "step")
"""What AdamW keeps for each parameter."""

LARGE = 1 << 23
"""Weights of a tensor that on a GPU is updated by a kernel of its own, which takes 10 microseconds
to launch; torch updates the others many at a time."""


class AdamW(torch.optim.AdamW):
    """Torch's fused AdamW, but for the large tensors on a GPU.

    As there, attributes say what all gradients are divided by, and whether to leave all alone.
    """

    grad_scale: Tensor | None = None
    found_inf: Tensor | None = None
    _decays: Tensor | None = None
    """(2,) float64, both betas on the device; the same for all groups."""

    def step(self, closure: Any = None) -> Any:  # Any: as torch has it
        """One update of all tensors that have a gradient."""
        groups, large = self.param_groups, []
        if self.found_inf is not None and HAS_TRITON:
            large = [[each for each in group["params"] if _is_large(each)] for group in groups]
        if not any(large):
            return super().step(closure)
        whole = [group["params"] for group in groups]
        try:
            for group, taken in zip(groups, large, strict=True):
                names = {id(each) for each in taken}
                group["params"] = [each for each in group["params"] if id(each) not in names]
            super().step(closure)
        finally:
            for group, params in zip(groups, whole, strict=True):
                group["params"] = params
        for group, taken in zip(groups, large, strict=True):
            if taken:
                self._update_large(group, taken)
        return None

    @torch.no_grad()
    def _update_large(self, group: dict[str, Any], params: list[nn.Parameter]) -> None:
        from core.training.kernels.adamw import update

        found_inf = self.found_inf
        assert found_inf is not None
        steps = [self.state[each]["step"] for each in params]
        torch._foreach_add_(steps, 1.0 - found_inf)
        if self._decays is None:  # a copy to the device, once
            self._decays = torch.tensor(
                group["betas"], dtype=torch.float64, device=found_inf.device
            )
        corrections = (1.0 - self._decays.pow(steps[0].double())).float()  # (2,)
        one = torch.ones_like(found_inf)
        for each in params:
            state, gradient = self.state[each], each.grad
            assert gradient is not None
            update(
                each,
                gradient,
                state["exp_avg"],
                state["exp_avg_sq"],
                corrections=corrections,
                grad_scale=one if self.grad_scale is None else self.grad_scale,
                found_inf=found_inf,
                rate=group["lr"],
                betas=group["betas"],
                epsilon=group["eps"],
                decay=group["weight_decay"],
            )


def _is_large(parameter: nn.Parameter) -> bool:
    gradient = parameter.grad
    if gradient is None or not parameter.is_cuda or parameter.numel() < LARGE:
        return False
    return parameter.is_contiguous() and gradient.is_contiguous()


def build_optimizer(model: nn.Module, training: TrainingSpec) -> AdamW:
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
    optimizer = AdamW(
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
