"""Decides whether llama.cpp computes a model as this project does, and how to store its tensors.

llama.cpp computes each architecture with a fixed graph. If the graph ignored a field of the model,
llama.cpp would give wrong logits without an error, so the export refuses such a model. The rules
follow `src/models/olmo2.cpp` and `src/models/gemma2.cpp` of llama.cpp. The module imports no
library.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Fields = Mapping[str, Any]
"""Fields of `config.json` or of the section `model` of a spec, which have the same names."""

ALWAYS_REFUSED = {
    "llama4": "llama.cpp always computes Llama 4 with no_rope_layer_interval 4, "
    "attention_chunk_size 8192 and normalized queries, and stores experts in another layout, which "
    "the export does not write",
}
GEMMA2_27B_LAYERS = 46
"""llama.cpp treats a Gemma 2 model with this number of layers as Gemma 2 27B. For such a model, it
derives the scale of the queries from hidden_size / num_attention_heads instead of head_dim."""


@dataclass(frozen=True)
class Layout:
    """How the tensors of an architecture are stored.

    Attributes:
        norm_offset: Number that is added to the weights of norms. Gemma 2 multiplies by 1 + weight,
            and llama.cpp by the stored weight.
        copies_tied_output: Whether the file needs a tensor for the output layer even if the model
            uses the embedding as its output layer.
    """

    norm_offset: float
    copies_tied_output: bool


LAYOUTS = {
    "olmo2": Layout(norm_offset=0.0, copies_tied_output=True),
    "gemma2": Layout(norm_offset=1.0, copies_tied_output=False),
}
"""Layouts by architecture. llama.cpp and `model_type` in `config.json` use the same names."""


def reason_refused(architecture: str, fields: Fields) -> str | None:
    """Why the model cannot be exported as GGUF; None if it can."""
    if architecture in ALWAYS_REFUSED:
        return f"{architecture} cannot be exported as GGUF: {ALWAYS_REFUSED[architecture]}"
    if architecture not in LAYOUTS:
        known = ", ".join(LAYOUTS)
        return f"{architecture} cannot be exported as GGUF: the export supports {known}"
    wrong = _olmo2_reason(fields) if architecture == "olmo2" else _gemma2_reason(fields)
    return None if wrong is None else f"this {architecture} cannot be exported as GGUF: {wrong}"


def _olmo2_reason(fields: Fields) -> str | None:
    return _bias_reason(fields) or _other_value(fields, "hidden_act", "silu")


def _gemma2_reason(fields: Fields) -> str | None:
    reason = _bias_reason(fields) or _other_value(fields, "hidden_activation", "gelu_pytorch_tanh")
    if reason is not None:
        return reason
    if not fields.get("tie_word_embeddings", True):
        return "tie_word_embeddings is false, and llama.cpp always shares the embeddings of Gemma 2"
    for name in ("attn_logit_softcapping", "final_logit_softcapping"):
        if fields.get(name) is None:
            return f"{name} is null, and llama.cpp always applies it"
    width, scale = fields["head_dim"], fields["query_pre_attn_scalar"]
    if fields["num_hidden_layers"] == GEMMA2_27B_LAYERS:
        width = fields["hidden_size"] // fields["num_attention_heads"]
    if width != scale:
        return f"query_pre_attn_scalar is {scale:g}, and llama.cpp always computes with {width}"
    return None


def _bias_reason(fields: Fields) -> str | None:
    is_biased = bool(fields.get("attention_bias"))
    return "attention_bias is true, and llama.cpp ignores the biases" if is_biased else None


def _other_value(fields: Fields, name: str, only: str) -> str | None:
    value = fields.get(name, only)
    return None if value == only else f"{name} is {value}, and llama.cpp always computes {only}"
