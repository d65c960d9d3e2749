"""Grouped matrix products: the rows of each expert are multiplied by the matrices of this expert.

The rows are sorted by expert. The rows of one expert are called a group.

Shapes: N tokens, k experts per token, E experts, D hidden size, F intermediate size, M rows sorted
by expert, I and O the sides of a matrix.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from core.training.execution.compiled import outside_compilation

PADDED_ROWS = 64
"""The number of rows of every padded group is a multiple of this number."""


@dataclass(frozen=True)
class Groups:
    """The layout of M rows that are sorted by expert."""

    places: Tensor
    """(N k,) for each sorted row, its index among the M rows of the layout. The indices of padding
    rows do not occur."""
    ends: Tensor
    """(E,) int32: index after the last row of each expert."""
    is_padded: bool
    """Whether groups are padded with zero rows, so that only a few group sizes occur. In bf16 on a
    CPU, torch compiles a kernel for each shape of a matrix product. Compiling it takes as long as
    ten products."""

    @classmethod
    def of(cls, chosen: Tensor, experts: int, *, padded: bool) -> "Groups":
        """The layout for the choices (N, k). Groups are never padded on a GPU."""
        counts = count_choices(chosen, experts)
        places = torch.arange(chosen.numel(), device=chosen.device)
        if not padded or chosen.is_cuda:
            return cls(places, counts.cumsum(0).to(torch.int32), is_padded=False)
        multiple = max(1, chosen.numel() // experts // 2 // PADDED_ROWS) * PADDED_ROWS
        sizes = (counts + multiple - 1) // multiple * multiple  # (E,)
        shifts = (sizes - counts).cumsum(0) - (sizes - counts)  # (E,)
        places += shifts.repeat_interleave(counts)
        return cls(places, sizes.cumsum(0).to(torch.int32), is_padded=True)

    def spread(self, rows: Tensor) -> Tensor:
        """Copies sorted rows (N k, D) to their places in the result (M, D); other rows are 0."""
        if not self.is_padded:
            return rows
        empty = rows.new_zeros(int(self.ends[-1]), rows.shape[1])
        return empty.index_copy(0, self.places, rows)


def count_choices(chosen: Tensor, experts: int) -> Tensor:
    """(E,) int64: how often each expert occurs in the choices (N, k)."""
    numbers = torch.arange(experts, device=chosen.device)
    return (chosen.flatten()[None] == numbers[:, None]).sum(dim=1)


def expert_mlp(
    rows: Tensor,
    gate_up: Tensor,
    down: Tensor,
    activation: Callable[[Tensor], Tensor],
    ends: Tensor,
) -> Tensor:
    """The output (M, D) of the experts for rows (M, D) that are sorted by expert.

    `gate` and `up` are the two halves of the product of the rows and `gate_up`. The output is
    `(activation(gate) * up) @ down`. On a GPU in bf16, one kernel computes the product for all
    experts, and the host does not wait for the group sizes. In other cases, there is one product
    for each expert that has rows.

    Args:
        rows: (M, D), in the dtype of the products.
        gate_up: (E, D, 2 F), the columns of gate and then those of up.
        down: (E, F, D).
        activation: An elementwise function.
        ends: (E,) int32, index after the last row of each expert.
    """
    if rows.is_cuda and rows.dtype == torch.bfloat16:
        return _grouped(rows, gate_up, down, type(activation).__name__, ends)
    output: Tensor = ExpertMlp.apply(  # type: ignore[no-untyped-call]
        rows, gate_up, down, activation, ends.tolist()
    )
    return output


@outside_compilation
def _grouped(rows: Tensor, gate_up: Tensor, down: Tensor, activation: str, ends: Tensor) -> Tensor:
    """`GroupedMlp`. It is excluded from torch.compile, because it uses handwritten kernels."""
    output: Tensor = GroupedMlp.apply(  # type: ignore[no-untyped-call]
        rows, gate_up, down, activation, ends
    )
    return output


class GroupedMlp(torch.autograd.Function):
    """`expert_mlp` for a GPU in bf16.

    The forward pass keeps the rows, the product of the rows and `gate_up`, and the matrices in
    bf16. The backward pass recomputes the activation together with its gradient.
    """

    @staticmethod
    def forward(
        ctx: Any,  # Any, because torch does not type its context
        rows: Tensor,
        gate_up: Tensor,
        down: Tensor,
        activation: str,
        ends: Tensor,
    ) -> Tensor:
        """The output (M, D)."""
        from core.training.kernels.gate import gated

        gate_up, down = gate_up.to(rows.dtype), down.to(rows.dtype)
        both = functional.grouped_mm(rows, gate_up, offs=ends)  # (M, 2 F)
        output = functional.grouped_mm(gated(both, activation), down, offs=ends)
        ctx.save_for_backward(rows, both, gate_up, down, ends)
        ctx.activation = activation
        return output

    @staticmethod
    def backward(
        ctx: Any,  # Any, because torch does not type its context
        upstream: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, None, None]:
        """Gradients of rows and matrices; zero for an expert without rows."""
        from core.training.kernels.gate import gated_gradient

        rows, both, gate_up, down, ends = ctx.saved_tensors
        upstream = upstream.contiguous()
        grad_product = functional.grouped_mm(upstream, down.transpose(1, 2), offs=ends)  # (M, F)
        grad_both, product = gated_gradient(both, grad_product, ctx.activation)
        grad_rows = functional.grouped_mm(grad_both, gate_up.transpose(1, 2), offs=ends)
        # For each group, rows^T times upstream is one matrix (I, O). The result is (E, I, O).
        grad_down = functional.grouped_mm(product.T, upstream, offs=ends)
        grad_gate_up = functional.grouped_mm(rows.T, grad_both, offs=ends)
        # For an expert without tokens, the gradient is a sum over no rows, so it is zero.
        return grad_rows, grad_gate_up.float(), grad_down.float(), None, None


class ExpertMlp(torch.autograd.Function):
    """`expert_mlp` for a CPU, or a GPU in other dtypes.

    In a small model with 16 experts, the experts' matrices cause most of the memory traffic of a
    step. So a matrix is rounded to the dtype of the rows only when it is used, and its gradient is
    written only once. Autograd would see a view of all matrices for each expert. For each view, it
    would add a gradient of the size of all matrices. The forward pass keeps the rows, and the
    product of the rows and `gate_up`. The backward pass recomputes the rest.
    """

    @staticmethod
    def forward(
        ctx: Any,  # Any, because torch does not type its context
        rows: Tensor,
        gate_up: Tensor,
        down: Tensor,
        activation: Callable[[Tensor], Tensor],
        ends: list[int],
    ) -> Tensor:
        """The output (M, D)."""
        both = rows.new_empty(rows.shape[0], gate_up.shape[2])  # (M, 2 F)
        for matrix, _, part in _used(gate_up, rows.dtype, ends):
            torch.mm(rows[part], matrix, out=both[part])
        gate, up = both.chunk(2, dim=-1)  # (M, F) each
        product = activation(gate).mul_(up)
        output = torch.empty_like(rows)  # (M, D)
        for matrix, _, part in _used(down, rows.dtype, ends):
            torch.mm(product[part], matrix, out=output[part])
        ctx.save_for_backward(rows, both, gate_up, down)
        ctx.options = (activation, ends)
        return output

    @staticmethod
    def backward(
        ctx: Any,  # Any, because torch does not type its context
        upstream: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, None, None]:
        """Gradients of rows and matrices; zero for an expert without rows."""
        rows, both, gate_up, down = ctx.saved_tensors
        activation, ends = ctx.options
        gate, up = both.chunk(2, dim=-1)  # (M, F) each
        with torch.enable_grad():
            gate = gate.detach().requires_grad_()
            activated = activation(gate)
        grad_product, grad_down = _product_gradients(activated.detach() * up, down, upstream, ends)
        grad_both = torch.empty_like(both)  # (M, 2 F)
        grad_gate, grad_up = grad_both.chunk(2, dim=-1)
        torch.mul(grad_product, activated.detach(), out=grad_up)
        (by_gate,) = torch.autograd.grad(activated, gate, grad_product.mul_(up))
        grad_gate.copy_(by_gate)
        grad_rows, grad_gate_up = _product_gradients(rows, gate_up, grad_both, ends)
        return grad_rows, grad_gate_up, grad_down, None, None


def _product_gradients(
    rows: Tensor, weights: Tensor, upstream: Tensor, ends: list[int]
) -> tuple[Tensor, Tensor]:
    """Gradients of rows (M, I) and weights (E, I, O).

    `upstream` (M, O) is the gradient of their product.
    """
    grad_rows = torch.empty_like(rows)
    grad_weights = torch.empty_like(weights)
    product = rows.new_empty(weights.shape[1:])  # (I, O)
    for matrix, expert, part in _used(weights, rows.dtype, ends):
        torch.mm(upstream[part], matrix.T, out=grad_rows[part])
        if rows.dtype == weights.dtype:
            torch.mm(rows[part].T, upstream[part], out=grad_weights[expert])
        else:
            torch.mm(rows[part].T, upstream[part], out=product)
            grad_weights[expert].copy_(product)
    for expert, part in enumerate(_group_slices(ends)):
        if part.start == part.stop:
            grad_weights[expert].zero_()
    return grad_rows, grad_weights


def _used(
    weights: Tensor, dtype: torch.dtype, ends: list[int]
) -> Iterator[tuple[Tensor, int, slice]]:
    """For each expert that has rows: its matrix (I, O), its index, and the slice of its rows.

    A matrix that was rounded to `dtype` is valid only until the next iteration. All rounded
    matrices share one buffer, so that it stays in the CPU's cache.
    """
    rounded = None if dtype == weights.dtype else weights.new_empty(weights.shape[1:], dtype=dtype)
    for expert, part in enumerate(_group_slices(ends)):
        if part.start < part.stop:
            matrix = weights[expert]
            yield matrix if rounded is None else rounded.copy_(matrix), expert, part


def _group_slices(ends: list[int]) -> list[slice]:
    """The slice of rows of each expert; a slice may be empty."""
    return [slice(*bounds) for bounds in pairwise([0, *ends])]


def read_distinct(rows: Tensor, places: Tensor) -> Tensor:
    """rows[places] for distinct places.

    Because the places are distinct, the gradient is a copy instead of a sum.
    """
    read: Tensor = DistinctRows.apply(rows, places)  # type: ignore[no-untyped-call]
    return read


class DistinctRows(torch.autograd.Function):
    """The rows (N, D) at distinct places (N,) of a tensor (M, D)."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, places: Tensor) -> Tensor:  # torch does not type ctx
        """The rows at `places`."""
        ctx.save_for_backward(places)
        ctx.shape = rows.shape
        return rows.index_select(0, places)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:  # Any, as above
        """The gradient of the rows; zero for rows that were not read."""
        (places,) = ctx.saved_tensors
        is_all = len(places) == ctx.shape[0]
        gradient = upstream.new_empty(ctx.shape) if is_all else upstream.new_zeros(ctx.shape)
        return gradient.index_copy_(0, places, upstream), None
