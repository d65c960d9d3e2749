"""Gemma 2."""

from typing import Any, ClassVar, Literal, Self

from pydantic import Field

from core.archs.base import Architecture


class Gemma2(Architecture):
    """Gemma 2 (Gemma Team 2024): soft-capped logits, local attention in every second layer."""

    config_class: ClassVar[str] = "Gemma2Config"
    model_class: ClassVar[str] = "Gemma2ForCausalLM"
    title: ClassVar[str] = "Gemma 2"
    source: ClassVar[str] = "https://arxiv.org/abs/2408.00118"
    alias: ClassVar[str] = "gemma"
    num_mask_kinds: ClassVar[int] = 2  # sliding-window and full attention
    # The residual stream of Gemma 2 overflows in fp16 (google/gemma_pytorch issue 24).
    is_safe_in_fp16: ClassVar[bool] = False
    residual_branches: ClassVar[tuple[str, ...]] = (
        "post_attention_layernorm",
        "post_feedforward_layernorm",
    )

    architecture: Literal["gemma2"] = "gemma2"
    rms_norm_eps: float = Field(default=1e-6, gt=0.0, le=1e-2, description="Epsilon of the norms.")
    head_dim: int | None = Field(
        default=None,
        ge=2,
        le=1024,
        multiple_of=2,
        description="Width of a head; null: hidden_size / num_attention_heads.",
    )
    query_pre_attn_scalar: float | None = Field(
        default=None,
        ge=1.0,
        le=65_536.0,
        multiple_of=1.0,
        description="Attention scores are divided by the square root of this integer; null: "
        "head_dim.",
    )
    sliding_window: int = Field(
        default=4096,
        ge=8,
        le=1_048_576,
        description="Number of tokens in the attention window of every second layer.",
    )
    attn_logit_softcapping: float | None = Field(
        default=50.0, gt=0.0, le=1e6, description="Soft cap on attention scores; null: no cap."
    )
    final_logit_softcapping: float | None = Field(
        default=30.0, gt=0.0, le=1e6, description="Soft cap on the output logits; null: no cap."
    )
    hidden_activation: Literal["gelu_pytorch_tanh", "gelu", "silu", "relu"] = Field(
        default="gelu_pytorch_tanh", description="Activation in the MLP."
    )

    def _default_kv_heads(self, heads: int) -> int:
        # Two heads of Gemma 2 share a key-value head (table 1 of the paper).
        return heads // 2 if heads % 2 == 0 else heads

    @property
    def head_width(self) -> int:
        """Width of a head (d): `head_dim`, or hidden_size / num_attention_heads if it is null."""
        return self.head_dim or self.hidden_size // self.heads

    def resolve(self, *, seq_length: int) -> Self:
        """The same architecture with every null replaced by the value that will be used."""
        return (
            super()
            .resolve(seq_length=seq_length)
            .model_copy(
                update={
                    "head_dim": self.head_width,
                    "query_pre_attn_scalar": self.query_pre_attn_scalar or float(self.head_width),
                }
            )
        )

    def config_arguments(self, *, vocab_size: int) -> dict[str, Any]:
        """All keyword arguments of `Gemma2Config`."""
        return self.common_arguments(vocab_size=vocab_size) | {
            "head_dim": self.head_width,
            # The configuration class rejects floats.
            "query_pre_attn_scalar": int(self.query_pre_attn_scalar or self.head_width),
            "sliding_window": self.sliding_window,
            "attn_logit_softcapping": self.attn_logit_softcapping,
            "final_logit_softcapping": self.final_logit_softcapping,
            "hidden_activation": self.hidden_activation,
        }

    def exported_config(self) -> dict[str, Any]:
        """Entries of `config.json` that replace the entries of the configuration class."""
        if self.attn_logit_softcapping is None:
            return {}
        # The default attention implementation of transformers 4 ignores the soft cap without a
        # warning. Only a private entry of `config.json` selects another implementation.
        # transformers 5 ignores this entry, and computes Gemma 2 with eager attention by default.
        return {"_attn_implementation_internal": "eager"}

    def layer_matrices(self, layer: int) -> tuple[int, int]:
        """Weights in the matrices of a layer: total number, and number used for one token."""
        del layer
        weights = self.attention_matrices() + 3 * self.hidden_size * self.mlp_width
        return weights, weights

    def layer_vectors(self) -> int:
        """Number of weights in the norms before and after the attention and the MLP."""
        return 4 * self.hidden_size
