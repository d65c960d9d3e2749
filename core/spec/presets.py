"""Presets: the six run scripts of upstream, the best known recipe, and a demo.

Upstream is the set of BabyLM-NA2 research scripts that this project started from. Its scripts pass
`--num_attention_heads` to Llama 4 only; its other models use the defaults of the Hugging Face
classes. The presets state these numbers, because the shapes of the weights depend on them. Upstream
also accumulates gradients over 8 batches silently: `batch_size: 256, micro_batch_size: 32`
reproduces its 10M step exactly.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.spec.best_presets import EXPERTS, HEADS_OF_64, best_cpu, best_large, best_small

SECTIONS = ("data", "tokenizer", "model", "training", "evaluation")


@dataclass(frozen=True)
class Preset:
    """A partial spec with a description."""

    description: str
    spec: Mapping[str, Any]  # Any: JSON


def _upstream(
    dataset: str, model: dict[str, Any], *, epochs: float, vocab_size: int, batch_size: int
) -> dict[str, Any]:
    return {
        "data": {"dataset": dataset},
        "tokenizer": {"vocab_size": vocab_size},
        "model": model,
        "training": {"seq_length": 256, "batch_size": batch_size, "epochs": epochs},
    }


def _small(model: dict[str, Any]) -> dict[str, Any]:
    shape = {"hidden_size": 256, "num_hidden_layers": 8}
    return _upstream("train_10M", model | shape, epochs=10.0, vocab_size=32_000, batch_size=32)


def _large(model: dict[str, Any], *, epochs: float) -> dict[str, Any]:
    shape = {"hidden_size": 768, "num_hidden_layers": 16, "num_attention_heads": 16}
    return _upstream("train_100M", model | shape, epochs=epochs, vocab_size=48_000, batch_size=128)


GEMMA2_HEADS = {"num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256}
OLMO2_HEADS = {"num_attention_heads": 32, "num_key_value_heads": 32}
LLAMA4_HEADS = {"num_key_value_heads": 8, "head_dim": 128, "num_local_experts": 16}

PRESETS: dict[str, Preset] = {
    "sample": Preset(
        "A tiny OLMo 2 on the sample corpus: learns toy English in two minutes on two CPU cores.",
        {
            "data": {"dataset": "sample", "validation": "sample_dev"},
            "tokenizer": {"vocab_size": 768},
            "model": {
                "architecture": "olmo2",
                "hidden_size": 96,
                "num_hidden_layers": 3,
                "num_attention_heads": 4,
            },
            "training": {
                "seq_length": 64,
                "batch_size": 32,
                "epochs": 3.0,
                "learning_rate": 3e-3,
                "schedule": "cosine",
                "weight_decay": 0.1,
                "adam_beta2": 0.98,
                "sample_prompts": ["The dog", "Anna"],
                "sample_max_new_tokens": 24,
            },
        },
    ),
    "gemma2-10m": Preset(
        "Upstream's run_gemma_10M: BabyLM strict-small, hidden size 256, 8 layers.",
        _small({"architecture": "gemma2"} | GEMMA2_HEADS),
    ),
    "llama4-10m": Preset(
        "Upstream's run_llama_10M: BabyLM strict-small, hidden size 256, 8 layers of 16 experts.",
        _small({"architecture": "llama4", "num_attention_heads": 8} | LLAMA4_HEADS),
    ),
    "olmo2-10m": Preset(
        "Upstream's run_olmo2_10M: BabyLM strict-small, hidden size 256, 8 layers.",
        _small({"architecture": "olmo2"} | OLMO2_HEADS),
    ),
    "gemma2-100m": Preset(
        "Upstream's run_gemma_100M: hidden size 768, 16 layers, 15 epochs (no strict track).",
        _large({"architecture": "gemma2"}, epochs=15.0),
    ),
    "llama4-100m": Preset(
        "Upstream's run_llama_100M: hidden size 768, 16 layers of 16 experts, 6 epochs.",
        _large({"architecture": "llama4"} | LLAMA4_HEADS, epochs=6.0),
    ),
    "olmo2-100m": Preset(
        "Upstream's run_olmo2_100M: hidden size 768, 16 layers, 15 epochs (no strict track).",
        _large({"architecture": "olmo2"}, epochs=15.0),
    ),
    "best-cpu": Preset(
        "The recipe for a few CPU cores: OLMo 2, hidden size 128, 6 layers.",
        best_cpu(),
    ),
    "best-10m": Preset(
        "The recipe for BabyLM strict-small on one GPU: OLMo 2, hidden size 512, 16 layers.",
        best_small({"architecture": "olmo2"}),
    ),
    "best-gemma2-10m": Preset(
        "The recipe for BabyLM strict-small: Gemma 2, hidden size 512, 16 layers.",
        best_small({"architecture": "gemma2"} | HEADS_OF_64),
    ),
    "best-llama4-10m": Preset(
        "The recipe for BabyLM strict-small: Llama 4, hidden size 512, 16 layers of 4 experts.",
        best_small({"architecture": "llama4"} | EXPERTS, router_aux_loss_coefficient=0.01),
    ),
    "best-olmo2-10m": Preset(
        "The same as best-10m.",
        best_small({"architecture": "olmo2"}),
    ),
    "best-100m": Preset(
        "The recipe for BabyLM strict on one GPU: OLMo 2, hidden size 768, 16 layers.",
        best_large(),
    ),
}


def merge_preset(body: dict[str, Any]) -> dict[str, Any]:
    """Merges `body` over the preset that it names, section by section.

    A model section with another architecture replaces the preset's, because architectures have
    different fields. An unknown preset changes nothing; the field `preset` rejects it later.
    """
    name = body.get("preset")
    preset = PRESETS.get(name) if isinstance(name, str) else None
    if preset is None:
        return body
    merged = {key: preset.spec[key] for key in ("track",) if key in preset.spec} | body
    for section in SECTIONS:
        given, base = body.get(section), preset.spec.get(section)
        if base is None:
            continue
        if section not in body:
            merged[section] = dict(base)
        elif isinstance(given, dict) and not _other_architecture(section, given, base):
            merged[section] = {**base, **given}
    return merged


def _other_architecture(section: str, given: Mapping[str, Any], base: Mapping[str, Any]) -> bool:
    named = given.get("architecture")
    return section == "model" and named is not None and named != base.get("architecture")
