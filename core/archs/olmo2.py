"""OLMo 2."""

from typing import Any, ClassVar, Literal

from pydantic import Field

from core.archs.base import Architecture


class Olmo2(Architecture):
    """OLMo 2 (OLMo Team 2025): norms after each block, and on queries and keys."""

    config_class: ClassVar[str] = "Olmo2Config"
    model_class: ClassVar[str] = "Olmo2ForCausalLM"
    title: ClassVar[str] = "OLMo 2"
    source: ClassVar[str] = "https://arxiv.org/abs/2501.00656"
    alias: ClassVar[str] = "olmo"
    residual_branches: ClassVar[tuple[str, ...]] = (
        "post_attention_layernorm",
        "post_feedforward_layernorm",
    )

    architecture: Literal["olmo2"] = "olmo2"
    hidden_act: Literal["silu", "gelu", "relu"] = Field(
        default="silu", description="Activation in the MLP."
    )

    def config_arguments(self, *, vocab_size: int) -> dict[str, Any]:
        """All keyword arguments of `Olmo2Config`."""
        return self.common_arguments(vocab_size=vocab_size) | {"hidden_act": self.hidden_act}

    def layer_matrices(self, layer: int) -> tuple[int, int]:
        """Weights in the matrices of a layer: total number, and number used for one token."""
        del layer
        weights = self.attention_matrices() + 3 * self.hidden_size * self.mlp_width
        return weights, weights

    def layer_vectors(self) -> int:
        """Number of weights in the norms after attention and MLP, and on queries and keys."""
        return 2 * self.hidden_size + self.head_width * (self.heads + self.kv_heads)
