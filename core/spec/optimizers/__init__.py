"""Registry of the optimizers.

Each optimizer also has a builder in `core.training.optimizers.builders.BUILDERS`.
"""

from core.spec.optimizers.adamw import ADAMW
from core.spec.optimizers.base import OptimizerKind
from core.spec.optimizers.muon import MUON

OPTIMIZERS: dict[str, OptimizerKind] = {kind.name: kind for kind in (ADAMW, MUON)}

__all__ = ["OPTIMIZERS", "OptimizerKind"]
