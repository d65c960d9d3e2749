"""The settings of the `best-*` presets; docs/recipe.md explains each of them.

Heads are 64 wide and all widths and vocabularies are multiples of 128, which tensor cores need for
full speed. Data, epochs and word budget follow the BabyLM tracks.
"""

from typing import Any

Spec = dict[str, Any]  # any JSON value

RECIPE: Spec = {
    "learning_rate": 3e-3,
    "schedule": "cosine",
    "weight_decay": 0.1,
    "adam_beta2": 0.95,
}
"""Measured on a CPU: docs/recipe.md."""
REGULARIZED = RECIPE | {"ema_decay": 0.999, "micro_batch_size": "auto"}
DROPOUT = 0.1
"""GPT-BERT (Charpentier and Samuel 2024) for 10M words."""

SMALL_SHAPE: Spec = {
    "hidden_size": 512,
    "num_hidden_layers": 16,
    "num_attention_heads": 8,
    "num_key_value_heads": 8,
    "intermediate_size": 1536,
    "dropout": DROPOUT,
}
LARGE_SHAPE: Spec = {
    "hidden_size": 768,
    "num_hidden_layers": 16,
    "num_attention_heads": 12,
    "num_key_value_heads": 12,
    "intermediate_size": 2048,
    "dropout": DROPOUT,
}
CPU_SHAPE: Spec = {
    "architecture": "olmo2",
    "hidden_size": 128,
    "num_hidden_layers": 6,
    "num_attention_heads": 2,
    "intermediate_size": 384,
}
HEADS_OF_64: Spec = {"head_dim": 64}
EXPERTS = HEADS_OF_64 | {"num_local_experts": 4}


def best_small(model: Spec, **training: Any) -> Spec:  # any JSON value
    """10M words: 32,768 tokens per step, about 55M parameters in a dense model."""
    return {
        "track": "strict-small",
        "data": {"dataset": "train_10M"},
        "tokenizer": {"vocab_size": 8192},
        "model": model | SMALL_SHAPE,
        "training": REGULARIZED | {"seq_length": 256, "batch_size": 128, "epochs": 10.0} | training,
    }


def best_large() -> Spec:
    """100M words: 131,072 tokens per step, about 126M parameters."""
    return {
        "track": "strict",
        "data": {"dataset": "train_100M"},
        "tokenizer": {"vocab_size": 16_384},
        "model": {"architecture": "olmo2"} | LARGE_SHAPE,
        "training": REGULARIZED | {"seq_length": 512, "batch_size": 256, "epochs": 10.0},
    }


def best_cpu() -> Spec:
    """10M words on a few CPU cores: 2,048 tokens per step, 1.8M parameters."""
    return {
        "data": {"dataset": "train_10M"},
        "tokenizer": {"vocab_size": 4096},
        "model": CPU_SHAPE,
        "training": RECIPE | {"seq_length": 128, "batch_size": 16, "epochs": 3.0},
    }
