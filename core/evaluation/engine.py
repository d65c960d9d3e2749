"""Computes the log-probabilities of the target tokens of rows.

Batches have a fixed token budget and contain rows of similar length. Only the hidden states whose
predictions are read pass through the output layer.

Shapes: B rows, T tokens in a row, N predictions that are read, D hidden size, V vocabulary size.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from core.evaluation.rows import Row

CPU_TOKENS, DEVICE_TOKENS = 2048, 65_536
"""Maximum number of tokens of a batch, on a CPU and on other devices. Larger batches exceed a CPU's
cache. A GPU needs large batches, so that each kernel has enough work."""
HEAD_ROWS = 512
"""Number of predictions per call of the output layer: logits of (512, V) float32 fit into a CPU's
cache."""
PAD_ID = 0
"""Token id of padding. Any id works: padding is on the right, where causal attention does not
reach."""
PADDING = -1
"""Segment number of padding. The tokens that all branches share have segment 0, and the branches
have the segments 1, 2, ..."""


@dataclass(frozen=True)
class Layout:
    """Tokens of a batch, each (B, T) int64."""

    ids: Tensor
    positions: Tensor
    segments: Tensor


def batch_tokens(model: PreTrainedModel) -> int:
    """Token budget of a batch on the device of the model."""
    return CPU_TOKENS if model.device.type == "cpu" else DEVICE_TOKENS


def may_pack(model: PreTrainedModel, width: int) -> bool:
    """Whether branches of a shared row compute the same as separate rows.

    In Llama 4 they differ from index `floor_scale` on, because the model scales queries by their
    index in the row instead of by `position_ids`.
    """
    config = model.config
    return not getattr(config, "attn_temperature_tuning", False) or width < config.floor_scale


def batches(rows: Sequence[Row], *, begin: int, tokens: int) -> Iterator[Sequence[Row]]:
    """Batches of consecutive rows: each has at most `tokens` tokens with padding, or a single row.

    The rows must be in ascending order of length.
    """
    while begin < len(rows):
        end = begin + 1
        while end < len(rows) and (end + 1 - begin) * len(rows[end].ids) <= tokens:
            end += 1
        yield rows[begin:end]
        begin = end


@torch.inference_mode()
def log_probabilities(model: PreTrainedModel, rows: Sequence[Row]) -> list[float]:
    """The log-probability of each target of each row in nats, row by row.

    Args:
        model: In evaluation mode.
        rows: A batch.
    """
    layout = _layout(rows, model.device)
    arguments: dict[str, Any] = {}  # keyword arguments of the model
    if any(row.branches for row in rows):
        arguments = {"position_ids": layout.positions, "attention_mask": _masks(model, layout)}
    hidden = model.model(input_ids=layout.ids, use_cache=False, **arguments).last_hidden_state
    # (B, T, D)
    width = layout.ids.shape[1]
    places = [number * width + index for number, row in enumerate(rows) for index in row.indices]
    at = torch.tensor(places, device=hidden.device)
    read, which = torch.unique(at, return_inverse=True)  # (N,); index into `read` per target
    targets = torch.tensor([token for row in rows for token in row.targets], device=hidden.device)
    needed = hidden.reshape(-1, hidden.shape[-1])[read]  # (N, D)
    return _read(model, needed, which, targets)


def _read(model: PreTrainedModel, hidden: Tensor, which: Tensor, targets: Tensor) -> list[float]:
    """Log-probability of each target, predicted from row `which` of `hidden`, (N, D)."""
    order = which.argsort(stable=True)
    values = torch.empty(len(targets), dtype=torch.float64, device=hidden.device)
    begins = torch.searchsorted(
        which[order], torch.arange(0, len(hidden) + HEAD_ROWS, HEAD_ROWS, device=hidden.device)
    ).tolist()
    for number, (begin, end) in enumerate(pairwise(begins)):
        first = number * HEAD_ROWS
        logits = _logits(model, hidden[first : first + HEAD_ROWS])  # (<= 512, V)
        totals = logits.logsumexp(dim=-1)
        these = order[begin:end]
        at = which[these] - first
        values[these] = (logits[at, targets[these]] - totals[at]).double()
    found: list[float] = values.tolist()
    return found


def _logits(model: PreTrainedModel, hidden: Tensor) -> Tensor:
    """The logits, (N, V) float32; soft-capped if the model caps its logits (Gemma 2)."""
    logits: Tensor = model.get_output_embeddings()(hidden).float()
    cap = getattr(model.config, "final_logit_softcapping", None)
    return logits if cap is None else torch.tanh(logits / cap) * cap


def _layout(rows: Sequence[Row], device: torch.device) -> Layout:
    width = max(1, max(len(row.ids) for row in rows))
    ids, positions, segments = [], [], []
    for row in rows:
        rest = width - len(row.ids)
        ids.append([*row.ids, *[PAD_ID] * rest])
        position, segment = list(range(row.shared)), [0] * row.shared
        for number, length in enumerate(row.branches, start=1):
            position += range(row.shared, row.shared + length)
            segment += [number] * length
        positions.append([*position, *[0] * rest])
        segments.append([*segment, *[PADDING] * rest])
    return Layout(*(torch.tensor(each, device=device) for each in (ids, positions, segments)))


def _masks(model: PreTrainedModel, layout: Layout) -> Any:
    """Attention masks in the form that the model expects: one mask, or one for each type of layer.

    A token attends to the shared tokens and to those of its own branch, up to its own position;
    sliding-window and chunked layers restrict this further.
    """
    config = model.config
    query, key = layout.positions[:, :, None], layout.positions[:, None, :]
    own, other = layout.segments[:, :, None], layout.segments[:, None, :]
    full = ((other == 0) | (other == own)) & (key <= query)  # (B, T, T) bool
    seen = {"full_attention": full}
    for kind in set(getattr(config, "layer_types", None) or ()):
        if kind == "sliding_attention":
            seen[kind] = full & (query - key < config.sliding_window)
        elif kind == "chunked_attention":
            size = config.attention_chunk_size
            seen[kind] = full & (query // size == key // size)
    made = {name: _as_expected(model, mask[:, None]) for name, mask in seen.items()}
    return made if hasattr(config, "layer_types") else made["full_attention"]


def _as_expected(model: PreTrainedModel, mask: Tensor) -> Tensor:
    """An additive mask for eager attention; for any other attention, the boolean mask itself."""
    if model.config._attn_implementation != "eager":
        return mask
    lowest = torch.finfo(model.dtype).min
    return torch.zeros_like(mask, dtype=model.dtype).masked_fill(~mask, lowest)
