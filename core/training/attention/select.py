"""Causal attention of a training step, as transformers calls it.

Softmax(cap tanh(q k^T scale / cap)) v, with or without the soft cap (Gemma Team 2024, section 2),
over the tokens that each token may look at: block by block, or by torch's fused kernel where that
is faster and computes the same.

Letters: B sequences, H heads, K key-value heads, T tokens, d head dimension.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AttentionInterface, PreTrainedModel

from core.training.attention.blocks import BlockAttention, product_dtype
from core.training.attention.llama4 import use_fusible_attention
from core.training.attention.masks import (
    AttentionSpan,
    causal_flex_mask,
    explicit_mask,
    flex_mask,
    rescaled_queries,
)
from core.training.execution.compiled import is_compiled, outside_compilation

NAME = "babylm_blocks"
"""Under this name transformers finds `attend`. It has no mask function there, so none is built."""
FLEX = "flex_attention"
"""Torch's fused attention, as transformers calls it."""
HAS_WIDE_REGISTERS = torch.backends.cpu.get_cpu_capability() == "AVX512"
FUSED_HEAD_WIDTH = {8: 64, 4: 256, 2: 32}
"""Up to here torch's own kernel is faster, by the bytes of a number: by up to 45 % in fp32."""


def use_blocks(model: PreTrainedModel) -> None:
    """Makes the model attend through `attend`."""
    _use(model, NAME)


def use_flex(model: PreTrainedModel) -> None:
    """Makes the model attend through torch's flex attention, where it is compiled."""
    _use(model, FLEX)


def _use(model: PreTrainedModel, name: str) -> None:
    use_fusible_attention(model)
    AttentionInterface.register(NAME, attend)
    if model.config._attn_implementation not in (NAME, FLEX):
        model._babylm_library_attention = model.config._attn_implementation
    model.config._attn_implementation = name


@contextmanager
def library_attention(model: PreTrainedModel) -> Iterator[None]:
    """Within it the model attends as transformers chose: for generating, with its caches."""
    chosen = model.config._attn_implementation
    if chosen in (NAME, FLEX):
        model.config._attn_implementation = model._babylm_library_attention
    try:
        yield
    finally:
        model.config._attn_implementation = chosen


@contextmanager
def eager_mode(model: PreTrainedModel) -> Iterator[None]:
    """Within it the layers run uncompiled, in blocks where they attended through flex attention.

    Flex attention is a fused kernel only where it is compiled; else it forms all scores.
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
    """The arguments of the model's body that keep tokens within their segments (B, T).

    Any: keywords. Our own attention takes the segments; any other gets masks, which for a model
    with two kinds of layers come by the kind. Without segments the library makes its own, but the
    ones for flex attention anew for each batch, which takes as long as some layers.
    """
    attention = model.config._attn_implementation
    if attention == NAME:
        return {} if segments is None else {"segments": segments}
    if segments is None and attention != FLEX:
        return {}
    layer_types = getattr(model.config, "layer_types", None)
    kinds = set(layer_types or ["full_attention"])
    reaches = {
        "full_attention": AttentionSpan(),
        "sliding_attention": AttentionSpan(window=getattr(model.config, "sliding_window", None)),
        "chunked_attention": AttentionSpan(
            chunk=getattr(model.config, "attention_chunk_size", None)
        ),
    }
    masks: dict[str, Any] = {}
    for kind in kinds:
        if segments is None:
            masks[kind] = causal_flex_mask(inputs.shape[1], reaches[kind], inputs.device)
        elif attention == FLEX:
            masks[kind] = flex_mask(segments, reaches[kind])
        else:
            masks[kind] = explicit_mask(segments, reaches[kind], model.lm_head.weight.dtype)
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
    """Whether torch's fused kernel beats blocks: on a GPU, and on a CPU with wide registers.

    There it loops over blocks in C++, and holds the scores of narrow heads in registers; wide heads
    it multiplies slower in bf16. It knows no cap and no mask but the causal one. Measured in
    benchmarks/README.md.
    """
    if query.is_cuda:
        return True
    if query.device.type != "cpu" or not HAS_WIDE_REGISTERS:
        return False
    return query.shape[-1] <= FUSED_HEAD_WIDTH[product_dtype(query).itemsize]


def _fused(query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
    """Causal attention by torch's kernel, (B, T, H, d).

    On a CPU in float32 at least: its bf16 is slower there.
    """
    dtype = product_dtype(query)
    wide = dtype if query.is_cuda else torch.promote_types(dtype, torch.float32)
    with torch.autocast(query.device.type, enabled=False):
        output = functional.scaled_dot_product_attention(
            query.to(wide),
            key.to(wide),
            value.to(wide),
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
    """BlockAttention behind a border that torch.compile does not cross: it would unroll loops."""
    output: Tensor = BlockAttention.apply(  # type: ignore[no-untyped-call]
        query, key, value, segments, scaling, softcap, span
    )
    return output
