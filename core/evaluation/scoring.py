"""The log-probability of sentences, as the BabyLM evaluation pipeline takes it.

A sentence goes through the model's own tokenizer with its default special tokens, and its score is
the sum of the log-probabilities of its text tokens, each given those before it. So without a token
in front the first one is not scored; our tokenizers put none there
(babylm/evaluation-pipeline-2025, sentence_zero_shot). B sentences, T tokens, V vocabulary.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional
from transformers import PreTrainedModel

from core.evaluation.engine import PAD_ID

BATCH_SENTENCES = 64


@torch.no_grad()
def sentence_scores(
    model: PreTrainedModel,
    tokenizer: Any,  # Any: transformers' tokenizers share no public type in 4 and 5
    sentences: Sequence[str],
    *,
    start: Sequence[int] = (),
) -> list[float]:
    """The log-probability of each sentence in nats; 64 of about the same length are a batch.

    Args:
        model: In evaluation mode.
        tokenizer: Its tokenizer.
        sentences: Texts.
        start: Ids put in front of each, where they are not scored themselves.
    """
    if not sentences:
        return []
    encoded = tokenizer(list(sentences), return_special_tokens_mask=True)
    rows = [[*start, *ids] for ids in encoded["input_ids"]]
    special = [[1] * len(start) + mask for mask in encoded["special_tokens_mask"]]
    scores = [0.0] * len(sentences)
    order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
    for begin in range(0, len(order), BATCH_SENTENCES):
        batch = order[begin : begin + BATCH_SENTENCES]
        values = _scores(model, [rows[index] for index in batch], [special[i] for i in batch])
        for index, value in zip(batch, values, strict=True):
            scores[index] = value
    return scores


def _scores(
    model: PreTrainedModel, rows: Sequence[Sequence[int]], special: Sequence[Sequence[int]]
) -> list[float]:
    width = max(2, max(len(row) for row in rows))
    ids = torch.full((len(rows), width), PAD_ID)  # (B, T) int64
    scored = torch.zeros((len(rows), width), dtype=torch.bool)  # (B, T)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = torch.tensor(row)
        scored[index, : len(row)] = ~torch.tensor(special[index], dtype=torch.bool)
    ids, scored = ids.to(model.device), scored.to(model.device)
    logits = model(input_ids=ids, use_cache=False).logits[:, :-1].float()  # (B, T - 1, V)
    losses = functional.cross_entropy(
        logits.reshape(-1, logits.shape[-1]), ids[:, 1:].reshape(-1), reduction="none"
    ).view(len(rows), width - 1)  # (B, T - 1)
    kept = -losses.double() * scored[:, 1:]
    values: list[float] = kept.sum(dim=1).tolist()
    return values
