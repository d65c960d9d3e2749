"""Muon, an optimizer for the matrices of the layers: momentum with orthogonalized updates.

Shapes: N matrices of one shape, E experts, R rows, C columns.
"""

from collections import defaultdict
from math import sqrt
from typing import Any

import torch
from torch import Tensor, nn

from core.spec.training import TrainingSpec
from core.training.optimizers.fused_adamw import AdamW, build_adamw

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Coefficients of the Newton-Schulz iteration (Jordan et al. 2024, "Tuning the coefficients")."""
ITERATIONS = 5
"""Number of Newton-Schulz iterations (Jordan et al. 2024, and the default of torch.optim.Muon)."""
EPSILON = 1e-7
"""Lower bound of the norm by which a matrix is divided (torch.optim.Muon)."""
STATE_NAMES = ("momentum_buffer",)


class Muon(torch.optim.Optimizer):
    """Muon for the last parameter group, and AdamW for the other groups.

    Applies `grad_scale` and `found_inf` without a device synchronization. Matrices of the same
    shape are updated together. An expert weight of shape (E, in, out) counts as E matrices.
    """

    grad_scale: Tensor | None = None
    found_inf: Tensor | None = None
    _step_supports_amp_scaling = True
    """An attribute that torch's GradScaler reads. If it is True, GradScaler sets `grad_scale` and
    `found_inf`, and does not skip steps itself."""

    def __init__(self, adamw: AdamW, matrices: list[nn.Parameter], **options: float) -> None:
        group = {"params": matrices, "lr_scale": 1.0} | options
        group["state_names"] = STATE_NAMES
        super().__init__([*adamw.param_groups, group], {})
        self._adamw = adamw
        # The groups are shared, so `set_learning_rate` also sets the rates of the inner AdamW.
        self.param_groups[:-1] = adamw.param_groups
        self.state.update(adamw.state)
        adamw.state = self.state
        for parameter in matrices:  # allocated eagerly: see `build_adamw`
            self.state[parameter] = {"momentum_buffer": torch.zeros_like(parameter)}

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:  # as in torch
        """Updates all parameters that have a gradient."""
        assert closure is None
        self._adamw.grad_scale, self._adamw.found_inf = self.grad_scale, self.found_inf
        self._adamw.step()
        group = self.param_groups[-1]
        by_shape: dict[torch.Size, list[nn.Parameter]] = defaultdict(list)
        for parameter in group["params"]:
            if parameter.grad is not None:
                by_shape[parameter.shape].append(parameter)
        for parameters in by_shape.values():
            self._update(parameters, group)

    def _update(self, parameters: list[nn.Parameter], group: dict[str, Any]) -> None:
        """Updates N matrices of the same shape."""
        gradients = torch.stack(
            [each.grad for each in parameters if each.grad is not None]
        )  # (N, R, C) or (N, E, R, C)
        applied = gradients.new_ones(())  # 0 if the update is skipped
        if self.grad_scale is not None:
            gradients.div_(self.grad_scale)
        if self.found_inf is not None:
            applied = applied - self.found_inf
            gradients = gradients.where(applied != 0, 0.0)
        momenta = [self.state[each]["momentum_buffer"] for each in parameters]
        for momentum, gradient in zip(momenta, gradients.unbind(), strict=True):
            momentum.lerp_(gradient, applied * (1.0 - group["momentum"]))
        update = gradients.lerp_(torch.stack(momenta), group["momentum"])  # Nesterov
        update = orthogonalize(update.flatten(0, -3)).view_as(gradients)
        scale = group["lr"] * _shape_scale(parameters[0])
        decay = 1.0 - applied * (group["lr"] * group["weight_decay"])
        weights: list[Tensor] = list(parameters)
        torch._foreach_mul_(weights, decay)
        torch._foreach_add_(weights, (update * (applied * -scale)).unbind())


def orthogonalize(matrices: Tensor) -> Tensor:
    """Replaces the singular values of (N, R, C) matrices by values near 1.

    The function runs `ITERATIONS` Newton-Schulz iterations (Jordan et al. 2024). On a GPU it
    computes in bf16, as Jordan et al. do. On a CPU it computes in the dtype of the input, because
    bf16 products are slow on a CPU without bf16 instructions.
    """
    a, b, c = COEFFICIENTS
    is_tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if is_tall else matrices  # (N, r, c) with r <= c
    if x.is_cuda:
        x = x.bfloat16()
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=EPSILON)
    for _ in range(ITERATIONS):
        gram = x @ x.mT  # (N, r, r)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if is_tall else x).to(matrices.dtype)


def _shape_scale(parameter: nn.Parameter) -> float:
    """The factor sqrt(max(1, outputs / inputs)) of an update.

    With this factor, updates of all shapes change activations equally (Jordan et al. 2024;
    torch.optim.Muon has the same factor). The weight of a linear layer has the shape (out, in). The
    weight of experts in transformers has the shape (E, in, out).
    """
    outputs, inputs = parameter.shape[-2:]
    if parameter.ndim > 2:
        outputs, inputs = inputs, outputs
    return sqrt(max(1.0, outputs / inputs))


def build_muon(model: nn.Module, training: TrainingSpec) -> Muon:
    """Muon for all matrices of the model's layers, with AdamW for the other parameters.

    The other parameters include the embeddings and the output layer (Jordan et al. 2024, "Empirical
    considerations").
    """
    layers = model.model.layers.parameters()  # type: ignore[union-attr]
    matrices = [each for each in layers if each.ndim >= 2 and each.requires_grad]
    taken = {id(each) for each in matrices}
    others = [each for each in model.parameters() if each.requires_grad and id(each) not in taken]
    return Muon(
        build_adamw(others, training),
        matrices,
        lr=training.muon_learning_rate,
        lr_scale=training.muon_learning_rate / training.learning_rate,
        weight_decay=training.weight_decay,
        momentum=training.muon_momentum,
    )
