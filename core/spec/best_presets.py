"""The settings of the `best-*` presets; docs/recipe.md explains each of them.

Heads are 64 wide, and all widths and vocabularies are multiples of 128. Tensor cores need such
sizes for full speed. Data, epochs and word budget follow the BabyLM tracks.
"""

from typing import Any

Spec = dict[str, Any]  # any JSON value

RECIPE: Spec = {
    "optimizer": "muon",
    "muon_learning_rate": 0.02,
    "learning_rate": 3e-3,
    "schedule": "cosine",
    "weight_decay": 0.3,
    "adam_beta2": 0.95,
    "shuffle": "documents",
}
"""Training settings of the presets for a GPU. They were measured on a CPU with hidden size 96 and a
`learning_rate` of 6e-3. With Muon, `learning_rate` applies only to embeddings, output layer and
vectors. The models of these presets are larger than the measured model. They use a lower
`learning_rate`, because it should fall with the square root of the hidden size."""
CPU_RECIPE = RECIPE | {"learning_rate": 6e-3}
DROPOUT = 0.1
"""Dropout probability, measured together with `RECIPE`."""

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
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 384,
    "dropout": DROPOUT,
}
HEADS_OF_64: Spec = {"head_dim": 64}
EXPERTS = HEADS_OF_64 | {"num_local_experts": 4}


def best_small(model: Spec, **training: Any) -> Spec:  # any JSON value
    """A preset for 10M words: 65,536 tokens per step, about 55M parameters in a dense model."""
    steps = {"seq_length": 256, "batch_size": 256, "epochs": 10.0, "micro_batch_size": "auto"}
    return {
        "track": "strict-small",
        "data": {"dataset": "train_10M"},
        "tokenizer": {"vocab_size": 8192},
        "model": model | SMALL_SHAPE,
        "training": RECIPE | steps | training,
    }


def best_large() -> Spec:
    """The preset for 100M words: 262,144 tokens per step, about 126M parameters."""
    steps = {"seq_length": 512, "batch_size": 512, "epochs": 10.0, "micro_batch_size": "auto"}
    return {
        "track": "strict",
        "data": {"dataset": "train_100M"},
        "tokenizer": {"vocab_size": 16_384},
        "model": {"architecture": "olmo2"} | LARGE_SHAPE,
        "training": RECIPE | steps,
    }


def best_cpu() -> Spec:
    """The preset for a few CPU cores: at most 1,000 steps of 8,192 tokens, 1.4M parameters."""
    steps = {"seq_length": 128, "batch_size": 64, "epochs": 10.0, "max_steps": 1000}
    return {
        "data": {"dataset": "train_10M"},
        "tokenizer": {"vocab_size": 4096},
        "model": CPU_SHAPE,
        "training": CPU_RECIPE | steps,
    }
