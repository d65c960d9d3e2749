"""Causal attention of a training step, block by block, so that no layer's scores are ever whole.

Softmax(cap tanh(q k^T scale / cap)) v, with or without the soft cap (Gemma Team 2024, section 2),
over the tokens that each token may look at. For each block of queries only the keys up to its end
are multiplied, which saves nearly half of the products, and its scores stay in the cache of the
processor. The backward pass computes them again from queries and keys instead of keeping them
(Dao et al. 2022, section 3.1), so nothing of size T x T outlives a block.

Letters: B sequences, H heads, K key-value heads, G = H / K, T tokens, d head dimension,
Q queries of a block, N keys that they look at.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel

from core.training.compiled import outside_compilation
from core.training.masks import (
    Reach,
    causal_mask,
    explicit_mask,
    flex_mask,
    segment_mask,
    tempered_anew,
)

NAME = "babylm_blocks"
"""Under this name transformers finds `attend`. It has no mask function there, so none is built."""
FLEX = "flex_attention"
"""Torch's fused attention, as transformers calls it."""
BLOCK_QUERIES = 64
"""Small blocks skip more of the products above the diagonal; smaller ones multiply slower."""
BLOCK_SCORES = {4: 1 << 16, 2: 1 << 18, 8: 1 << 16}
"""Scores held at once on a CPU, by the bytes of one: with what is formed of them they fit the
second cache of a core. Products in bf16 gain more from being large."""


def use_blocks(model: PreTrainedModel) -> None:
    """Makes the model attend through `attend`."""
    AttentionInterface.register(NAME, attend)
    model._babylm_library_attention = model.config._attn_implementation
    model.config._attn_implementation = NAME


@contextmanager
def library_attention(model: PreTrainedModel) -> Iterator[None]:
    """Within it the model attends as transformers chose: for generating, with its caches."""
    chosen = model.config._attn_implementation
    if chosen == NAME:
        model.config._attn_implementation = model._babylm_library_attention
    try:
        yield
    finally:
        model.config._attn_implementation = chosen


def what_is_seen(model: PreTrainedModel, segments: Tensor | None) -> dict[str, Any]:
    """The arguments of the model's body that keep tokens within their segments (B, T).

    Any: keywords. Our own attention takes the segments; any other gets masks, which for a model
    with two kinds of layers come by the kind.
    """
    if segments is None:
        return {}
    attention = model.config._attn_implementation
    if attention == NAME:
        return {"segments": segments}
    kinds = set(getattr(model.config, "layer_types", None) or ["full_attention"])
    reaches = {
        "full_attention": Reach(),
        "sliding_attention": Reach(window=getattr(model.config, "sliding_window", None)),
        "chunked_attention": Reach(chunk=getattr(model.config, "attention_chunk_size", None)),
    }
    dtype = model.lm_head.weight.dtype
    masks = {
        kind: flex_mask(segments, reaches[kind])
        if attention == FLEX
        else explicit_mask(segments, reaches[kind], dtype)
        for kind in kinds
    }
    if model.config.model_type == "olmo2":  # its body takes one mask
        return {"attention_mask": masks["full_attention"]}
    return {"attention_mask": masks}


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    softcap: float | None = None,
    sliding_window: int | None = None,
    segments: Tensor | None = None,
    **_: Any,  # Any: what transformers also passes
) -> tuple[Tensor, None]:
    """Attention as transformers calls it, for whole sequences in training.

    Args:
        module: The attention layer; a Llama 4 layer with positions attends within chunks.
        query: (B, H, T, d).
        key: (B, K, T, d).
        value: (B, K, T, d).
        attention_mask: None; what a token may see follows from its position and its segment.
        scaling: Factor on the products.
        softcap: The soft cap on scores, if any.
        sliding_window: Tokens that a token sees, if not all before it.
        segments: (B, T) integers; a token sees only tokens of its own segment. None: of all.

    Returns:
        (B, T, H, d), and no weights.
    """
    assert attention_mask is None, "the block attention builds its own masks"
    config: Any = module.config  # Any: transformers types no attribute of its modules
    chunk = config.attention_chunk_size if getattr(module, "use_rope", False) else None
    length = query.shape[2]
    reach = Reach(
        window=sliding_window if sliding_window is not None and sliding_window < length else None,
        chunk=chunk if chunk is not None and chunk < length else None,
    )
    if segments is not None:
        query = tempered_anew(module, query, segments)
        reach, segments = reach.within(segments)
    output = _blocked(query, key, value, segments, scaling, softcap, reach)  # (B, H, T, d)
    return output.transpose(1, 2), None


@outside_compilation
def _blocked(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    segments: Tensor | None,
    scaling: float,
    softcap: float | None,
    reach: Reach,
) -> Tensor:
    """BlockAttention behind a border that torch.compile does not cross: it would unroll loops."""
    output: Tensor = BlockAttention.apply(  # type: ignore[no-untyped-call]
        query, key, value, segments, scaling, softcap, reach
    )
    return output


class BlockAttention(torch.autograd.Function):
    """Attention over (B, H, T, d) queries and (B, K, T, d) keys and values."""

    @staticmethod
    def forward(
        ctx: Any,  # Any: torch gives its context no type
        query: Tensor,
        key: Tensor,
        value: Tensor,
        segments: Tensor | None,
        scaling: float,
        softcap: float | None,
        reach: Reach,
    ) -> Tensor:
        """(B, H, T, d), laid out as (B, T, H, d), which is what the output projection reads."""
        dtype = _product_dtype(query)
        query, key, value = query.to(dtype), key.to(dtype), value.to(dtype)
        ctx.save_for_backward(query, key, value, segments)
        ctx.options = (scaling, softcap, reach)
        batch, heads, length, width = query.shape
        output = query.new_empty(batch, length, heads, width).transpose(1, 2)  # (B, H, T, d)
        for block in _blocks(query, key, value, segments, scaling, softcap, reach):
            weights, _ = block.weights()  # (b K, G Q, N)
            block.put(output, torch.bmm(weights, block.values))
        return output

    @staticmethod
    def backward(
        ctx: Any,  # Any: torch gives its context no type
        upstream: Tensor,
    ) -> tuple[Tensor | None, ...]:
        """Gradients by query, key and value; P the weights, S the scores before the cap.

        dV = P^T dO, dS = P (dO V^T - rowsum(P dO V^T)) (1 - tanh^2), dQ = dS K, dK = dS^T Q.
        """
        query, key, value, segments = ctx.saved_tensors
        scaling, softcap, reach = ctx.options
        upstream = upstream.to(query.dtype)
        grads = tuple(_zeros_by_token(tensor) for tensor in (query, key, value))
        for block in _blocks(query, key, value, segments, scaling, softcap, reach):
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
    """Some queries of some sequences, and the keys that they look at."""

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
    """(1 or b, 1, 1, Q, N), or of fewer columns: those at the end."""
    scaling: float
    softcap: float | None
    shape: tuple[int, int, int, int, int]
    """(b, K, G, Q, N)"""

    def weights(self) -> tuple[Tensor, Tensor | None]:
        """Softmax of the scores (b K, G Q, N), and tanh of the scores below the cap."""
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
        """Writes (b K, G Q, d) where `take` reads."""
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
    reach: Reach,
) -> Iterator[_Block]:
    """All blocks, in a fixed order: sums over them have one result."""
    batch, heads, length, width = query.shape
    kv_heads = key.shape[1]
    scores = BLOCK_SCORES[query.dtype.itemsize]
    for begin in range(0, length, BLOCK_QUERIES):
        end = min(begin + BLOCK_QUERIES, length)
        first = reach.first(begin)
        rows, columns = slice(begin, end), slice(first, end)
        size, seen = end - begin, end - first
        groups = heads // kv_heads
        whole = causal_mask(rows, columns, reach, query)  # (Q, N) or (Q, Q)
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


def _product_dtype(query: Tensor) -> torch.dtype:
    device = query.device.type
    if torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    return query.dtype


def _zeros_by_token(tensor: Tensor) -> Tensor:
    """Zeros for a (B, H, T, d) tensor, laid out as (B, T, H, d)."""
    batch, heads, length, width = tensor.shape
    return tensor.new_zeros(batch, length, heads, width).transpose(1, 2)
