"""Chooses and installs the attention of a training step.

Attention is `softmax(cap * tanh(q @ k.T * scale / cap)) @ v` over the tokens that a token may
attend to (Gemma Team 2024, section 2). Without a soft cap, it is `softmax(q @ k.T * scale) @ v`. It
is computed in blocks, by torch's fused kernel, by torch's flex attention or by transformers.

Shapes: B sequences, H heads, K key-value heads, T tokens, d head dimension.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AttentionInterface, PreTrainedModel

from core.training.execution.compiled import is_compiled, outside_compilation
from core.training.model.attention.blocks import BlockAttention, product_dtype
from core.training.model.attention.llama4 import use_fusible_attention
from core.training.model.attention.masks import (
    AttentionSpan,
    causal_flex_mask,
    explicit_mask,
    flex_mask,
    rescaled_queries,
)

NAME = "babylm_blocks"
"""The name under which `attend` is registered in transformers. No mask function is registered under
this name, so transformers builds no mask."""
FLEX = "flex_attention"
"""The name of torch's flex attention in transformers."""
HAS_WIDE_REGISTERS = torch.backends.cpu.get_cpu_capability() == "AVX512"
FUSED_HEAD_WIDTH = {8: 64, 4: 256, 2: 32}
"""Maximum head width at which torch's fused kernel is faster than `BlockAttention` on a CPU, by the
size of an element in bytes. In fp32 the fused kernel is up to 45 % faster."""


def use_blocks(model: PreTrainedModel) -> None:
    """Makes the model use `attend`."""
    _use(model, NAME)


def use_flex(model: PreTrainedModel) -> None:
    """Makes the model use torch's flex attention in compiled layers."""
    _use(model, FLEX)


def _use(model: PreTrainedModel, name: str) -> None:
    use_fusible_attention(model)
    AttentionInterface.register(NAME, attend)
    if model.config._attn_implementation not in (NAME, FLEX):
        model._babylm_library_attention = model.config._attn_implementation
    model.config._attn_implementation = name


@contextmanager
def library_attention(model: PreTrainedModel) -> Iterator[None]:
    """A context in which the model uses the attention of transformers.

    Text is generated in this context, because generation uses a key-value cache and `attend`
    requires complete sequences.
    """
    chosen = model.config._attn_implementation
    if chosen in (NAME, FLEX):
        model.config._attn_implementation = model._babylm_library_attention
    try:
        yield
    finally:
        model.config._attn_implementation = chosen


@contextmanager
def eager_mode(model: PreTrainedModel) -> Iterator[None]:
    """A context in which compiled layers run uncompiled, with `attend` instead of flex attention.

    Flex attention is a fused kernel only if it is compiled. Uncompiled, it materializes all scores.
    """
    if not is_compiled(model):
        yield
        return
    chosen = model.config._attn_implementation
    if chosen == FLEX:
        model.config._attn_implementation = NAME
    try:
        with torch.compiler.set_stance("force_eager"):
            yield
    finally:
        model.config._attn_implementation = chosen


def attention_mask_arguments(
    model: PreTrainedModel, inputs: Tensor, segments: Tensor | None
) -> dict[str, Any]:
    """The keyword arguments of the model's body that limit attention to segments (B, T).

    `attend` takes the segments themselves. Other attention functions take masks. A model with
    several kinds of attention layers takes one mask per kind. If `segments` is None, transformers
    builds the masks itself. Flex attention is an exception: for it, this function returns cached
    masks, because transformers would build the masks again for each batch, which takes as long as
    several layers.
    """
    attention = model.config._attn_implementation
    if attention == NAME:
        return {} if segments is None else {"segments": segments}
    if segments is None and attention != FLEX:
        return {}
    layer_types = getattr(model.config, "layer_types", None)
    kinds = set(layer_types or ["full_attention"])
    spans = {
        "full_attention": AttentionSpan(),
        "sliding_attention": AttentionSpan(window=getattr(model.config, "sliding_window", None)),
        "chunked_attention": AttentionSpan(
            chunk=getattr(model.config, "attention_chunk_size", None)
        ),
    }
    masks: dict[str, Any] = {}
    for kind in kinds:
        if segments is None:
            masks[kind] = causal_flex_mask(inputs.shape[1], spans[kind], inputs.device)
        elif attention == FLEX:
            masks[kind] = flex_mask(segments, spans[kind])
        else:
            masks[kind] = explicit_mask(segments, spans[kind], model.lm_head.weight.dtype)
    if layer_types is None:  # the body of a model without `layer_types` takes one mask
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
    **_: Any,  # further keyword arguments of transformers
) -> tuple[Tensor, None]:
    """Attention over complete sequences, with the signature that transformers expects.

    Args:
        module: The attention layer. In Llama 4 layers with rotary embeddings, a token attends only
            to its own chunk.
        query: (B, H, T, d).
        key: (B, K, T, d).
        value: (B, K, T, d).
        attention_mask: Must be None; the mask follows from positions and segments.
        scaling: Factor by which the scores are multiplied.
        softcap: Soft cap on the scores; None means no cap.
        sliding_window: Maximum number of tokens that a token attends to; None means no limit.
        segments: (B, T) integers; a token attends only to its own segment. If None, a token
            attends to all earlier tokens.

    Returns:
        (B, T, H, d), and no attention weights.
    """
    assert attention_mask is None, "the block attention builds its own masks"
    config: Any = module.config  # Any, because transformers does not type module attributes
    chunk = config.attention_chunk_size if getattr(module, "use_rope", False) else None
    length = query.shape[2]
    span = AttentionSpan(
        window=sliding_window if sliding_window is not None and sliding_window < length else None,
        chunk=chunk if chunk is not None and chunk < length else None,
    )
    if segments is not None:
        query = rescaled_queries(module, query, segments)
        span, segments = span.within(segments)
    elif softcap is None and span == AttentionSpan() and _is_for_torch(query):
        return _fused(query, key, value, scaling), None
    output = _blocked(query, key, value, segments, scaling, softcap, span)  # (B, H, T, d)
    return output.transpose(1, 2), None


def _is_for_torch(query: Tensor) -> bool:
    """Whether torch's fused kernel is faster than `BlockAttention`.

    The fused kernel is faster on a GPU. On a CPU with AVX-512, it is faster for narrow heads,
    because it loops over blocks in C++ and keeps the scores in registers. benchmarks/README.md has
    the measurements. The caller checks that the fused kernel can be used: it supports no soft cap
    and only the causal mask.
    """
    if query.is_cuda:
        return True
    if query.device.type != "cpu" or not HAS_WIDE_REGISTERS:
        return False
    return query.shape[-1] <= FUSED_HEAD_WIDTH[product_dtype(query).itemsize]


def _fused(query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
    """Causal attention by torch's fused kernel, (B, T, H, d).

    On a CPU the function computes in float32, because the kernel is slower in bf16 on a CPU.
    """
    dtype = product_dtype(query)
    compute_dtype = dtype if query.is_cuda else torch.promote_types(dtype, torch.float32)
    with torch.autocast(query.device.type, enabled=False):
        output = functional.scaled_dot_product_attention(
            query.to(compute_dtype),
            key.to(compute_dtype),
            value.to(compute_dtype),
            is_causal=True,
            scale=scaling,
            enable_gqa=key.shape[1] != query.shape[1],
        )
    return output.to(dtype).transpose(1, 2)


@outside_compilation
def _blocked(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    segments: Tensor | None,
    scaling: float,
    softcap: float | None,
    span: AttentionSpan,
) -> Tensor:
    """`BlockAttention`. It is excluded from torch.compile, which would unroll its loops."""
    output: Tensor = BlockAttention.apply(  # type: ignore[no-untyped-call]
        query, key, value, segments, scaling, softcap, span
    )
    return output
