"""The classification head of the official pipeline on the hidden states of a checkpoint.

transformers has sequence classifiers only for some architectures, and none for Llama 4. The
official pipeline therefore has its own head for all models
(`evaluation_pipeline/finetune/classifier_model.py`). This module has the same head.

Shapes: B examples, T tokens, D hidden size, C labels.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

NORM_EPS = 1e-5


class Classifier(nn.Module):
    """A causal language model without its output layer, and a head on one token's hidden state."""

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        num_labels: int,
        dropout: float,
        pooling: Literal["last", "first"],
        seed: int,
    ) -> None:
        """Initializes the head from `seed`. Training changes `model` in place."""
        super().__init__()
        self.transformer = model.model
        self._pooling = pooling
        size = model.config.hidden_size
        torch.manual_seed(seed)
        self.head = nn.Sequential(
            nn.LayerNorm(size, NORM_EPS, elementwise_affine=False),
            nn.Linear(size, size),
            nn.GELU(),
            nn.LayerNorm(size, NORM_EPS, elementwise_affine=False),
            nn.Dropout(dropout),
            nn.Linear(size, num_labels),
        )

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """The logits of each example, (B, C).

        Padding is on the right, where causal attention does not reach. The official code pads on
        the left. The logits are the same up to rounding, because position embeddings are relative.

        Args:
            ids: Tokens, (B, T) int64.
            lengths: Number of tokens without padding, (B,) int64.
        """
        hidden = self.transformer(input_ids=ids, use_cache=False).last_hidden_state  # (B, T, D)
        if self._pooling == "first":
            chosen = hidden[:, 0]  # (B, D)
        else:
            rows = torch.arange(len(ids), device=ids.device)
            chosen = hidden[rows, lengths - 1]  # (B, D)
        logits: Tensor = self.head(chosen)
        return logits
