"""Log-probabilities of the tokens that rows ask for.

Batches are filled by tokens, and rows of about the same length share one. Only the predictions that
are read go through the output layer. Letters: B rows, T tokens in a row, N predictions that are
read, D hidden size, V vocabulary.
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
"""Tokens in a batch. On a CPU larger ones leave the cache; a GPU must be filled."""
HEAD_ROWS = 512
"""Predictions that go through the output layer at once: (512, V) float32 fits the cache."""
PAD_ID = 0
"""Any id will do: padding is on the right, where a causal model does not look."""
PADDING = -1
"""Segment of padding; 0 is what all branches share, branches count from 1."""


@dataclass(frozen=True)
class Layout:
    """Tokens of a batch, each (B, T) int64."""

    ids: Tensor
    positions: Tensor
    segments: Tensor


def batch_tokens(model: PreTrainedModel) -> int:
    """Tokens that a batch holds on the device of the model."""
    return CPU_TOKENS if model.device.type == "cpu" else DEVICE_TOKENS


def may_pack(model: PreTrainedModel, width: int) -> bool:
    """False if branches of one row would compute something else than rows of their own.

    Llama 4 scales queries by the index in the row, not by the position, beyond `floor_scale`.
    """
    config = model.config
    return not getattr(config, "attn_temperature_tuning", False) or width < config.floor_scale


def batches(rows: Sequence[Row], *, begin: int, tokens: int) -> Iterator[Sequence[Row]]:
    """Consecutive rows of at most `tokens` tokens with their padding, or one longer row.

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
    arguments: dict[str, Any] = {}  # Any: keywords of the model
    if any(row.branches for row in rows):
        arguments = {"position_ids": layout.positions, "attention_mask": _masks(model, layout)}
    hidden = model.model(input_ids=layout.ids, use_cache=False, **arguments).last_hidden_state
    # (B, T, D)
    width = layout.ids.shape[1]
    places = [number * width + index for number, row in enumerate(rows) for index in row.indices]
    at = torch.tensor(places, device=hidden.device)
    read, which = torch.unique(at, return_inverse=True)  # (N,) and one for each read
    targets = torch.tensor([token for row in rows for token in row.targets], device=hidden.device)
    needed = hidden.reshape(-1, hidden.shape[-1])[read]  # (N, D)
    return _read(model, needed, which, targets)


def _read(model: PreTrainedModel, hidden: Tensor, which: Tensor, targets: Tensor) -> list[float]:
    """Log-probability of each target after the prediction `which` of `hidden`, (N, D)."""
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
    """(N, V) float32; Gemma 2 caps them."""
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
    """What each token sees, as the layers of the model expect it (Any: a mask, or one by type).

    A token sees the shared ones and those of its own branch, up to its own position; layers with a
    window or with chunks see less.
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
    """Boolean for scaled dot-product attention; added to the scores by the eager one."""
    if model.config._attn_implementation != "eager":
        return mask
    lowest = torch.finfo(model.dtype).min
    return torch.zeros_like(mask, dtype=model.dtype).masked_fill(~mask, lowest)
