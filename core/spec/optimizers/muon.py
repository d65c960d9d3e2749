"""Muon for the matrices of the layers, AdamW for embeddings, output layer and vectors."""

from core.archs import Architecture
from core.spec.optimizers.base import OptimizerKind


def _num_state_elements(model: Architecture, vocab_size: int) -> int:
    """One momentum per weight of the layers' matrices, two moments per other weight."""
    matrices = sum(model.layer_matrices(layer)[0] for layer in range(model.num_hidden_layers))
    return 2 * model.num_parameters(vocab_size=vocab_size) - matrices


MUON = OptimizerKind(
    name="muon",
    description="Muon for the matrices of the layers, AdamW for all other weights",
    source="Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/",
    applies_grad_scale=True,
    num_state_elements=_num_state_elements,
)
