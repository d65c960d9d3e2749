"""Llama 4, the text model."""

from math import gcd
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, ValidationInfo, field_validator

from core.archs.base import (
    DEFAULT_MAX_POSITION_EMBEDDINGS,
    OFFICIAL_TRANSFORMERS,
    Architecture,
)

OFFICIAL_NO_ROPE_INTERVAL = 4
"""The `no_rope_layer_interval` that the release `OFFICIAL_TRANSFORMERS` of transformers uses for
all models. This release ignores the value in `config.json`."""


class Llama4(Architecture):
    """Llama 4 (Meta 2025): routed and shared experts, some layers without position embeddings."""

    config_class: ClassVar[str] = "Llama4TextConfig"
    model_class: ClassVar[str] = "Llama4ForCausalLM"
    title: ClassVar[str] = "Llama 4"
    source: ClassVar[str] = "https://ai.meta.com/blog/llama-4-multimodal-intelligence/"
    alias: ClassVar[str] = "llama"
    num_mask_kinds: ClassVar[int] = 2  # chunked and full attention
    has_attention_temperature: ClassVar[bool] = True
    residual_branches: ClassVar[tuple[str, ...]] = ("self_attn", "feed_forward")

    architecture: Literal["llama4"] = "llama4"
    head_dim: int | None = Field(
        default=None,
        ge=2,
        le=1024,
        multiple_of=2,
        description="Width of a head; null: hidden_size / num_attention_heads.",
    )
    rope_theta: float = Field(
        default=500_000.0, ge=1.0, le=1e9, description="Base of the rotary embeddings."
    )
    num_local_experts: int = Field(
        default=16,
        ge=0,
        le=256,
        description="Number of routed experts per layer; 0 makes all layers dense.",
    )
    num_experts_per_tok: int = Field(
        default=1,
        ge=1,
        le=256,
        description="Number of routed experts per token, in addition to the shared expert.",
    )
    interleave_moe_layer_step: int = Field(
        default=1,
        ge=1,
        le=256,
        description="Interval n: every n-th layer has experts, the other layers are dense.",
    )
    use_qk_norm: bool = Field(default=True, description="Normalize queries and keys.")
    no_rope_layer_interval: int = Field(
        default=4,
        ge=1,
        le=256,
        description="Interval n: every n-th layer has no rotary embeddings.",
    )
    attention_chunk_size: int = Field(
        default=8192,
        ge=8,
        le=1_048_576,
        description="Number of tokens in a chunk. In layers with rotary embeddings, a token "
        "attends only to tokens of its own chunk.",
    )
    hidden_act: Literal["silu", "gelu", "relu"] = Field(
        default="silu", description="Activation in the MLP and the experts."
    )

    @field_validator("num_experts_per_tok")
    @classmethod
    def _not_more_than_experts(cls, chosen: int, info: ValidationInfo) -> int:
        experts = info.data.get("num_local_experts")
        if experts and chosen > experts:
            raise ValueError(f"must be at most num_local_experts {experts}")
        return chosen

    def _default_kv_heads(self, heads: int) -> int:
        # 8 as in the released models, or the largest divisor of 8 that divides the number of heads.
        return gcd(heads, 8)

    @property
    def head_width(self) -> int:
        """Width of a head (d): `head_dim`, or hidden_size / num_attention_heads if it is null."""
        return self.head_dim or self.hidden_size // self.heads

    def resolve(self, *, seq_length: int) -> Self:
        """The same architecture with every null replaced by the value that will be used."""
        resolved = super().resolve(seq_length=seq_length)
        return resolved.model_copy(update={"head_dim": self.head_width})

    def exported_config(self) -> dict[str, Any]:
        """Entries of `config.json` that replace the entries of the configuration class."""
        # Without `use_cache: false`, transformers 4.51 builds a bfloat16 cache in every forward
        # pass. Meta's checkpoints have the same entry. The entry does not slow generation down,
        # because generation takes `use_cache` from generation_config.json, where it is true.
        return {"use_cache": False}

    def compatibility_warnings(self) -> list[str]:
        """Warnings about settings that `OFFICIAL_TRANSFORMERS` ignores or cannot run."""
        release, warnings = f"transformers {OFFICIAL_TRANSFORMERS}", []
        if self._no_rope_layers(self.no_rope_layer_interval) != self._no_rope_layers(
            OFFICIAL_NO_ROPE_INTERVAL
        ):
            warnings.append(
                f"no_rope_layer_interval is {self.no_rope_layer_interval}: {release}, which the "
                f"BabyLM evaluation uses, always computes with {OFFICIAL_NO_ROPE_INTERVAL}, so its "
                "scores are not those of this model; use "
                f"{OFFICIAL_NO_ROPE_INTERVAL}, or evaluate with transformers 4.57 or newer"
            )
        longest = self.max_position_embeddings or DEFAULT_MAX_POSITION_EMBEDDINGS
        if self.attention_chunk_size < longest:
            warnings.append(
                f"attention_chunk_size is {self.attention_chunk_size}: {release}, which the BabyLM "
                "evaluation uses, fails or computes wrong scores if inputs are padded or longer "
                f"than that; use at least max_position_embeddings ({longest}), or evaluate with "
                "transformers 4.57 or newer"
            )
        if self.attention_bias:
            warnings.append(
                f"attention_bias is true: {release}, which the BabyLM evaluation uses, and every "
                "other release before 5 omit the biases of Llama 4, so the scores are not those of "
                "this model; use false, or evaluate with transformers 5"
            )
        return warnings

    def _no_rope_layers(self, interval: int) -> list[int]:
        return list(range(interval - 1, self.num_hidden_layers, interval))

    def moe_layers(self) -> list[int]:
        """Indices of the layers that have experts."""
        if self.num_local_experts == 0:
            return []
        step = self.interleave_moe_layer_step
        return list(range(step - 1, self.num_hidden_layers, step))

    def config_arguments(self, *, vocab_size: int) -> dict[str, Any]:
        """All keyword arguments of `Llama4TextConfig`.

        Llama 4 has a separate width for dense layers, `intermediate_size_mlp`. Here both widths are
        `intermediate_size`.
        """
        return self.common_arguments(vocab_size=vocab_size) | {
            "head_dim": self.head_width,
            "intermediate_size_mlp": self.mlp_width,
            # Without experts, `moe_layers` is empty and transformers ignores the next two values.
            "num_local_experts": max(1, self.num_local_experts),
            "num_experts_per_tok": min(self.num_experts_per_tok, max(1, self.num_local_experts)),
            "moe_layers": self.moe_layers(),
            "interleave_moe_layer_step": self.interleave_moe_layer_step,
            "use_qk_norm": self.use_qk_norm,
            "no_rope_layer_interval": self.no_rope_layer_interval,
            "attention_chunk_size": self.attention_chunk_size,
            "hidden_act": self.hidden_act,
        }

    def layer_matrices(self, layer: int) -> tuple[int, int]:
        """Weights in the matrices of a layer: total number, and number used for one token."""
        attention = self.attention_matrices()
        mlp = 3 * self.hidden_size * self.mlp_width
        if layer not in self.moe_layers():
            return attention + mlp, attention + mlp
        router = self.num_local_experts * self.hidden_size
        everything = attention + router + mlp * (1 + self.num_local_experts)
        return everything, attention + router + mlp * (1 + self.num_experts_per_tok)

    def layer_vectors(self) -> int:
        """Number of weights in the norms before the attention and the MLP.

        The norm on queries and keys has no weights.
        """
        return 2 * self.hidden_size
