"""AdamW."""

from core.archs import Architecture
from core.spec.optimizers.base import OptimizerKind


def _num_state_elements(model: Architecture, vocab_size: int) -> int:
    return 2 * model.num_parameters(vocab_size=vocab_size)


ADAMW = OptimizerKind(
    name="adamw",
    description="AdamW for all weights",
    source="Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101",
    applies_grad_scale=True,
    num_state_elements=_num_state_elements,
)
