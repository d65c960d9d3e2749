"""Rows in groups, each group through an expert of its own: what a mixture of experts computes.

Letters: N tokens, k experts a token, E experts, D hidden size, F intermediate size, M rows sorted
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
"""What sizes of groups are multiples of, where they are padded."""


@dataclass(frozen=True)
class Groups:
    """Where the rows of each expert stand among M rows, sorted by expert."""

    places: Tensor
    """(N k,) of the rows in their order."""
    ends: Tensor
    """(E,) int32: where the rows of each expert end."""
    is_padded: bool
    """Rows of zeros may stand behind those of an expert, so that few sizes of groups occur: in bf16
    a CPU's matrix product is compiled for each shape, which takes as long as ten products."""

    @classmethod
    def of(cls, chosen: Tensor, experts: int, *, padded: bool) -> "Groups":
        """Of the choices (N, k); padded is for a CPU alone."""
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
        """Rows (N k, D) at their places, zeros between: (M, D)."""
        if not self.is_padded:
            return rows
        empty = rows.new_zeros(int(self.ends[-1]), rows.shape[1])
        return empty.index_copy(0, self.places, rows)


def count_choices(chosen: Tensor, experts: int) -> Tensor:
    """How often each of the experts was chosen, (E,) int64, of the choices (N, k)."""
    numbers = torch.arange(experts, device=chosen.device)
    return (chosen.flatten()[None] == numbers[:, None]).sum(dim=1)


def expert_mlp(
    rows: Tensor,
    gate_up: Tensor,
    down: Tensor,
    activation: Callable[[Tensor], Tensor],
    ends: Tensor,
) -> Tensor:
    """Rows (M, D) in groups, each through its expert: (up activation(gate)) down, to (M, D).

    On a GPU in bf16 a product is one kernel, and the host does not wait to learn the sizes of the
    groups. Elsewhere it is one product for each expert that has rows; on a CPU reading the sizes
    waits for nothing.

    Args:
        rows: In the type to multiply in.
        gate_up: (E, D, 2 F), gate before up.
        down: (E, F, D).
        activation: Elementwise.
        ends: (E,) int32, where the rows of each expert end.
    """
    if rows.is_cuda and rows.dtype == torch.bfloat16:
        return _grouped(rows, gate_up, down, type(activation).__name__, ends)
    output: Tensor = ExpertMlp.apply(  # type: ignore[no-untyped-call]
        rows, gate_up, down, activation, ends.tolist()
    )
    return output


@outside_compilation
def _grouped(rows: Tensor, gate_up: Tensor, down: Tensor, activation: str, ends: Tensor) -> Tensor:
    """`GroupedMlp` behind a border that torch.compile does not cross: it has kernels of its own."""
    output: Tensor = GroupedMlp.apply(  # type: ignore[no-untyped-call]
        rows, gate_up, down, activation, ends
    )
    return output


class GroupedMlp(torch.autograd.Function):
    """See `expert_mlp`: on a GPU, in bf16.

    Kept for the backward pass are the rows, the outcome of the first product and the rounded
    matrices; what lies between the products is formed again, beside its gradient.
    """

    @staticmethod
    def forward(
        ctx: Any,  # Any: torch gives its context no type
        rows: Tensor,
        gate_up: Tensor,
        down: Tensor,
        activation: str,
        ends: Tensor,
    ) -> Tensor:
        """(M, D)."""
        from core.training.kernels.gate import gated

        gate_up, down = gate_up.to(rows.dtype), down.to(rows.dtype)
        both = functional.grouped_mm(rows, gate_up, offs=ends)  # (M, 2 F)
        output = functional.grouped_mm(gated(both, activation), down, offs=ends)
        ctx.save_for_backward(rows, both, gate_up, down, ends)
        ctx.activation = activation
        return output

    @staticmethod
    def backward(
        ctx: Any,  # Any: torch gives its context no type
        upstream: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, None, None]:
        """Gradients by rows and matrices; zero for an expert without rows."""
        from core.training.kernels.gate import gated_gradient

        rows, both, gate_up, down, ends = ctx.saved_tensors
        upstream = upstream.contiguous()
        grad_product = functional.grouped_mm(upstream, down.transpose(1, 2), offs=ends)  # (M, F)
        grad_both, product = gated_gradient(both, grad_product, ctx.activation)
        grad_rows = functional.grouped_mm(grad_both, gate_up.transpose(1, 2), offs=ends)
        # Any rows (M, I) and upstream (M, O) of the same group give (I, O): (E, I, O) in all.
        grad_down = functional.grouped_mm(product.T, upstream, offs=ends)
        grad_gate_up = functional.grouped_mm(rows.T, grad_both, offs=ends)
        # The product of no rows is zero, so an expert that nobody chose needs no care.
        return grad_rows, grad_gate_up.float(), grad_down.float(), None, None


class ExpertMlp(torch.autograd.Function):
    """See `expert_mlp`.

    The matrices of a small model with 16 experts are most of what a step reads and writes, so they
    go through memory as few times as can be: each is rounded to the rows' type when it is used, its
    gradient is written once, in place, and none is filled with zeros that has rows. A sum over
    views, which autograd would form, touches all of them once for each expert. Kept for the
    backward pass are the rows and the outcome of the first product; the rest is formed again.
    """

    @staticmethod
    def forward(
        ctx: Any,  # Any: torch gives its context no type
        rows: Tensor,
        gate_up: Tensor,
        down: Tensor,
        activation: Callable[[Tensor], Tensor],
        ends: list[int],
    ) -> Tensor:
        """(M, D)."""
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
        ctx: Any,  # Any: torch gives its context no type
        upstream: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, None, None]:
        """Gradients by rows and matrices; zero for an expert without rows."""
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
    """Gradients by rows (M, I) and weights (E, I, O), of the gradient (M, O) by their product."""
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
    for expert, part in enumerate(_components(ends)):
        if part.start == part.stop:
            grad_weights[expert].zero_()
    return grad_rows, grad_weights


def _used(
    weights: Tensor, dtype: torch.dtype, ends: list[int]
) -> Iterator[tuple[Tensor, int, slice]]:
    """Matrix (I, O), number and rows of each expert that has rows.

    A matrix of another type is valid until the next one is asked for: they share the memory that it
    is rounded into, which stays in the cache of the processor.
    """
    rounded = None if dtype == weights.dtype else weights.new_empty(weights.shape[1:], dtype=dtype)
    for expert, part in enumerate(_components(ends)):
        if part.start < part.stop:
            matrix = weights[expert]
            yield matrix if rounded is None else rounded.copy_(matrix), expert, part


def _components(ends: list[int]) -> list[slice]:
    """The rows of each expert, of which there may be none."""
    return [slice(*bounds) for bounds in pairwise([0, *ends])]


def read_distinct(rows: Tensor, places: Tensor) -> Tensor:
    """rows[places] where no place comes twice, so that its gradient is a copy and no sum."""
    read: Tensor = DistinctRows.apply(rows, places)  # type: ignore[no-untyped-call]
    return read


class DistinctRows(torch.autograd.Function):
    """Rows (M, D) at places (N,) that are all different: (N, D)."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, places: Tensor) -> Tensor:  # Any: torch gives it no type
        """The rows."""
        ctx.save_for_backward(places)
        ctx.shape = rows.shape
        return rows.index_select(0, places)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:  # Any: as above
        """Zero for rows that were not read."""
        (places,) = ctx.saved_tensors
        is_all = len(places) == ctx.shape[0]
        gradient = upstream.new_empty(ctx.shape) if is_all else upstream.new_zeros(ctx.shape)
        return gradient.index_copy_(0, places, upstream), None
