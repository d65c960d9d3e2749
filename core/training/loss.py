"""The loss of a micro-batch, computed in chunks so that the full logits are never materialized.

The output layer of a small model takes as much time as all other layers. With V = 32000, the logits
of 32 sequences of 256 tokens take 1 GB, and their gradients another 1 GB. So the forward pass
computes the loss and its gradients together, for a chunk of rows at a time. Wijmans et al. 2024
("Cut Your Losses") and Hsu et al. 2024 ("Liger Kernel") do the same in one kernel.

Shapes: B sequences, T tokens, N = B T rows, C rows of a chunk, c rows that one softmax call
processes, D hidden size, V vocabulary.
"""

from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from core.dataset.batches import IGNORED
from core.spec.estimate import CHUNK_ELEMENTS
from core.training.execution.compiled import HAS_TRITON
from core.training.model.attention.select import attention_mask_arguments

CHUNK_ROWS = 64
"""The number of rows of a chunk is a multiple of this number. In bf16 on a CPU, matrix products
with other numbers of rows take up to seven times longer."""
CACHED_ELEMENTS = 1 << 18
"""Number of logits that one softmax call processes on a CPU. The logits and their copies fit into a
cache of 4 MiB."""
SIGMOID_SCALE = 4.0
"""The factor 4 in the derivative of tanh(x), which is 4 s (1 - s) with s = sigmoid(2 x)."""


def summed_loss(
    model: PreTrainedModel, inputs: Tensor, targets: Tensor, segments: Tensor | None = None
) -> Tensor:
    """The cross-entropy of the targets in nats, summed.

    Args:
        model: A causal language model with a body `model.model` and an output layer `lm_head`.
        inputs: (B, T) int64.
        targets: (B, T) int64; -100 is ignored.
        segments: (B, T) integers; a token attends only to its own segment. If None, a token
            attends to all earlier tokens.

    Returns:
        A scalar, float32 (float64 for a float64 model).
    """
    objective, _ = objective_and_loss(model, inputs, targets, segments, z_loss_coefficient=0.0)
    return objective


def objective_and_loss(
    model: PreTrainedModel,
    inputs: Tensor,
    targets: Tensor,
    segments: Tensor | None,
    *,
    z_loss_coefficient: float,
) -> tuple[Tensor, Tensor]:
    """The objective of training, and the cross-entropy alone.

    The objective is the cross-entropy plus the z-loss, which is `z_loss_coefficient` times log(Z)^2
    for each target. Z is the sum of exp of the logits (Chowdhery et al. 2022, "PaLM", section 5).
    The other arguments are those of `summed_loss`.

    Returns:
        Two scalars, summed over the targets; the second has no gradient.
    """
    hidden = _hidden(model, inputs, segments)  # (B, T, D)
    cap = getattr(model.config, "final_logit_softcapping", None)
    rows = hidden.flatten(0, 1)  # (N, D)
    objective, loss = LinearCrossEntropy.apply(  # type: ignore[no-untyped-call]
        rows,
        model.lm_head.weight,
        targets.flatten(),
        cap,
        z_loss_coefficient,
        torch.is_grad_enabled(),
    )
    return objective, loss


@torch.no_grad()
def token_losses(
    model: PreTrainedModel, inputs: Tensor, targets: Tensor, segments: Tensor | None = None
) -> Tensor:
    """(B, T) cross-entropy of each target; 0 if a target is ignored.

    The arguments are those of `summed_loss`.
    """
    hidden = _hidden(model, inputs, segments)  # (B, T, D)
    cap = getattr(model.config, "final_logit_softcapping", None)
    losses = hidden.new_empty(
        targets.numel(), dtype=torch.promote_types(hidden.dtype, torch.float32)
    )  # (N,)
    _sweep(
        hidden.flatten(0, 1),
        model.lm_head.weight,
        targets.flatten(),
        cap,
        needs_grad=False,
        row_losses=losses,
    )
    return losses.view(targets.shape)  # (B, T)


def _hidden(model: PreTrainedModel, inputs: Tensor, segments: Tensor | None) -> Tensor:
    """(B, T, D) input of the output layer."""
    masks = attention_mask_arguments(model, inputs, segments)
    hidden: Tensor = model.model(input_ids=inputs, use_cache=False, **masks).last_hidden_state
    return hidden


class LinearCrossEntropy(torch.autograd.Function):
    """The summed cross-entropy of `targets`, plus the summed z-loss (see `objective_and_loss`).

    The logits are `cap * tanh(rows @ weight.T / cap)`, or `rows @ weight.T` if `cap` is None. The
    forward pass also computes the gradients.
    """

    @staticmethod
    def forward(
        ctx: Any,  # Any, because torch does not type its context
        rows: Tensor,
        weight: Tensor,
        targets: Tensor,
        cap: float | None,
        z_loss_coefficient: float,
        needs_grad: bool,
    ) -> tuple[Tensor, Tensor]:
        """The two scalars of `objective_and_loss`.

        Takes rows (N, D), weight (V, D) and targets (N,) int64.

        `needs_grad` is an argument because `torch.is_grad_enabled` is always False here.
        """
        total, z_loss, gradients = _sweep(
            rows,
            weight,
            targets,
            cap,
            z_loss_coefficient=z_loss_coefficient,
            needs_grad=needs_grad,
        )
        if gradients is not None:
            grad_rows, grad_weight = gradients
            ctx.save_for_backward(grad_rows.to(rows.dtype), grad_weight.to(weight.dtype))
            ctx.scale = 1.0 if cap is None else SIGMOID_SCALE
        ctx.mark_non_differentiable(total)
        return total + z_loss_coefficient * z_loss, total

    @staticmethod
    def backward(
        ctx: Any,  # Any, because torch does not type its context
        upstream: Tensor,
        _: Tensor,
    ) -> tuple[Tensor, Tensor, None, None, None, None]:
        """The gradients from the forward pass, multiplied by the upstream gradient."""
        grad_rows, grad_weight = ctx.saved_tensors
        upstream = upstream * ctx.scale
        # In place: no other reference exists, and a copy would be the largest tensor of the step.
        grad_weight.mul_(upstream)
        return grad_rows * upstream.to(grad_rows.dtype), grad_weight, None, None, None, None


def _sweep(
    rows: Tensor,
    weight: Tensor,
    targets: Tensor,
    cap: float | None,
    *,
    z_loss_coefficient: float = 0.0,
    needs_grad: bool,
    row_losses: Tensor | None = None,
) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor] | None]:
    """Summed loss, summed log(Z)^2, and (if needed) the gradients of rows (N, D) and weight (V, D).

    The loss of each row is written to `row_losses` (N,), if it is given.
    """
    device = rows.device.type
    compute_dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
    rows_used, weight_used = rows.to(compute_dtype), weight.to(compute_dtype)
    accum_dtype = torch.promote_types(rows_used.dtype, torch.float32)
    total, z_loss = (torch.zeros((), dtype=accum_dtype, device=rows.device) for _ in range(2))
    grad_rows = torch.empty_like(rows_used) if needs_grad else None  # (N, D)
    grad_weight = (
        torch.zeros(weight.shape, dtype=accum_dtype, device=rows.device) if needs_grad else None
    )
    size = max(1, CHUNK_ELEMENTS[device] // weight.shape[0] // CHUNK_ROWS) * CHUNK_ROWS
    nothing = rows_used.new_empty(1)
    with torch.autocast(device, enabled=False):
        for begin in range(0, rows.shape[0], size):
            part = slice(begin, begin + size)
            logits = torch.addmm(  # (C, V)
                nothing,
                rows_used[part],
                weight_used.T,
                beta=0.0,
                alpha=2.0 / cap if cap else 1.0,
            )
            loss, squares = _loss_and_gradient(
                logits,
                targets[part],
                cap,
                z_loss_coefficient,
                needs_grad=needs_grad,
                row_losses=None if row_losses is None else row_losses[part],
            )
            total += loss
            z_loss += squares
            if grad_rows is not None and grad_weight is not None:
                torch.mm(logits, weight_used, out=grad_rows[part])
                _add_product(grad_weight, logits.T, rows_used[part])
    if grad_rows is None or grad_weight is None:
        return total, z_loss, None
    return total, z_loss, (grad_rows, grad_weight)


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """Adds left (V, C) times right (C, D) to the total (V, D), which may have a wider dtype."""
    if left.dtype == total.dtype:
        total.addmm_(left, right)
    elif total.is_cuda:  # accumulates in the wider dtype without materializing the product
        torch.addmm(total, left, right, out_dtype=total.dtype, out=total)
    else:
        total += left @ right


def _loss_and_gradient(
    logits: Tensor,
    targets: Tensor,
    cap: float | None,
    z_loss_coefficient: float,
    *,
    needs_grad: bool,
    row_losses: Tensor | None,
) -> tuple[Tensor, Tensor | float]:
    """Summed loss and log(Z)^2 of a chunk; overwrites the logits (C, V) with their gradient.

    On a CPU the function processes a few rows at a time, which stay in the cache. On a GPU with
    Triton it is one kernel. With a cap, the input logits are 2 / cap times the product of the rows
    and the weight, and the output is a quarter of the gradient with respect to this product.
    log(Z)^2 is 0 if the coefficient is 0. If `needs_grad` is False, the kernel leaves the logits
    unchanged. Without the kernel, the logits are always overwritten.
    """
    if logits.is_cuda and HAS_TRITON:
        from core.training.kernels.loss import loss_and_gradient

        return loss_and_gradient(
            logits,
            targets,
            cap,
            z_loss_coefficient,
            ignored=IGNORED,
            needs_grad=needs_grad,
            row_losses=row_losses,
        )
    count, vocabulary = logits.shape
    accum_dtype = torch.promote_types(logits.dtype, torch.float32)
    total, squares = (torch.zeros((), dtype=accum_dtype, device=logits.device) for _ in range(2))
    size = max(1, CACHED_ELEMENTS // vocabulary) if logits.device.type == "cpu" else count
    for begin in range(0, count, size):
        part = slice(begin, begin + size)
        losses, square = _softmax_loss(logits[part], targets[part], cap, z_loss_coefficient)
        if row_losses is not None:
            row_losses[part] = losses
        total += losses.sum()
        squares += square
    return total, squares


def _softmax_loss(
    part: Tensor, targets: Tensor, cap: float | None, z_loss_coefficient: float
) -> tuple[Tensor, Tensor | float]:
    """(c,) losses and summed log(Z)^2 of (c, V) logits, which are overwritten by the gradient.

    See `_loss_and_gradient`. The capped logit is `cap * tanh(x / cap)`. With
    s = sigmoid(2 x / cap), it equals `2 * cap * s - cap`, and its derivative is 4 s (1 - s). The
    softmax does not change if `cap` is added to all logits, so it is computed from `2 * cap * s`.
    The function therefore needs only a sigmoid. On a CPU, a tanh takes twice as long. Tensors are
    overwritten as soon as they are no longer needed, because the computation is memory-bound on a
    CPU.
    """
    counted = targets != IGNORED  # (c,)
    chosen = targets.where(counted, 0)[:, None]  # (c, 1)
    scores = part.to(torch.promote_types(part.dtype, torch.float32))  # (c, V), may alias part
    sigmoid = None
    if cap is not None:
        sigmoid = scores.sigmoid_()
        scores = sigmoid * (2.0 * cap)
    largest, own = scores.amax(dim=1), scores.gather(1, chosen).squeeze(1)  # (c,) both
    softmax = torch.softmax(scores, dim=1, out=None if scores.is_cuda else scores)  # (c, V)
    # The largest entry of the softmax is exp(max - log sum exp), so its logarithm gives log sum exp
    # without a second pass of exp.
    normaliser = largest - softmax.amax(dim=1).log()  # (c,)
    losses = (normaliser - own) * counted  # (c,)
    squares: Tensor | float = 0.0
    if z_loss_coefficient:
        log_z = normaliser if cap is None else normaliser - cap  # (c,)
        squares = (log_z.square() * counted).sum()
        softmax.mul_(1.0 + 2.0 * z_loss_coefficient * log_z[:, None])
    softmax.scatter_add_(1, chosen, softmax.new_full(chosen.shape, -1.0))
    # Targets are rarely ignored. On a CPU, the check costs nothing, and the product is usually
    # skipped. On a GPU, the check would wait for the device.
    if softmax.is_cuda or not counted.all():
        softmax.mul_(counted[:, None])
    if sigmoid is not None:
        softmax = sigmoid.addcmul_(sigmoid, sigmoid, value=-1.0).mul_(softmax)
    if softmax.data_ptr() != part.data_ptr():
        part.copy_(softmax)
    return losses, squares
