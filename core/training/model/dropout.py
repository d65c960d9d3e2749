"""Dropout on the residual branches, in training only.

GPT-2 has such dropout (`resid_pdrop`). The modules of transformers for the architectures of this
project have none, so forward hooks add it. The exported configuration and weights are not affected.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel


def use_residual_dropout(
    model: PreTrainedModel, branches: Sequence[str], *, probability: float
) -> None:
    """Adds dropout to the outputs of the modules `branches` of each layer.

    The dropout is active in training mode only.
    """

    def drop(module: nn.Module, arguments: Any, output: Any) -> Any:  # for any module
        del arguments
        if not module.training:
            return output
        if isinstance(output, Tensor):
            return torch.dropout(output, probability, True)
        return (torch.dropout(output[0], probability, True), *output[1:])

    for layer in model.model.layers:
        for name in branches:
            layer.get_submodule(name).register_forward_hook(drop)
