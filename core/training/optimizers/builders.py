"""Builds the optimizer that a spec names. `BUILDERS` has an entry for each optimizer."""

from collections.abc import Callable

import torch
from torch import nn

from core.spec.training import TrainingSpec
from core.training.optimizers.fused_adamw import AdamW, build_adamw
from core.training.optimizers.muon_update import build_muon

Builder = Callable[[nn.Module, TrainingSpec], torch.optim.Optimizer]


def build_optimizer(model: nn.Module, training: TrainingSpec) -> torch.optim.Optimizer:
    """The optimizer. Its parameter groups have the keys that `core.spec.optimizers.base` lists."""
    return BUILDERS[training.optimizer](model, training)


def _adamw_of_model(model: nn.Module, training: TrainingSpec) -> AdamW:
    return build_adamw([each for each in model.parameters() if each.requires_grad], training)


BUILDERS: dict[str, Builder] = {"adamw": _adamw_of_model, "muon": build_muon}
"""The builder of each optimizer, by its name in `core.spec.optimizers.OPTIMIZERS`."""
