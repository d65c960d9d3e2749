"""The table of the study: shapes, conditions and seeds.

The baseline has the settings of the upstream scripts: AdamW at 5e-4 with betas 0.9 and 0.999,
weight decay 0.01, linear decay and 8,192 tokens per step. A condition changes some of them.
The model, the vocabulary, the text and the number of epochs are the same in all conditions of a
shape.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from core.spec.best_presets import DROPOUT, RECIPE

Spec = dict[str, Any]

SEEDS = (0, 1, 2)
ARCHITECTURES = ("olmo2", "gemma2", "llama4")


@dataclass(frozen=True)
class Shape:
    """Size of the text and of the model of a study."""

    name: str
    words: int | None
    """Number of words of training text; None means the whole text."""
    spec: Spec
    architectures: dict[str, Spec] = field(default_factory=dict)
    """Fields of `model`, by architecture."""


CPU_SPEC: Spec = {
    "tokenizer": {"vocab_size": 4096},
    "training": {
        "seq_length": 128,
        "batch_size": 64,
        "epochs": 10.0,
        "precision": "bf16",
        "compile": True,
        "num_threads": 1,
        "eval_tokens": 40_000,
    },
}
SMALL_CPU_MODEL = {"hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 2}
CPU_MODEL = {"hidden_size": 96, "num_hidden_layers": 4, "num_attention_heads": 3}
GPU_MODEL = {"hidden_size": 256, "num_hidden_layers": 8}
SHAPES = {
    # For a shared machine: about as many steps as `cpu`, with a fifth of the words, a smaller
    # model and 2,048 tokens per step.
    "cpu-small": Shape(
        "cpu-small",
        100_000,
        {
            "tokenizer": {"vocab_size": 2048},
            "training": CPU_SPEC["training"]
            | {"batch_size": 16, "compile": False, "eval_tokens": 20_000},
        },
        {
            "olmo2": SMALL_CPU_MODEL,
            "gemma2": SMALL_CPU_MODEL | {"num_key_value_heads": 2, "head_dim": 32},
            "llama4": SMALL_CPU_MODEL | {"num_local_experts": 4},
        },
    ),
    # About 1M parameters: a run takes seven minutes on one core with AVX-512 bf16 instructions.
    "cpu": Shape(
        "cpu",
        500_000,
        CPU_SPEC,
        {
            "olmo2": CPU_MODEL,
            "gemma2": CPU_MODEL | {"num_key_value_heads": 3, "head_dim": 32},
            "llama4": CPU_MODEL | {"num_local_experts": 4},
        },
    ),
    # Upstream's 10M shape on the whole text.
    "gpu-10m": Shape(
        "gpu-10m",
        None,
        {
            "tokenizer": {"vocab_size": 8192},
            "training": {"seq_length": 256, "batch_size": 32, "epochs": 10.0},
        },
        {
            "olmo2": GPU_MODEL | {"num_attention_heads": 4},
            "gemma2": GPU_MODEL
            | {"num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 64},
            "llama4": GPU_MODEL | {"num_attention_heads": 4, "num_local_experts": 4},
        },
    ),
    # For the tests of this program: a run takes a few seconds.
    "tiny": Shape(
        "tiny",
        2_000,
        {
            "tokenizer": {"vocab_size": 300},
            "training": {
                "seq_length": 32,
                "batch_size": 4,
                "epochs": 3.0,
                "max_steps": 6,
                "num_threads": 1,
                "eval_tokens": 200,
            },
        },
        {
            name: {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1}
            | ({"num_local_experts": 2} if name == "llama4" else {})
            for name in ARCHITECTURES
        },
    ),
}

ADAMW = {
    "learning_rate": 6e-3,
    "schedule": "cosine",
    "weight_decay": 0.1,
    "adam_beta2": 0.95,
}
MUON = {"optimizer": "muon", "muon_learning_rate": 0.02}
BEST: Spec = {
    "training": ADAMW | MUON | {"weight_decay": 0.3},
    "model": {"dropout": 0.1},
}
"""Settings of the condition `muon-dropout-decay-0.3`; the conditions `best-*` add to them."""


def _documents(**training: Any) -> Spec:  # any JSON value
    """The best settings with shuffled documents, and with other settings of `training`."""
    return BEST | {"training": BEST["training"] | {"shuffle": "documents"} | training}


FINAL: Spec = {"training": RECIPE, "model": {"dropout": DROPOUT}}
CONDITIONS: dict[str, Spec] = {
    "baseline": {},
    "adamw": {"training": ADAMW},
    "muon": {"training": ADAMW | MUON},
    "muon-ema": {"training": ADAMW | MUON | {"ema_decay": 0.99}},
    "muon-dropout": {"training": ADAMW | MUON, "model": {"dropout": 0.1}},
    "muon-dropout-0.2": {"training": ADAMW | MUON, "model": {"dropout": 0.2}},
    "muon-dropout-decay-0.3": BEST,
    "best-documents": _documents(),
    "best-documents-ema": _documents(ema_decay=0.99),
    "adamw-dropout": {"training": ADAMW, "model": {"dropout": 0.1}},
    "adamw-documents": {"training": ADAMW | {"shuffle": "documents"}},
    "adamw-z-loss": {"training": ADAMW | {"z_loss_coefficient": 1e-4}},
    "final": FINAL,
}
"""Fields of the spec, by condition.

`final` is the recipe of the GPU presets: `best-documents` with a learning rate for wider models.
"""


@dataclass(frozen=True)
class Entry:
    """One run of the table."""

    shape: Shape
    architecture: str
    condition: str
    seed: int

    @property
    def name(self) -> str:
        """A folder name that is unique in the table."""
        return f"{self.shape.name}-{self.architecture}-{self.condition}-{self.seed}"

    def spec(self) -> Spec:
        """The job spec."""
        shape, change = self.shape, CONDITIONS[self.condition]
        model = {"architecture": self.architecture, **shape.architectures[self.architecture]}
        training = shape.spec["training"] | change.get("training", {})
        fixed = {"seed": self.seed, "sample_prompts": [], "save_total_limit": 1}
        return {
            "name": self.name,
            "data": {"dataset": "train", "validation": "dev"},
            "tokenizer": shape.spec["tokenizer"],
            "model": model | change.get("model", {}),
            "training": training | fixed,
            "evaluation": {"tasks": []},
        }


def table(
    shape: Shape, *, architectures: list[str], conditions: list[str], seeds: list[int]
) -> Iterator[Entry]:
    """The runs in order: for each architecture and each seed, all conditions."""
    for architecture in architectures:
        for seed in seeds:
            for condition in conditions:
                yield Entry(shape, architecture, condition, seed)
