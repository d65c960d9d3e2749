"""Surprisal of each token of a text under a checkpoint, with the most probable alternatives.

The surprisal of a token is the negative logarithm of its probability. The text is tokenized and
scored as in the evaluation of minimal pairs (`core.evaluation.scoring`). No token precedes the
text, so the first token has no context and no surprisal. The sum of the surprisals is therefore the
negative score of the text in that evaluation, in bits instead of nats.
"""

import math
from typing import Any

import torch
from transformers import PreTrainedModel

from core.errors import EvaluationInvalid

Json = dict[str, Any]
"""A JSON object with values of any type."""


@torch.no_grad()
def text_surprisal(
    model: PreTrainedModel,
    tokenizer: Any,  # Any, because tokenizers share no type in transformers 4 and 5
    text: str,
    *,
    alternatives: int,
) -> Json:
    """The surprisal of a text and of each of its tokens, in bits.

    Args:
        model: A model in evaluation mode.
        tokenizer: Tokenizer of the model.
        text: A sentence or a short text.
        alternatives: Number of most probable tokens to list at each position.

    Raises:
        EvaluationInvalid: If the text has more tokens than the model has positions.
    """
    encoded = tokenizer(text, return_offsets_mapping=True)
    ids: list[int] = list(encoded["input_ids"])
    limit = int(model.config.max_position_embeddings)
    if len(ids) > limit:
        raise EvaluationInvalid(
            f"the text has {len(ids)} tokens; the model reads at most {limit}",
            hint="Shorten the text.",
        )
    tokens: list[Json] = [
        {"text": text[start:end], "surprisal": None, "alternatives": []}
        for start, end in encoded["offset_mapping"]
    ]
    if len(ids) < 2:
        return {"surprisal": 0.0, "tokens": tokens}
    row = torch.tensor([ids], device=model.device)  # (1, T) int64
    logits = model(input_ids=row, use_cache=False).logits[0, :-1]  # (T - 1, V)
    log_probabilities = torch.log_softmax(logits.double(), dim=-1)  # (T - 1, V)
    scored = log_probabilities.gather(1, row[0, 1:, None])[:, 0]  # (T - 1,)
    bits: list[float] = (-scored / math.log(2)).tolist()
    count = min(alternatives, log_probabilities.shape[-1])
    best = log_probabilities.topk(count, dim=-1)  # (T - 1, count)
    probabilities, best_ids = best.values.exp().tolist(), best.indices.tolist()
    for index, token in enumerate(tokens[1:]):
        token["surprisal"] = bits[index]
        token["alternatives"] = [
            {"text": tokenizer.decode([number]), "probability": probability}
            for number, probability in zip(best_ids[index], probabilities[index], strict=True)
        ]
    return {"surprisal": math.fsum(bits), "tokens": tokens}
