"""Encodes examples and chooses batches; a batch depends only on seed, epoch and step."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.dataset.batches import permutation
from core.evaluation.classification import Examples
from core.spec.finetune import VALIDATION_BATCH_SIZE
from core.tokenizer.specials import PAD_ID

TEXTS_AT_ONCE = 1024
DROPOUT = 1
"""Number of the random stream for dropout."""


@dataclass(frozen=True)
class Encoded:
    """Token ids and labels of the examples of a file."""

    ids: list[NDArray[np.int32]]
    labels: list[int]

    def batch(self, chosen: Sequence[int], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """The ids (B, T), lengths (B,) and labels (B,) of the chosen examples, all int64."""
        lengths = np.array([len(self.ids[index]) for index in chosen])
        padded = np.full((len(chosen), lengths.max()), PAD_ID, dtype=np.int64)  # (B, T)
        for row, index in zip(padded, chosen, strict=True):
            row[: len(self.ids[index])] = self.ids[index]
        tensors = (
            torch.from_numpy(padded),
            torch.from_numpy(lengths),
            torch.tensor([self.labels[index] for index in chosen]),
        )
        ids, counts, labels = (tensor.to(device) for tensor in tensors)
        return ids, counts, labels


def encode(
    tokenizer: Any,  # Any, because tokenizers share no type in transformers 4 and 5
    examples: Examples,
    *,
    sequence_length: int,
) -> Encoded:
    """The examples as token ids. If a pair of texts is too long, its longer text is truncated."""
    ids: list[NDArray[np.int32]] = []
    for begin in range(0, len(examples.texts), TEXTS_AT_ONCE):
        texts = examples.texts[begin : begin + TEXTS_AT_ONCE]
        parts = [list(part) for part in zip(*texts, strict=True)]
        found = tokenizer(*parts, truncation=True, max_length=sequence_length)
        ids += [np.array(row, dtype=np.int32) for row in found["input_ids"]]
    return Encoded(ids, examples.labels)


@lru_cache(maxsize=1)
def epoch_order(count: int, *, seed: int, epoch: int) -> tuple[int, ...]:
    """The indices of the examples in the random order of an epoch; epochs are counted from 0."""
    return tuple(permutation(count, seed=seed, epoch=epoch).tolist())


def dropout_seed(seed: int, step: int) -> int:
    """The seed of torch's generator in a step.

    The seed depends only on the arguments, so resume points need no random state.
    """
    state = np.random.SeedSequence([seed, DROPOUT, step]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))


def validation_batches(examples: Encoded) -> Iterator[list[int]]:
    """The indices of all examples, in batches of examples of similar length."""
    order = sorted(range(len(examples.ids)), key=lambda index: len(examples.ids[index]))
    for begin in range(0, len(order), VALIDATION_BATCH_SIZE):
        yield order[begin : begin + VALIDATION_BATCH_SIZE]


def tokens_by_epoch(train: Encoded, *, seed: int, epochs: int, used: int) -> list[int]:
    """Number of tokens in the first `used` examples of each epoch."""
    lengths = np.array([len(row) for row in train.ids])
    orders = (epoch_order(len(lengths), seed=seed, epoch=epoch) for epoch in range(epochs))
    return [int(lengths[list(order[:used])].sum()) for order in orders]
