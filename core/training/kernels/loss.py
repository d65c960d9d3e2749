"""Softmax, loss and gradient of rows of logits on a GPU, in one kernel.

The kernel computes the same as the torch operations in `core.training.loss`. These would read and
write the logits about ten times. The kernel reads the logits once from memory and once from the
cache, and overwrites them once, as in Hsu et al. 2024 ("Liger Kernel").

Z is the sum of exp of the logits of a row.

Shapes: C rows of a chunk, V vocabulary.
"""

# Triton interprets the annotations of a kernel.
# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator"

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 4096
"""Number of logits of a row that one program of the kernel processes at once: 16 per thread."""
WARPS = 8


@triton.jit
def _capped(part, TWO_CAP: tl.constexpr):
    """The scores, and the sigmoid from which the soft cap is computed.

    The scores are the capped logits plus the cap. Without a cap, they are the float32 logits.
    """
    sigmoid = part
    if TWO_CAP > 0.0:
        sigmoid = 1.0 / (1.0 + tl.exp(-part))
        part = TWO_CAP * sigmoid
    return part, sigmoid


@triton.jit
def _row(
    logits,
    targets,
    losses,
    squares,
    stride,
    VOCABULARY: tl.constexpr,
    TWO_CAP: tl.constexpr,
    Z_LOSS_COEFFICIENT: tl.constexpr,
    WITH_GRADIENT: tl.constexpr,
    IGNORED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Stores loss and log(Z)^2 of one row and overwrites its logits with the gradient."""
    row = tl.program_id(0).to(tl.int64)
    begin = logits + row * stride
    target = tl.load(targets + row)
    counts = target != IGNORED
    # Each of the BLOCK lanes has its own running maximum and sum. They are combined at the end.
    largest = tl.full((BLOCK,), -float("inf"), tl.float32)
    total = tl.zeros((BLOCK,), tl.float32)
    for first in range(0, VOCABULARY, BLOCK):
        columns = first + tl.arange(0, BLOCK)
        inside = columns < VOCABULARY
        scores, _ = _capped(
            tl.load(begin + columns, mask=inside, other=0.0).to(tl.float32), TWO_CAP
        )
        scores = tl.where(inside, scores, -float("inf"))
        higher = tl.maximum(largest, scores)
        # The maximum of a lane without columns is -inf, and -inf minus -inf is NaN.
        shift = tl.where(higher == -float("inf"), 0.0, higher)
        total = total * tl.exp(largest - shift) + tl.exp(scores - shift)
        largest = higher
    maximum = tl.max(largest, axis=0)
    normaliser = maximum + tl.log(tl.sum(total * tl.exp(largest - maximum), axis=0))
    own = tl.load(begin + tl.where(counts, target, 0)).to(tl.float32)
    own, _ = _capped(own, TWO_CAP)
    tl.store(losses + row, tl.where(counts, normaliser - own, 0.0))
    if Z_LOSS_COEFFICIENT > 0.0:
        log_z = normaliser - 0.5 * TWO_CAP  # scores are capped logits plus the cap
        tl.store(squares + row, tl.where(counts, log_z * log_z, 0.0))
        factor = 1.0 + 2.0 * Z_LOSS_COEFFICIENT * log_z
    if WITH_GRADIENT:
        tl.debug_barrier()  # all threads must read the target's logit before it is overwritten
        for first in range(0, VOCABULARY, BLOCK):
            columns = first + tl.arange(0, BLOCK)
            inside = columns < VOCABULARY
            part = tl.load(begin + columns, mask=inside, other=0.0).to(tl.float32)
            scores, sigmoid = _capped(part, TWO_CAP)
            slope = tl.exp(scores - normaliser)
            if Z_LOSS_COEFFICIENT > 0.0:
                slope *= factor
            slope -= tl.where(columns == target, 1.0, 0.0)
            if TWO_CAP > 0.0:
                slope *= sigmoid * (1.0 - sigmoid)
            slope = tl.where(counts, slope, 0.0)
            tl.store(begin + columns, slope.to(logits.dtype.element_ty), mask=inside)


def loss_and_gradient(
    logits: Tensor,
    targets: Tensor,
    cap: float | None,
    z_loss_coefficient: float,
    *,
    ignored: int,
    needs_grad: bool,
    row_losses: Tensor | None = None,
) -> tuple[Tensor, Tensor | float]:
    """Summed loss and log(Z)^2 of a chunk; overwrites the logits with their gradient.

    Args:
        logits: (C, V), float32, bf16 or fp16, rows contiguous. With a cap, they are 2 / cap times
            the product of the rows and the weight, and the output is a quarter of the gradient with
            respect to this product; see `core.training.loss`.
        targets: (C,) int64.
        cap: The soft cap; None means no cap.
        z_loss_coefficient: Weight of log(Z)^2 in the gradient. If 0, log(Z)^2 is not computed.
        ignored: The target value that is ignored.
        needs_grad: Whether to compute the gradient; if False, the logits are not changed.
        row_losses: (C,) float32, to which the loss of each row is written.

    Returns:
        Two float32 scalars: the loss, and log(Z)^2, which is 0 if the coefficient is 0.
    """
    count, vocabulary = logits.shape
    losses = row_losses
    if losses is None:
        losses = torch.empty(count, dtype=torch.float32, device=logits.device)
    squares = torch.empty_like(losses) if z_loss_coefficient else losses
    _row[(count,)](
        logits,
        targets,
        losses,
        squares,
        logits.stride(0),
        VOCABULARY=vocabulary,
        TWO_CAP=2.0 * cap if cap else 0.0,
        Z_LOSS_COEFFICIENT=z_loss_coefficient,
        WITH_GRADIENT=needs_grad,
        IGNORED=ignored,
        BLOCK=BLOCK,
        num_warps=WARPS,
    )
    return losses.sum(), squares.sum() if z_loss_coefficient else 0.0
