"""Models in which every field differs from its default, and checkpoints of these models."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from core.checkpoints.model import build_model
from core.checkpoints.writer import Checkpoints, Position
from core.spec.job import JobSpec, TokenizerSpec
from core.storage.rundir import RunDir
from core.tokenizer.bpe import train_bpe
from tests.compat.environments import LAST_4, PIN

LENGTH = 48
"""Number of tokens of an input. The sliding windows and chunks of the cases are shorter."""
VOCAB_SIZE = 300
TEXT = "the dog sees the cat. a café is here!\n\nAnna likes the old dog.\n" * 50
COMMON: dict[str, Any] = {  # any JSON value
    "hidden_size": 32,
    "num_hidden_layers": 5,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 56,
    "max_position_embeddings": 96,
    "rope_theta": 300.0,
    "rms_norm_eps": 1e-3,
    "initializer_range": 0.2,
    "attention_dropout": 0.1,
    "dropout": 0.1,  # used only in training; exports do not contain it
    "tie_word_embeddings": False,
}
GEMMA2 = COMMON | {
    "architecture": "gemma2",
    "attention_bias": True,
    "head_dim": 12,
    "query_pre_attn_scalar": 20.0,
    "sliding_window": 12,
    "attn_logit_softcapping": 1.5,
    "final_logit_softcapping": 2.5,
    "hidden_activation": "silu",
}
LLAMA4 = COMMON | {
    "architecture": "llama4",
    "head_dim": 12,
    "num_local_experts": 5,
    "num_experts_per_tok": 2,
    "interleave_moe_layer_step": 2,
    "use_qk_norm": False,
    "hidden_act": "gelu",
}
OLMO2 = COMMON | {"architecture": "olmo2", "attention_bias": True, "hidden_act": "gelu"}


@dataclass(frozen=True)
class Case:
    """A model, and the environments in which its results are known to differ.

    The export warns about these differences.
    """

    model: dict[str, Any]
    differs_in: tuple[str, ...] = ()

    @property
    def spec(self) -> JobSpec:
        """The spec of a job that trains the model."""
        return JobSpec.model_validate(
            {
                "tokenizer": {"vocab_size": VOCAB_SIZE},
                "model": self.model,
                "training": {"seq_length": 32},
            }
        ).resolve()


CASES = {
    "gemma2": Case(GEMMA2),
    "gemma2-no-caps": Case(
        GEMMA2 | {"attn_logit_softcapping": None, "final_logit_softcapping": None}
    ),
    "gemma2-tied": Case(GEMMA2 | {"tie_word_embeddings": True, "attention_bias": False}),
    "llama4": Case(LLAMA4),
    "llama4-tied-qk-norm": Case(
        LLAMA4 | {"tie_word_embeddings": True, "use_qk_norm": True, "num_experts_per_tok": 1}
    ),
    "llama4-dense": Case(LLAMA4 | {"num_local_experts": 0, "num_experts_per_tok": 1}),
    "llama4-interval": Case(LLAMA4 | {"no_rope_layer_interval": 3}, (PIN,)),
    "llama4-chunk": Case(LLAMA4 | {"attention_chunk_size": 16}, (PIN,)),
    "llama4-bias": Case(LLAMA4 | {"attention_bias": True}, (PIN, LAST_4)),
    "olmo2": Case(OLMO2),
    "olmo2-tied": Case(OLMO2 | {"tie_word_embeddings": True, "num_key_value_heads": 4}),
}


def write_tokenizer(folder: Path) -> Path:
    """Trains a tokenizer; returns its folder."""
    text, output = folder / "text.txt", folder / "tokenizer"
    text.write_text(TEXT, encoding="utf-8")
    output.mkdir()
    train_bpe(
        [text],
        spec=TokenizerSpec(vocab_size=VOCAB_SIZE),
        output=output,
        progress=lambda _share: None,
        should_stop=lambda: False,
    )
    return output


def write_checkpoint(case: Case, tokenizer: Path, root: Path) -> Path:
    """Writes a checkpoint as a run does, with weights for which every field changes the results."""
    root.mkdir()
    spec, rundir = case.spec, RunDir(root)
    model = build_model(spec.model, vocab_size=VOCAB_SIZE, seed=0).eval()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1:  # norms and biases begin at one and zero
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.3)
            assert parameter.isfinite().all(), name
    checkpoints = Checkpoints(spec=spec, rundir=rundir, tokenizer=tokenizer, emit=lambda _: None)
    position = Position(step=1, tokens_seen=1, words_seen=1, validation_loss=None)
    checkpoints.save("last", model=model, position=position)
    return rundir.checkpoint("last")
