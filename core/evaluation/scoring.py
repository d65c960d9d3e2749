"""Log-probabilities of sentences, as in the BabyLM evaluation pipeline.

A sentence is tokenized with the model's tokenizer and its default special tokens. Its score is the
sum of the log-probabilities of its text tokens, each given the tokens before it. Tokenizers of this
project add no leading token, so the first token is not scored (babylm/evaluation-pipeline-2025,
sentence_zero_shot).

Shapes: B sentences, T tokens, V vocabulary size.
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
    tokenizer: Any,  # Any, because tokenizers share no type in transformers 4 and 5
    sentences: Sequence[str],
    *,
    start: Sequence[int] = (),
) -> list[float]:
    """The log-probability of each sentence in nats.

    Args:
        model: In evaluation mode.
        tokenizer: Tokenizer of the model.
        sentences: Texts.
        start: Ids of tokens that are put before each sentence and are not scored.
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
