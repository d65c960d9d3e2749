"""Which tokens a token sees: those before it, near enough, and of its own segment.

A sequence may hold several documents; `segments` numbers them along it, (B, T) integers that never
fall. What a token of a document sees, and what its layers make of it, is then what it would be if
the document stood alone from where the sequence has it: a chunk of Llama 4 is counted from the
document's first token, and so is the position that its layers without rotary embeddings scale
their queries by. Rotary embeddings depend on distances alone and need nothing.

Letters: B sequences, T tokens, Q queries of a block, N keys that they look at.
"""

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

MASKED = -1e30
"""exp of it is 0, and unlike infinity it is no NaN after a subtraction."""
SHORT_LENGTH, SHORT_BLOCK, LONG_BLOCK = 1024, 64, 128
"""Sides of the blocks that flex attention skips where nothing in them is seen: in short sequences
small ones skip more, 12 % of the time for 256 tokens on an H200."""


@dataclass(frozen=True)
class AttentionSpan:
    """How far back a token looks, itself included."""

    window: int | None = None
    """At most so many tokens."""
    chunk: int | None = None
    """Only tokens of its own chunk of so many."""

    def first(self, query: int) -> int:
        """The first position that the query at a position sees."""
        first = 0
        if self.window is not None:
            first = max(first, query - self.window + 1)
        if self.chunk is not None:
            first = max(first, query - query % self.chunk)
        return first

    def within(self, segments: Tensor) -> tuple["AttentionSpan", Tensor]:
        """The same with chunks counted from the start of each segment (B, T).

        A chunk of a segment then is a segment of its own, and nothing in it is further back than
        its length.
        """
        if self.chunk is None:
            return self, segments
        window = min(self.chunk, self.window or self.chunk)
        begins = positions_within(segments) % self.chunk == 0  # (B, T)
        return replace(self, window=window, chunk=None), begins.cumsum(dim=1)


def positions_within(segments: Tensor) -> Tensor:
    """(B, T) int64: how many tokens of its own segment stand before each token."""
    places = torch.arange(segments.shape[1], device=segments.device).expand(segments.shape)
    begins = torch.zeros_like(places)  # (B, T): where the newest segment began
    is_new = segments[:, 1:] != segments[:, :-1]  # (B, T - 1)
    begins[:, 1:] = places[:, 1:].where(is_new, 0)
    return places - begins.cummax(dim=1).values


def rescaled_queries(module: nn.Module, query: Tensor, segments: Tensor) -> Tensor:
    """Queries (B, H, T, d) of a Llama 4 layer, scaled by their position in the segment.

    Its layers without rotary embeddings make far queries sharper, by steps of `floor_scale` tokens
    (Nakanishi 2025, "Scalable-Softmax"); the layer itself knows only the position in the sequence.
    """
    layer: Any = module  # Any: transformers types no attribute of its modules
    is_tempered = getattr(layer, "attn_temperature_tuning", False) and not layer.use_rope
    if not is_tempered or query.shape[2] < layer.floor_scale:
        return query
    places = torch.arange(query.shape[2], device=query.device)  # (T,)
    own, given = (
        ((position.double() + 1.0) / layer.floor_scale).floor().log1p() * layer.attn_scale + 1.0
        for position in (positions_within(segments), places)
    )
    ratio = (own / given)[:, None, :, None]  # (B, 1, T, 1)
    tempered: Tensor = query * ratio.to(query.dtype)
    return tempered


def explicit_mask(segments: Tensor, span: AttentionSpan, dtype: torch.dtype) -> Tensor:
    """(B, 1, T, T): 0 where a token sees another, far below 0 where not."""
    span, segments = span.within(segments)
    whole = slice(0, segments.shape[1])
    like = torch.empty(0, dtype=dtype, device=segments.device)
    return segment_mask(segments, whole, whole, causal_mask(whole, whole, span, like))[:, 0]


def flex_mask(segments: Tensor, span: AttentionSpan) -> Any:
    """The same for flex attention, blocks of it instead of all. Any: the BlockMask of torch."""
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
    """Of sequences that are one segment each, as `flex_mask`; made once for all batches."""
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
    """Any: torch's own types, whose module is loaded here, because only a GPU needs it."""
    from torch.nn.attention.flex_attention import create_block_mask

    make = create_block_mask
    if device.type == "cuda" and count is not None:  # else all B x T x T are formed on the way
        make = torch.compile(create_block_mask)
    size = SHORT_BLOCK if length <= SHORT_LENGTH else LONG_BLOCK
    return make(sees, count, None, length, length, device=device, BLOCK_SIZE=size)


def causal_mask(rows: slice, columns: slice, span: AttentionSpan, like: Tensor) -> Tensor:
    """0 where a row sees a column, far below 0 where not: (Q, N), or the last (Q, Q) of it."""
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
    """(b, 1, 1, Q, N): `whole`, and other segments hidden."""
    other = segments[:, rows, None] != segments[:, None, columns]  # (b, Q, N)
    mask = torch.zeros(other.shape, dtype=whole.dtype, device=whole.device)
    mask[..., other.shape[-1] - whole.shape[-1] :] += whole
    return mask.masked_fill_(other, MASKED)[:, None, None]
