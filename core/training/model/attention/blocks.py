"""Causal attention in blocks, so that the full scores are never materialized.

Each block of queries is multiplied only with the keys up to the end of the block. This saves nearly
half of the products. The scores of a block stay in the CPU's cache. The forward pass does not keep
the scores; the backward pass recomputes them from queries and keys (Dao et al. 2022, section 3.1).
So no tensor of size T x T is kept between the passes.

Shapes: B sequences, H heads, K key-value heads, G = H / K, T tokens, d head dimension,
b sequences of a block, Q queries of a block, N keys that they attend to.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from core.training.model.attention.masks import AttentionSpan, causal_mask, segment_mask

BLOCK_QUERIES = 64
"""Number of queries per block. With smaller blocks, fewer scores of masked keys are computed, but
the matrix products are slower."""
BLOCK_SCORES = {8: 1 << 16, 4: 1 << 16, 2: 1 << 19}
"""Number of scores per block on a CPU, by the size of a score in bytes. The scores and temporary
tensors of a block fit into the L2 cache of a core. Matrix products in bf16 (2 bytes) benefit more
from larger blocks."""


class BlockAttention(torch.autograd.Function):
    """Attention over (B, H, T, d) queries and (B, K, T, d) keys and values."""

    @staticmethod
    def forward(
        ctx: Any,  # Any, because torch does not type its context
        query: Tensor,
        key: Tensor,
        value: Tensor,
        segments: Tensor | None,
        scaling: float,
        softcap: float | None,
        span: AttentionSpan,
    ) -> Tensor:
        """The output (B, H, T, d), laid out in memory as (B, T, H, d) for the output projection."""
        dtype = product_dtype(query)
        query, key, value = query.to(dtype), key.to(dtype), value.to(dtype)
        ctx.save_for_backward(query, key, value, segments)
        ctx.options = (scaling, softcap, span)
        batch, heads, length, width = query.shape
        output = query.new_empty(batch, length, heads, width).transpose(1, 2)  # (B, H, T, d)
        for block in _blocks(query, key, value, segments, scaling, softcap, span):
            weights, _ = block.weights()  # (b K, G Q, N)
            block.put(output, torch.bmm(weights, block.values))
        return output

    @staticmethod
    def backward(
        ctx: Any,  # Any, because torch does not type its context
        upstream: Tensor,
    ) -> tuple[Tensor | None, ...]:
        """Gradients of query, key and value.

        P are the attention weights, S the scores before the soft cap, O the output, and tanh is
        that of the soft cap:

        dV = P^T dO, dS = P (dO V^T - rowsum(P dO V^T)) (1 - tanh^2), dQ = dS K, dK = dS^T Q.
        """
        query, key, value, segments = ctx.saved_tensors
        scaling, softcap, span = ctx.options
        upstream = upstream.to(query.dtype)
        grads = tuple(_zeros_by_token(tensor) for tensor in (query, key, value))
        for block in _blocks(query, key, value, segments, scaling, softcap, span):
            weights, tanh = block.weights()  # (b K, G Q, N)
            outer = block.take(upstream)  # (b K, G Q, d)
            block.add(grads[2], torch.bmm(weights.transpose(1, 2), outer))
            inner = torch.bmm(outer, block.values.transpose(1, 2))  # (b K, G Q, N)
            slope = torch._softmax_backward_data(inner, weights, -1, weights.dtype)
            if tanh is not None:
                slope = torch.addcmul(slope, slope, tanh.square_(), value=-1.0, out=slope)
            block.put(grads[0], torch.bmm(slope, block.keys).mul_(scaling))
            block.add(grads[1], torch.bmm(slope.transpose(1, 2), block.queries).mul_(scaling))
        return *grads, None, None, None, None


@dataclass(frozen=True)
class _Block:
    """A block of queries of some sequences, and the keys that they attend to."""

    sequences: slice
    rows: slice
    """Positions of the queries."""
    columns: slice
    """Positions of the keys."""
    queries: Tensor
    """(b K, G Q, d)"""
    keys: Tensor
    """(b K, N, d)"""
    values: Tensor
    """(b K, N, d)"""
    mask: Tensor
    """Additive mask (1 or b, 1, 1, Q, N). If it has fewer than N columns, they belong to the last
    keys, and no earlier key is masked."""
    scaling: float
    softcap: float | None
    shape: tuple[int, int, int, int, int]
    """(b, K, G, Q, N)"""

    def weights(self) -> tuple[Tensor, Tensor | None]:
        """Softmax of the scores, and the tanh of the soft cap; both (b K, G Q, N)."""
        cap = self.softcap
        scale = self.scaling if cap is None else self.scaling / cap
        scores = torch.bmm(self.queries * scale, self.keys.transpose(1, 2))  # (b K, G Q, N)
        tanh = None
        if cap is not None:
            tanh = scores.tanh_()
            scores = tanh * cap
        masked = scores.view(self.shape)[..., self.shape[-1] - self.mask.shape[-1] :]
        masked += self.mask
        return scores.softmax(dim=-1), tanh

    def take(self, tensor: Tensor) -> Tensor:
        """The rows of this block of a (B, H, T, d) tensor, as (b K, G Q, d)."""
        part = tensor[self.sequences, :, self.rows]  # (b, H, Q, d)
        return part.reshape(self.queries.shape)

    def put(self, tensor: Tensor, rows: Tensor) -> None:
        """Writes (b K, G Q, d) to the rows that `take` reads."""
        batch, kv_heads, groups, size, _ = self.shape
        part = tensor[self.sequences, :, self.rows]
        part.copy_(rows.view(batch, kv_heads * groups, size, -1))

    def add(self, tensor: Tensor, rows: Tensor) -> None:
        """Adds (b K, N, d) to the columns of this block of a (B, K, T, d) tensor."""
        batch, kv_heads, _, _, size = self.shape
        part = tensor[self.sequences, :, self.columns]
        part += rows.view(batch, kv_heads, size, -1)


def _blocks(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    segments: Tensor | None,
    scaling: float,
    softcap: float | None,
    span: AttentionSpan,
) -> Iterator[_Block]:
    """All blocks in a fixed order, so that sums over them are deterministic."""
    batch, heads, length, width = query.shape
    kv_heads = key.shape[1]
    scores = BLOCK_SCORES[query.dtype.itemsize]
    for begin in range(0, length, BLOCK_QUERIES):
        end = min(begin + BLOCK_QUERIES, length)
        first = span.first(begin)
        rows, columns = slice(begin, end), slice(first, end)
        size, seen = end - begin, end - first
        groups = heads // kv_heads
        whole = causal_mask(rows, columns, span, query)  # (Q, N) or (Q, Q)
        step = max(1, scores // (heads * size * seen)) if query.device.type == "cpu" else batch
        for chosen in range(0, batch, step):
            part = slice(chosen, min(chosen + step, batch))
            count = part.stop - part.start
            mask = whole[None, None, None]
            if segments is not None:
                mask = segment_mask(segments[part], rows, columns, whole)
            yield _Block(
                sequences=part,
                rows=rows,
                columns=columns,
                queries=query[part, :, rows].reshape(count * kv_heads, groups * size, width),
                keys=key[part, :, columns].reshape(count * kv_heads, seen, width),
                values=value[part, :, columns].reshape(count * kv_heads, seen, width),
                mask=mask,
                scaling=scaling,
                softcap=softcap,
                shape=(count, kv_heads, groups, size, seen),
            )


def product_dtype(query: Tensor) -> torch.dtype:
    """The dtype of matrix products: the dtype of autocast if it is active, else that of `query`."""
    device = query.device.type
    if torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    return query.dtype


def _zeros_by_token(tensor: Tensor) -> Tensor:
    """Zeros of shape (B, H, T, d), laid out in memory as (B, T, H, d)."""
    batch, heads, length, width = tensor.shape
    return tensor.new_zeros(batch, length, heads, width).transpose(1, 2)
