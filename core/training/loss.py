"""The loss of a micro-batch, without ever holding the logits of all its tokens.

The output layer of a small model is as dear as all its layers: with V = 32000 the logits of
32 sequences of 256 tokens take 1 GB, and as much again for their gradients. So the loss and its
gradients are formed together, some rows at a time, in the forward pass (Wijmans et al. 2024,
"Cut Your Losses", and Liger Kernel, Hsu et al. 2024, do so in one kernel).

Letters: B sequences, T tokens, N = B T rows, C rows of a chunk, D hidden size, V vocabulary.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel

CHUNK_ELEMENTS = 1 << 25
"""Logits held at once: 128 MiB in float32, enough rows for the products to run at full speed."""
IGNORED = -100


def summed_loss(model: PreTrainedModel, inputs: Tensor, targets: Tensor) -> Tensor:
    """The cross-entropy of each target given the tokens before it, summed, in nats.

    Args:
        model: A causal language model with a body `model.model` and an output layer `lm_head`.
        inputs: (B, T) int64.
        targets: (B, T) int64; -100 does not count.

    Returns:
        A scalar, float32 (float64 for a float64 model).
    """
    hidden = model.model(input_ids=inputs, use_cache=False).last_hidden_state  # (B, T, D)
    cap = getattr(model.config, "final_logit_softcapping", None)
    rows = hidden.flatten(0, 1)  # (N, D)
    loss: Tensor = LinearCrossEntropy.apply(  # type: ignore[no-untyped-call]
        rows, model.lm_head.weight, targets.flatten(), cap
    )
    return loss


class LinearCrossEntropy(torch.autograd.Function):
    """sum of cross_entropy(cap tanh(rows weight^T / cap), targets), gradients formed on the way."""

    @staticmethod
    def forward(
        ctx: Any,  # Any: torch gives its context no type
        rows: Tensor,
        weight: Tensor,
        targets: Tensor,
        cap: float | None,
    ) -> Tensor:
        """Rows (N, D), weight (V, D), targets (N,) int64, to a scalar."""
        device = rows.device.type
        if torch.is_autocast_enabled(device):
            dtype = torch.get_autocast_dtype(device)
            rows_used, weight_used = rows.to(dtype), weight.to(dtype)
        else:
            rows_used, weight_used = rows, weight
        wide = torch.float64 if rows_used.dtype == torch.float64 else torch.float32
        wants = rows.requires_grad or weight.requires_grad
        total = torch.zeros((), dtype=wide, device=rows.device)
        grad_rows = torch.empty_like(rows_used) if wants else None  # (N, D)
        grad_weight = torch.zeros(weight.shape, dtype=wide, device=rows.device) if wants else None
        size = max(1, CHUNK_ELEMENTS // weight.shape[0])
        with torch.autocast(device, enabled=False):
            for begin in range(0, rows.shape[0], size):
                part = slice(begin, begin + size)
                loss, grad = _chunk(rows_used[part], weight_used, targets[part], cap, wants)
                total += loss
                if grad_rows is not None and grad_weight is not None and grad is not None:
                    narrow = grad.to(rows_used.dtype)  # (C, V)
                    torch.mm(narrow, weight_used, out=grad_rows[part])
                    if narrow.dtype == wide:
                        grad_weight.addmm_(narrow.T, rows_used[part])
                    else:
                        grad_weight += narrow.T @ rows_used[part]
        if grad_rows is not None and grad_weight is not None:
            ctx.save_for_backward(grad_rows.to(rows.dtype), grad_weight.to(weight.dtype))
        return total

    @staticmethod
    def backward(
        ctx: Any,  # Any: torch gives its context no type
        upstream: Tensor,
    ) -> tuple[Tensor, Tensor, None, None]:
        """The gradients that the forward pass formed, times the one that comes in."""
        grad_rows, grad_weight = ctx.saved_tensors
        return grad_rows * upstream.to(grad_rows.dtype), grad_weight * upstream, None, None


def _chunk(
    rows: Tensor, weight: Tensor, targets: Tensor, cap: float | None, wants: bool
) -> tuple[Tensor, Tensor | None]:
    """Loss of a chunk and, where wanted, its gradient by the logits before capping, (C, V)."""
    logits = rows @ weight.T  # (C, V)
    if logits.dtype != torch.float64:
        logits = logits.float()
    if cap is not None:
        logits = logits.div_(cap).tanh_().mul_(cap)  # (C, V), capped
    if not wants:
        return functional.cross_entropy(logits, targets, reduction="sum"), None
    counted = targets != IGNORED  # (C,)
    safe = targets.where(counted, 0)  # (C,)
    normaliser = logits.logsumexp(dim=1)  # (C,)
    chosen = logits.gather(1, safe[:, None]).squeeze(1)  # (C,)
    loss = ((normaliser - chosen) * counted).sum()
    # d loss / d capped = softmax - one_hot; d capped / d raw = 1 - (capped / cap)^2.
    slope = None if cap is None else logits.div(cap).square_().neg_().add_(1.0)  # (C, V)
    grad = logits.sub_(normaliser[:, None]).exp_()  # (C, V)
    grad.scatter_add_(1, safe[:, None], grad.new_full((len(safe), 1), -1.0))
    grad.mul_(counted[:, None])
    return loss, grad if slope is None else grad.mul_(slope)
