"""Presets: a sample, six run scripts of upstream, and tuned recipes.

Upstream means the BabyLM-NA2 research scripts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.spec.best_presets import EXPERTS, HEADS_OF_64, best_cpu, best_large, best_small
from core.spec.upstream import upstream_spec

SECTIONS = ("data", "tokenizer", "model", "training", "evaluation")
NOMINAL_WORDS = {"train_10M": 10_000_000, "train_100M": 100_000_000}
"""Number of words in each dataset of the BabyLM challenge. Estimates use it if the user has not yet
added the dataset."""


@dataclass(frozen=True)
class Preset:
    """A partial spec with a description."""

    description: str
    spec: Mapping[str, Any]  # any JSON value


def _small(architecture: str, **model: int) -> dict[str, Any]:
    shape = {"architecture": architecture, "hidden_size": 256, "num_hidden_layers": 8}
    return upstream_spec(
        shape | model, dataset="train_10M", vocab_size=32_000, batch_size=32, epochs=10.0
    )


def _large(architecture: str, *, epochs: float, **model: int) -> dict[str, Any]:
    shape = {"architecture": architecture, "hidden_size": 768, "num_hidden_layers": 16}
    return upstream_spec(
        shape | model, dataset="train_100M", vocab_size=48_000, batch_size=128, epochs=epochs
    )


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
        "Upstream's run_gemma_10M: BabyLM strict-small, hidden size 256, 8 layers of 8 heads, "
        "steps of 8 x 32 sequences.",
        _small("gemma2"),
    ),
    "llama4-10m": Preset(
        "Upstream's run_llama_10M: BabyLM strict-small, hidden size 256, 8 layers of 8 heads and "
        "16 experts, steps of 8 x 32 sequences.",
        _small("llama4", num_attention_heads=8),
    ),
    "olmo2-10m": Preset(
        "Upstream's run_olmo2_10M: BabyLM strict-small, hidden size 256, 8 layers of 32 heads, "
        "steps of 8 x 32 sequences.",
        _small("olmo2"),
    ),
    "gemma2-100m": Preset(
        "Upstream's run_gemma_100M: hidden size 768, 16 layers of 8 heads (the script's "
        "--num_attention_heads=16 has no effect), steps of 8 x 128 sequences, 15 epochs (more than "
        "a strict track allows).",
        _large("gemma2", epochs=15.0),
    ),
    "llama4-100m": Preset(
        "Upstream's run_llama_100M: hidden size 768, 16 layers of 16 heads and 16 experts, steps "
        "of 8 x 128 sequences, 6 epochs.",
        _large("llama4", epochs=6.0, num_attention_heads=16),
    ),
    "olmo2-100m": Preset(
        "Upstream's run_olmo2_100M: hidden size 768, 16 layers of 32 heads (the script's "
        "--num_attention_heads=16 has no effect), steps of 8 x 128 sequences, 15 epochs (more than "
        "a strict track allows).",
        _large("olmo2", epochs=15.0),
    ),
    "best-cpu": Preset(
        "Recommended for a few CPU cores: OLMo 2, hidden size 128, 4 layers, at most 1,000 steps.",
        best_cpu(),
    ),
    "best-10m": Preset(
        "Recommended for BabyLM strict-small on one GPU: OLMo 2, hidden size 512, 16 layers.",
        best_small({"architecture": "olmo2"}),
    ),
    "best-gemma2-10m": Preset(
        "Recommended for BabyLM strict-small: Gemma 2, hidden size 512, 16 layers.",
        best_small({"architecture": "gemma2"} | HEADS_OF_64),
    ),
    "best-llama4-10m": Preset(
        "Recommended for BabyLM strict-small: Llama 4, hidden size 512, 16 layers of 4 experts.",
        best_small({"architecture": "llama4"} | EXPERTS, router_aux_loss_coefficient=0.01),
    ),
    "best-olmo2-10m": Preset(
        "The same as best-10m.",
        best_small({"architecture": "olmo2"}),
    ),
    "best-100m": Preset(
        "Recommended for BabyLM strict on one GPU: OLMo 2, hidden size 768, 16 layers.",
        best_large(),
    ),
}


def merge_preset(body: dict[str, Any]) -> dict[str, Any]:
    """Merges `body` over the preset that it names, section by section.

    A model section with another architecture replaces the preset's, because architectures have
    different fields. If `body` gives a batch size or a number of devices, a fixed micro-batch size
    of the preset is dropped, because it might not divide the batch. An unknown preset changes
    nothing; the field `preset` rejects it later.
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
            merged[section] = {**_compatible(section, given, base), **given}
    return merged


def _compatible(section: str, given: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a preset's section that fit the given fields.

    Drops a fixed micro-batch size if the given fields change the batch.
    """
    kept = dict(base)
    is_other_batch = section == "training" and ("batch_size" in given or "num_devices" in given)
    if is_other_batch and kept.get("micro_batch_size") != "auto":
        kept.pop("micro_batch_size", None)
    return kept


def _other_architecture(section: str, given: Mapping[str, Any], base: Mapping[str, Any]) -> bool:
    named = given.get("architecture")
    return section == "model" and named is not None and named != base.get("architecture")
