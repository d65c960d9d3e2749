"""Attention masks: causal, limited by the attention span, and within a segment.

A sequence may contain several documents. The tensor `segments`, (B, T) integers, has the number of
each token's document. Documents are numbered in ascending order. Each document is computed as if it
were alone in the sequence. For Llama 4, this means that chunks start at the document's first token,
and that layers without rotary embeddings scale queries by the position in the document. Rotary
embeddings depend only on distances between tokens, so they need no change.

Shapes: B sequences, T tokens, Q queries of a block, N keys that they attend to.
"""

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

MASKED = -1e30
"""The score of a masked key. Its exp is 0. The difference of two such scores is 0, whereas the
difference of two infinite scores is NaN."""
SHORT_LENGTH, SHORT_BLOCK, LONG_BLOCK = 1024, 64, 128
"""Block sizes of flex attention, which skips fully masked blocks. Sequences of up to SHORT_LENGTH
tokens have blocks of SHORT_BLOCK tokens, and longer sequences have blocks of LONG_BLOCK tokens.
With small blocks, a larger share of the scores is in fully masked blocks. This saves 12 % of the
time for 256 tokens on an H200."""


@dataclass(frozen=True)
class AttentionSpan:
    """The limits of the tokens that a token attends to: a window, a chunk, both or neither."""

    window: int | None = None
    """Maximum number of tokens that a token attends to, including itself (sliding window); None
    means no limit."""
    chunk: int | None = None
    """Number of tokens in a chunk. A token attends only to tokens of its own chunk. None means that
    sequences have no chunks."""

    def first(self, query: int) -> int:
        """The first position that the query at position `query` attends to."""
        first = 0
        if self.window is not None:
            first = max(first, query - self.window + 1)
        if self.chunk is not None:
            first = max(first, query - query % self.chunk)
        return first

    def within(self, segments: Tensor) -> tuple["AttentionSpan", Tensor]:
        """Replaces chunks by segments: an equivalent span without chunks, and new segments (B, T).

        The first chunk of a segment starts at the first token of the segment. Each chunk becomes a
        segment, and the window is at most the chunk size.
        """
        if self.chunk is None:
            return self, segments
        window = min(self.chunk, self.window or self.chunk)
        begins = positions_within(segments) % self.chunk == 0  # (B, T)
        return replace(self, window=window, chunk=None), begins.cumsum(dim=1)


def positions_within(segments: Tensor) -> Tensor:
    """(B, T) int64: the position of each token within its segment."""
    places = torch.arange(segments.shape[1], device=segments.device).expand(segments.shape)
    begins = torch.zeros_like(places)  # (B, T): position of a segment's first token, else 0
    is_new = segments[:, 1:] != segments[:, :-1]  # (B, T - 1)
    begins[:, 1:] = places[:, 1:].where(is_new, 0)
    return places - begins.cummax(dim=1).values


def rescaled_queries(module: nn.Module, query: Tensor, segments: Tensor) -> Tensor:
    """Queries (B, H, T, d) of a Llama 4 layer, rescaled by their position in the segment.

    A layer without rotary embeddings multiplies queries by a factor that depends on the position
    and changes every `floor_scale` tokens (Nakanishi 2025, "Scalable-Softmax"). The layer has
    already applied the factor for the position in the sequence. So this function multiplies by the
    factor for the position in the segment and divides by the applied factor. Queries of other
    layers are returned unchanged.
    """
    layer: Any = module  # Any, because transformers does not type module attributes
    is_rescaled = getattr(layer, "attn_temperature_tuning", False) and not layer.use_rope
    if not is_rescaled or query.shape[2] < layer.floor_scale:
        return query
    places = torch.arange(query.shape[2], device=query.device)  # (T,)
    own, given = (
        ((position.double() + 1.0) / layer.floor_scale).floor().log1p() * layer.attn_scale + 1.0
        for position in (positions_within(segments), places)
    )
    ratio = (own / given)[:, None, :, None]  # (B, 1, T, 1)
    rescaled: Tensor = query * ratio.to(query.dtype)
    return rescaled


def explicit_mask(segments: Tensor, span: AttentionSpan, dtype: torch.dtype) -> Tensor:
    """An additive mask (B, 1, T, T): 0 if a query attends to a key, else `MASKED`."""
    span, segments = span.within(segments)
    whole = slice(0, segments.shape[1])
    like = torch.empty(0, dtype=dtype, device=segments.device)
    return segment_mask(segments, whole, whole, causal_mask(whole, whole, span, like))[:, 0]


def flex_mask(segments: Tensor, span: AttentionSpan) -> Any:
    """The mask of `explicit_mask` as a BlockMask of torch, for flex attention."""
    span, numbers = span.within(segments)
    window = span.window

    def sees(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        del head
        seen = (numbers[batch, query] == numbers[batch, key]) & (key <= query)
        return seen if window is None else seen & (key > query - window)

    count, length = segments.shape
    return _block_mask(sees, count, length, segments.device)


@cache
def causal_flex_mask(length: int, span: AttentionSpan, device: torch.device) -> Any:
    """The BlockMask of sequences that have one segment each; all batches share it."""
    window, chunk = span.window, span.chunk

    def sees(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        del batch, head
        seen = key <= query
        if window is not None and window < length:
            seen = seen & (key > query - window)
        if chunk is not None and chunk < length:
            seen = seen & (key >= query - query % chunk)
        return seen

    return _block_mask(sees, None, length, device)


def _block_mask(sees: Any, count: int | None, length: int, device: torch.device) -> Any:
    """A BlockMask for the mask function `sees`.

    The import is inside the function, because only runs on a GPU need the module.
    """
    from torch.nn.attention.flex_attention import create_block_mask

    make = create_block_mask
    if device.type == "cuda" and count is not None:  # if not compiled, needs B x T x T elements
        make = torch.compile(create_block_mask)
    size = SHORT_BLOCK if length <= SHORT_LENGTH else LONG_BLOCK
    return make(sees, count, None, length, length, device=device, BLOCK_SIZE=size)


def causal_mask(rows: slice, columns: slice, span: AttentionSpan, like: Tensor) -> Tensor:
    """An additive mask (Q, N) for the queries at `rows` and the keys at `columns`.

    An element is 0 if the query attends to the key, else `MASKED`. If the span has neither window
    nor chunk, the function returns only the last Q columns, (Q, Q), because all earlier columns are
    0.
    """
    queries = torch.arange(rows.start, rows.stop, device=like.device)[:, None]  # (Q, 1)
    is_plain = span.window is None and span.chunk is None
    start = rows.start if is_plain else columns.start
    keys = torch.arange(start, columns.stop, device=like.device)[None]  # (1, N)
    hidden = keys > queries
    if span.window is not None:
        hidden = hidden | (keys <= queries - span.window)
    if span.chunk is not None:
        hidden = hidden | (keys < queries - queries % span.chunk)
    return torch.zeros(hidden.shape, dtype=like.dtype, device=like.device).masked_fill_(
        hidden, MASKED
    )


def segment_mask(segments: Tensor, rows: slice, columns: slice, whole: Tensor) -> Tensor:
    """The mask `whole` with keys of other segments also masked: additive, (b, 1, 1, Q, N)."""
    other = segments[:, rows, None] != segments[:, None, columns]  # (b, Q, N)
    mask = torch.zeros(other.shape, dtype=whole.dtype, device=whole.device)
    mask[..., other.shape[-1] - whole.shape[-1] :] += whole
    return mask.masked_fill_(other, MASKED)[:, None, None]
