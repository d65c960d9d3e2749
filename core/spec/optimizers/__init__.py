"""The optimizers that can be chosen: one description each, one line each in the registry.

An optimizer also has one line in `core.training.optimizers.builders.BUILDERS`.
"""

from core.spec.optimizers.adamw import ADAMW
from core.spec.optimizers.base import OptimizerKind
from core.spec.optimizers.muon import MUON

OPTIMIZERS: dict[str, OptimizerKind] = {kind.name: kind for kind in (ADAMW, MUON)}

__all__ = ["OPTIMIZERS", "OptimizerKind"]
