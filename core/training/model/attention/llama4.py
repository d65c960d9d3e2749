"""Llama 4's attention, with rotary embeddings that torch.compile can fuse.

The module of transformers rotates queries and keys by complex multiplication. Inductor, the code
generator of torch.compile, does not support complex numbers. So each product and each cast would be
a separate pass over memory.

Shapes: B sequences, H heads, T tokens, D hidden size, d head dimension.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.llama4.modeling_llama4 import (
    Llama4TextAttention,
    eager_attention_forward,
)

from core.training.model.attention.norms import rotated_unit_norm, unit_norm


def use_fusible_attention(model: PreTrainedModel) -> None:
    """Replaces the attention layers of a Llama 4 model; changes no other model.

    Layers that are already replaced stay.
    """
    body: Any = model.model  # Any, because transformers does not type module attributes
    plain = [layer for layer in body.layers if isinstance(layer.self_attn, Llama4TextAttention)]
    for layer in plain:
        layer.self_attn = FusibleAttention(layer.self_attn)
    if plain:
        body.rotary_emb = RealAngles(body.rotary_emb)


class RealAngles(nn.Module):
    """Replaces a `Llama4TextRotaryEmbedding` and returns real numbers instead of complex numbers.

    torch.compile warns about complex arguments of compiled layers. The angles are computed once for
    all layers. The real numbers are a view of the complex numbers, not a copy.
    """

    def __init__(self, complex_angles: nn.Module) -> None:
        super().__init__()
        self.complex_angles = complex_angles
        self.train(complex_angles.training)

    def forward(self, hidden_states: Tensor, position_ids: Tensor) -> Tensor:
        """Cosine and sine of each angle, (1 or B, T, d / 2, 2) float32."""
        return torch.view_as_real(self.complex_angles(hidden_states, position_ids))


class FusibleAttention(nn.Module):
    """Replaces a `Llama4TextAttention`.

    Submodules with weights keep their names, because checkpoints contain these names. Options keep
    their names, because attention functions of transformers read them.
    """

    def __init__(self, attention: Any) -> None:  # untyped module
        super().__init__()
        self.config, self.layer_idx = attention.config, attention.layer_idx
        self.head_dim: int = attention.head_dim
        self.num_key_value_groups: int = attention.num_key_value_groups
        self.scaling: float = attention.scaling
        self.attn_scale: float = attention.attn_scale
        self.floor_scale: float = attention.floor_scale
        self.attn_temperature_tuning: bool = attention.attn_temperature_tuning
        self.attention_dropout: float = attention.attention_dropout
        self.is_causal: bool = attention.is_causal
        self.use_rope: bool = attention.use_rope
        self.q_proj, self.k_proj = attention.q_proj, attention.k_proj
        self.v_proj, self.o_proj = attention.v_proj, attention.o_proj
        self.norm_eps: float | None = (
            attention.qk_norm.eps if hasattr(attention, "qk_norm") else None
        )
        self.train(attention.training)

    def forward(
        self,
        hidden_states: Tensor,
        position_embeddings: Tensor,
        attention_mask: Any,
        past_key_values: Any = None,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor | None]:
        """The output (B, T, D), and the attention weights if the attention function returns them.

        Args:
            hidden_states: (B, T, D).
            position_embeddings: (1 or B, T, d / 2, 2), from `RealAngles`.
            attention_mask: Mask in the format of the attention function.
            past_key_values: A cache of transformers, or None.
            kwargs: Passed to the attention function.
        """
        shape = (*hidden_states.shape[:-1], -1, self.head_dim)
        query = self.q_proj(hidden_states).view(shape)  # (B, T, H, d); keys, values: fewer heads
        key = self.k_proj(hidden_states).view(shape)
        value = self.v_proj(hidden_states).view(shape).transpose(1, 2)
        query, key = self._with_positions(query, key, position_embeddings, past_key_values)
        query, key = query.transpose(1, 2), key.transpose(1, 2)
        if past_key_values is not None:
            key, value = past_key_values.update(key, value, self.layer_idx)
        attend: Callable[..., tuple[Tensor, Tensor | None]] = ALL_ATTENTION_FUNCTIONS.get_interface(
            self.config._attn_implementation, eager_attention_forward
        )
        output, weights = attend(  # (B, T, H, d)
            self,
            query,
            key,
            value,
            attention_mask,
            dropout=self.attention_dropout if self.training else 0.0,
            scaling=self.scaling,
            **kwargs,
        )
        return self.o_proj(output.flatten(2)), weights

    def _with_positions(
        self, query: Tensor, key: Tensor, angles: Tensor, past: Any
    ) -> tuple[Tensor, Tensor]:
        """Rotates, normalizes and rescales queries and keys (B, T, H, d)."""
        if self.use_rope and self.norm_eps is not None and _is_compiled_for_gpu(query):
            eps = self.norm_eps
            return rotated_unit_norm(query, angles, eps), rotated_unit_norm(key, angles, eps)
        if self.use_rope:
            query, key = rotated(query, angles), rotated(key, angles)
        if self.norm_eps is not None:
            query, key = unit_norm(query, self.norm_eps), unit_norm(key, self.norm_eps)
        if self.attn_temperature_tuning and not self.use_rope:
            query = self._rescaled(query, past)
        return query, key

    def _rescaled(self, query: Tensor, past: Any) -> Tensor:
        """Applies the attention temperature to queries (B, T, H, d).

        For the token at position t, counted from 0, the factor is
        1 + attn_scale log(1 + floor((t + 1) / floor_scale)). It is 1 for the first
        `floor_scale` - 1 tokens (Nakanishi 2025, "Scalable-Softmax").
        """
        length = query.shape[1]
        if past is None and length < self.floor_scale:
            return query
        seen = past.get_seq_length(self.layer_idx) if past is not None else 0
        places = torch.arange(length, device=query.device) + seen  # (T,)
        steps = torch.floor((places.float() + 1.0) / self.floor_scale)
        scales = torch.log1p(steps) * self.attn_scale + 1.0
        return (query * scales[:, None, None]).to(query.dtype)


def _is_compiled_for_gpu(rows: Tensor) -> bool:
    return torch.compiler.is_compiling() and rows.is_cuda


def rotated(rows: Tensor, angles: Tensor) -> Tensor:
    """Rows (B, T, H, d) rotated by their positions (Su et al. 2021, "RoFormer", section 3.2.2).

    Each pair of adjacent elements (x, y) becomes (x cos - y sin, x sin + y cos), computed in
    float32 as in transformers. The backward pass needs only the angles (1 or B, T, d / 2, 2), so
    the forward pass does not keep the rows.
    """
    pairs = rows.float().reshape(*rows.shape[:-1], -1, 2)  # (B, T, H, d / 2, 2)
    angles = angles[:, :, None]  # (1 or B, T, 1, d / 2, 2)
    if torch.compiler.is_compiling():
        (x, y), (cos, sin) = pairs.unbind(-1), angles.unbind(-1)
        output = torch.stack((x * cos - y * sin, x * sin + y * cos), dim=-1)
    else:  # one kernel; with real numbers there are seven, which take twice the time on a CPU
        output = torch.view_as_real(torch.view_as_complex(pairs) * torch.view_as_complex(angles))
    return output.flatten(-2).type_as(rows)
