"""Shapes and steps of the research scripts (BabyLM-NA2/BabyLM2025, `run.py`, `training/train.py`).

The scripts pass hidden size, layers and the MLP's width to every model, and `--num_attention_heads`
to Llama 4 only. All other sizes are the defaults of the Hugging Face configuration classes. The
scripts accumulate the gradients of 8 batches, so `--batch_size=32` makes steps of 256 sequences.
"""

from collections.abc import Mapping
from typing import Any

ACCUMULATED_BATCHES = 8
"""The default of `gradient_accumulation_steps` in `train_model`. No script changes it."""
WARMUP_STEPS = 500
CONFIG_DEFAULTS: Mapping[str, Mapping[str, int]] = {
    "gemma2": {"num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256},
    "llama4": {"num_key_value_heads": 8, "head_dim": 128, "num_local_experts": 16},
    "olmo2": {"num_attention_heads": 32, "num_key_value_heads": 32},
}
"""Defaults of `Gemma2Config`, `Llama4TextConfig` and `Olmo2Config` that decide the shapes."""
TAKES_HEADS = ("llama4",)
"""Architectures to which the scripts pass `--num_attention_heads`."""


def upstream_spec(  # any JSON value
    model: Mapping[str, Any], *, dataset: str, vocab_size: int, batch_size: int, epochs: float
) -> dict[str, Any]:
    """The spec of a run script with the given options.

    Args:
        model: Architecture, hidden size, layers and, for Llama 4, heads.
        dataset: `--data_folder`.
        vocab_size: `--vocab_size`.
        batch_size: `--batch_size`, the number of sequences in one of the 8 batches of a step.
        epochs: `--epoch`.
    """
    return {
        "data": {"dataset": dataset},
        "tokenizer": {"vocab_size": vocab_size},
        "model": {**model, **CONFIG_DEFAULTS[model["architecture"]]},
        "training": {
            "seq_length": 256,
            "batch_size": ACCUMULATED_BATCHES * batch_size,
            "micro_batch_size": batch_size,
            "warmup_steps": WARMUP_STEPS,
            "epochs": epochs,
        },
    }
