"""Base class of the architectures: fields, Hugging Face class names, parameter and FLOP counts.

This module does not import torch, so that the API can validate specs, count parameters and estimate
without torch. `core.checkpoints.model` resolves the class names.

Shapes: D hidden size, F intermediate size, L layers, H attention heads, K key-value heads,
d head dimension, V vocabulary, T sequence length.
"""

from abc import abstractmethod
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

MAX_HIDDEN_SIZE = 16_384
MAX_VOCAB_SIZE = 1_000_000
DEFAULT_MAX_POSITION_EMBEDDINGS = 2048
"""Maximum number of input tokens, if the spec does not give it. Evaluations contain texts that are
longer than the training sequences. Models of the BabyLM-NA2 research scripts accept 2,048 tokens or
more. Position embeddings are rotary, so the number of weights does not depend on this value."""
OFFICIAL_TRANSFORMERS = "4.51.3"
"""The release of transformers that the BabyLM evaluation pipelines of 2025 and 2026 pin."""
TARGET_HEAD_DIM = 64
"""Maximum width of a head if `num_attention_heads` is null. 64 is common for models of this size
(GPT-2, Radford et al. 2019)."""


def default_num_heads(hidden_size: int) -> int:
    """The number of heads, if the spec does not give it. `hidden_size` must be even.

    The width of a head is the largest even number up to 64 that divides `hidden_size`.
    """
    widths = range(2, min(TARGET_HEAD_DIM, hidden_size) + 1, 2)
    return hidden_size // max(width for width in widths if hidden_size % width == 0)


class Architecture(BaseModel):
    """The fields that all architectures share. They have the names that Hugging Face uses."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    config_class: ClassVar[str]
    """Name of the configuration class in `transformers`."""
    model_class: ClassVar[str]
    """Name of the causal language model class in `transformers`."""
    title: ClassVar[str]
    """Display name."""
    source: ClassVar[str]
    """URL of the paper or announcement that describes the architecture."""
    alias: ClassVar[str]
    """Name on the command line of the research scripts."""
    num_mask_kinds: ClassVar[int] = 1
    """Number of kinds of attention masks. A model with one kind takes a mask; a model with several
    kinds takes a dictionary with a mask for each kind."""
    is_safe_in_fp16: ClassVar[bool] = True
    """False if activations are known to exceed 65,504, the largest fp16 number."""
    has_attention_temperature: ClassVar[bool] = False
    """Whether layers scale queries by a factor that depends on the position. With packed documents,
    the factor must depend on the position in the document, not in the sequence."""
    residual_branches: ClassVar[tuple[str, ...]]
    """Names of the modules in a layer that add their outputs to the residual stream."""

    architecture: str
    hidden_size: int = Field(
        default=768,
        ge=8,
        le=MAX_HIDDEN_SIZE,
        multiple_of=2,  # rotary embeddings rotate pairs, so the width of a head is even
        description="Width D, an even number.",
    )
    num_hidden_layers: int = Field(default=12, ge=1, le=256, description="Number of layers L.")
    num_attention_heads: int | None = Field(
        default=None,
        ge=1,
        le=1024,
        description="Number of attention heads H; null: hidden_size / w, where w is the largest "
        "even divisor of hidden_size up to 64.",
    )
    num_key_value_heads: int | None = Field(
        default=None,
        ge=1,
        le=1024,
        description="Number of key-value heads K; null: H for OLMo 2; H / 2 for Gemma 2, or H if H "
        "is odd; the greatest common divisor of H and 8 for Llama 4.",
    )
    intermediate_size: int | None = Field(
        default=None, ge=8, le=131_072, description="Width F of the MLP; null: 4 x hidden_size."
    )
    max_position_embeddings: int | None = Field(
        default=None,
        ge=8,
        le=1_048_576,
        description="Maximum number of tokens in an input, at least training.seq_length; null: "
        "2048, or training.seq_length if that is more.",
    )
    rope_theta: float = Field(
        default=10_000.0, ge=1.0, le=1e9, description="Base of the rotary embeddings."
    )
    rms_norm_eps: float = Field(default=1e-5, gt=0.0, le=1e-2, description="Epsilon of the norms.")
    initializer_range: float = Field(
        default=0.02, gt=0.0, le=1.0, description="Standard deviation of the initial weights."
    )
    attention_dropout: float = Field(
        default=0.0, ge=0.0, lt=1.0, description="Dropout on attention weights."
    )
    dropout: float = Field(
        default=0.0,
        ge=0.0,
        lt=1.0,
        description="Dropout on the outputs of attention and MLP before they are added to the "
        "residual stream, in training only; not part of the exported model. GPT-2 and GPT-BERT "
        "(Charpentier and Samuel 2024) use 0.1.",
    )
    attention_bias: bool = Field(default=False, description="Biases in the attention projections.")
    tie_word_embeddings: bool = Field(
        default=True, description="Share one matrix between the embeddings and the output layer."
    )

    @field_validator("num_attention_heads")
    @classmethod
    def _heads_divide_hidden_size(cls, heads: int | None, info: ValidationInfo) -> int | None:
        hidden_size = info.data.get("hidden_size")
        if heads is not None and hidden_size is not None:
            fitting = [n for n in range(1, 257) if hidden_size % (2 * n) == 0]
            if hidden_size % (2 * heads):
                raise ValueError(
                    f"must divide hidden_size {hidden_size} into heads of even width (rotary "
                    f"embeddings rotate pairs); accepted here: {fitting}"
                )
        return heads

    @field_validator("num_key_value_heads")
    @classmethod
    def _key_value_heads_divide_heads(cls, heads: int | None, info: ValidationInfo) -> int | None:
        total = info.data.get("num_attention_heads")
        if heads is not None and total is None and info.data.get("hidden_size"):
            total = default_num_heads(info.data["hidden_size"])
        if heads is not None and total is not None and total % heads:
            fitting = [n for n in range(1, total + 1) if total % n == 0]
            raise ValueError(f"must divide num_attention_heads {total}; accepted here: {fitting}")
        return heads

    def resolve(self, *, seq_length: int) -> Self:
        """The same architecture with every null replaced by the value that will be used."""
        heads = self.num_attention_heads or default_num_heads(self.hidden_size)
        return self.model_copy(
            update={
                "num_attention_heads": heads,
                "num_key_value_heads": self.num_key_value_heads or self._default_kv_heads(heads),
                "intermediate_size": self.intermediate_size or 4 * self.hidden_size,
                "max_position_embeddings": self.max_position_embeddings
                or max(seq_length, DEFAULT_MAX_POSITION_EMBEDDINGS),
            }
        )

    def exported_config(self) -> dict[str, Any]:
        """Entries of `config.json` that replace the entries of the configuration class."""
        return {}

    def compatibility_warnings(self) -> list[str]:
        """Warnings about settings that `OFFICIAL_TRANSFORMERS` ignores or cannot run."""
        return []

    def _default_kv_heads(self, heads: int) -> int:
        return heads

    @property
    def heads(self) -> int:
        """Number of attention heads (H): `num_attention_heads`, or its default if that is null."""
        return self.num_attention_heads or default_num_heads(self.hidden_size)

    @property
    def kv_heads(self) -> int:
        """Number of key-value heads (K): `num_key_value_heads`, or its default if that is null."""
        return self.num_key_value_heads or self._default_kv_heads(self.heads)

    @property
    def head_width(self) -> int:
        """Width of a head (d)."""
        return self.hidden_size // self.heads

    @property
    def mlp_width(self) -> int:
        """Width of the MLP (F): `intermediate_size`, or its default if that is null."""
        return self.intermediate_size or 4 * self.hidden_size

    def common_arguments(self, *, vocab_size: int) -> dict[str, Any]:
        """The keyword arguments that the configuration classes of all architectures share."""
        resolved = self.resolve(seq_length=self.max_position_embeddings or 8)
        return {
            "vocab_size": vocab_size,
            "hidden_size": resolved.hidden_size,
            "intermediate_size": resolved.intermediate_size,
            "num_hidden_layers": resolved.num_hidden_layers,
            "num_attention_heads": resolved.num_attention_heads,
            "num_key_value_heads": resolved.num_key_value_heads,
            "max_position_embeddings": resolved.max_position_embeddings,
            "rope_parameters": {"rope_type": "default", "rope_theta": resolved.rope_theta},
            "rms_norm_eps": resolved.rms_norm_eps,
            "initializer_range": resolved.initializer_range,
            "attention_dropout": resolved.attention_dropout,
            "attention_bias": resolved.attention_bias,
            "tie_word_embeddings": resolved.tie_word_embeddings,
        }

    @abstractmethod
    def config_arguments(self, *, vocab_size: int) -> dict[str, Any]:
        """All keyword arguments of the Hugging Face configuration class."""

    @abstractmethod
    def layer_matrices(self, layer: int) -> tuple[int, int]:
        """Weights in the matrices of a layer: total number, and number used for one token."""

    @abstractmethod
    def layer_vectors(self) -> int:
        """Number of weights in the norms of a layer."""

    def attention_matrices(self) -> int:
        """Number of weights in the four attention projections."""
        return self.hidden_size * self.head_width * (2 * self.heads + 2 * self.kv_heads)

    def _attention_biases(self) -> int:
        if not self.attention_bias:
            return 0
        return self.head_width * (self.heads + 2 * self.kv_heads) + self.hidden_size

    def num_parameters(self, *, vocab_size: int) -> int:
        """Number of trainable parameters of the built model; tied embeddings count once."""
        matrices = sum(self.layer_matrices(layer)[0] for layer in range(self.num_hidden_layers))
        vectors = self.num_hidden_layers * (self.layer_vectors() + self._attention_biases())
        embeddings = vocab_size * self.hidden_size * (1 if self.tie_word_embeddings else 2)
        return embeddings + matrices + vectors + self.hidden_size  # the last norm

    def flops_per_token(self, *, vocab_size: int, seq_length: int) -> float:
        """Floating-point operations of the forward and backward pass for one token.

        Counts only the necessary matrix products, without recomputation. Each weight that is used
        for the token, including those of the output layer, takes 6 operations: 2 forward and 4
        backward (Kaplan et al. 2020, section 2.1). The operations of attention are those of
        Chowdhery et al. 2022, appendix B, divided by 2, because a token attends to half of the
        sequence on average.
        """
        active = sum(self.layer_matrices(layer)[1] for layer in range(self.num_hidden_layers))
        active += vocab_size * self.hidden_size
        attention = self.num_hidden_layers * seq_length * self.heads * self.head_width
        return 6.0 * active + 6.0 * attention
