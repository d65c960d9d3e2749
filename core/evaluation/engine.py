"""Computes the log-probabilities of the target tokens of rows.

A row contains one or more token sequences, and its target tokens are the tokens that are scored
(`core.evaluation.rows`). Batches have a fixed token budget and contain rows of similar length. Only
the hidden states from which a prediction is read pass through the output layer.

Shapes: B rows, T tokens in a row, R predictions that are read, N predictions whose softmax
normalizer is computed, D hidden size, V vocabulary.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from core.evaluation.rows import Row

CPU_TOKENS, DEVICE_TOKENS = 2048, 65_536
"""Maximum number of tokens of a batch, on a CPU and on other devices. Larger batches exceed a CPU's
cache. A GPU needs large batches, so that each kernel has enough work."""
LOGITS = 1 << 23
"""Maximum number of logits that are computed at once. They take 32 MiB, and glibc reuses blocks of
this size. It would return larger blocks to the kernel, and each new block costs page faults."""
SMALLEST_SUM, LARGEST_SUM = 1e-20, 1e30
"""Between these values, sums of exp in float32 are accurate without subtracting the maximum."""
PAD_ID = 0
"""Token id of padding. Any id works, because no other token attends to padding."""


@dataclass(frozen=True)
class Layout:
    """The fields of the rows of a batch (see `Row`) as tensors, each (B, T) int64."""

    ids: Tensor
    positions: Tensor
    ends: Tensor


def batch_tokens(model: PreTrainedModel) -> int:
    """Token budget of a batch on the device of the model."""
    return CPU_TOKENS if model.device.type == "cpu" else DEVICE_TOKENS


def may_pack(model: PreTrainedModel, width: int) -> bool:
    """Whether a row with several sequences gives the same results as one row per sequence.

    `width` is the maximum number of tokens of a row. In Llama 4, the results would differ for the
    tokens from index `floor_scale` on, because the model scales queries by their index in the row
    instead of by `position_ids`.
    """
    config = model.config
    return not getattr(config, "attn_temperature_tuning", False) or width < config.floor_scale


def batches(rows: Sequence[Row], *, begin: int, tokens: int) -> Iterator[Sequence[Row]]:
    """Batches of consecutive rows with at most `tokens` tokens, padding included.

    A row with more tokens is a batch of its own. The rows must be in ascending order of length.
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

    For a relative target (see `Chain.is_relative`), the value is the logit.

    Args:
        model: In evaluation mode.
        rows: A batch.
    """
    layout = _layout(rows, model.device)
    arguments: dict[str, Any] = {}  # keyword arguments of the model
    if not all(row.is_chain for row in rows):
        arguments = {"position_ids": layout.positions, "attention_mask": _masks(model, layout)}
    hidden = model.model(input_ids=layout.ids, use_cache=False, **arguments).last_hidden_state
    hidden = hidden.flatten(0, 1)  # (B T, D)
    width = layout.ids.shape[1]
    places = [number * width + index for number, row in enumerate(rows) for index in row.indices]
    at = torch.tensor(places, device=hidden.device)  # (R,)
    targets = torch.tensor([token for row in rows for token in row.targets], device=hidden.device)
    relative = torch.tensor([flag for row in rows for flag in row.relative], device=hidden.device)
    values = _target_logits(model, hidden[at], targets)  # (R,)
    absolute = relative.logical_not().nonzero()[:, 0]
    places_used, which = torch.unique(at[absolute], return_inverse=True)
    values[absolute] -= _log_normalizers(model, hidden[places_used])[which]
    found: list[float] = values.tolist()
    return found


def _target_logits(model: PreTrainedModel, hidden: Tensor, targets: Tensor) -> Tensor:
    """(R,) float64: the logit of one target for each row of `hidden`, (R, D)."""
    chosen = model.get_output_embeddings().weight[targets]  # (R, D)
    return _capped(model, (hidden.float() * chosen.float()).sum(dim=-1)).double()


def _log_normalizers(model: PreTrainedModel, hidden: Tensor) -> Tensor:
    """(N,) float64: log sum exp of the logits of each row of `hidden`, (N, D)."""
    weight = model.get_output_embeddings().weight
    size = max(1, LOGITS // len(weight))
    parts = hidden.split(size)  # type: ignore[no-untyped-call]
    sums = torch.cat([_logits(model, part).exp_().sum(dim=-1) for part in parts])
    if ((sums > SMALLEST_SUM) & (sums < LARGEST_SUM)).all():
        return sums.double().log()
    return torch.cat([_logits(model, part).logsumexp(dim=-1) for part in parts]).double()


def _logits(model: PreTrainedModel, hidden: Tensor) -> Tensor:
    """The logits, (N, V) float32."""
    return _capped(model, model.get_output_embeddings()(hidden).float())


def _capped(model: PreTrainedModel, logits: Tensor) -> Tensor:
    """Soft-caps logits in place if the model caps its logits (Gemma 2)."""
    cap = getattr(model.config, "final_logit_softcapping", None)
    return logits if cap is None else logits.div_(cap).tanh_().mul_(cap)


def _layout(rows: Sequence[Row], device: torch.device) -> Layout:
    width = max(1, max(len(row.ids) for row in rows))
    ids, positions, ends = [], [], []
    for row in rows:
        rest = width - len(row.ids)
        ids.append([*row.ids, *[PAD_ID] * rest])
        positions.append([*row.positions, *[0] * rest])
        ends.append([*row.ends, *range(len(row.ids) + 1, width + 1)])  # padding attends to itself
    return Layout(*(torch.tensor(each, device=device) for each in (ids, positions, ends)))


def _masks(model: PreTrainedModel, layout: Layout) -> Any:
    """Attention masks in the form that the model expects: one mask, or one for each type of layer.

    A token attends to itself and to the earlier tokens of its own sequence. Sliding-window and
    chunked layers restrict this further.
    """
    config = model.config
    query, key = layout.positions[:, :, None], layout.positions[:, None, :]
    index = torch.arange(layout.ids.shape[1], device=layout.ids.device)  # (T,)
    full = (index[:, None] >= index) & (index[:, None] < layout.ends[:, None, :])  # (B, T, T) bool
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
