"""Presets and flat options give the models that upstream's `run.py` builds."""

from typing import Any

import pytest

from babylm.specs import build_spec, ignored_heads
from core.checkpoints.model import build_model
from core.spec.job import JobSpec

SMALL = {"data_folder": "train_10M", "vocab_size": 32000, "batch_size": 32, "epoch": 10.0}
LARGE = {"data_folder": "train_100M", "vocab_size": 48000, "batch_size": 128, "epoch": 15.0}
SMALL_SHAPE = {"hidden_size": 256, "num_hidden_layers": 8, "seq_length": 256}
LARGE_SHAPE = {
    "hidden_size": 768,
    "num_hidden_layers": 16,
    "num_attention_heads": 16,
    "seq_length": 256,
}
SCRIPTS: dict[str, dict[str, Any]] = {
    "gemma2-10m": {"model": "gemma2", **SMALL, **SMALL_SHAPE},
    "llama4-10m": {"model": "llama4", **SMALL, **SMALL_SHAPE, "num_attention_heads": 8},
    "olmo2-10m": {"model": "olmo2", **SMALL, **SMALL_SHAPE},
    "gemma2-100m": {"model": "gemma2", **LARGE, **LARGE_SHAPE},
    "llama4-100m": {"model": "llama4", **LARGE, **LARGE_SHAPE, "epoch": 6.0},
    "olmo2-100m": {"model": "olmo2", **LARGE, **LARGE_SHAPE},
}
"""The options of the six run scripts."""
SIZES = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "num_local_experts",
    "num_experts_per_tok",
    "moe_layers",
    "query_pre_attn_scalar",
    "rms_norm_eps",
    "rope_parameters",
    "attention_bias",
    "tie_word_embeddings",
    "vocab_size",
)
everyone = pytest.mark.parametrize("script", SCRIPTS)


def flat_spec(script: str) -> JobSpec:
    body = build_spec(file=None, preset=None, settings=[], flat=SCRIPTS[script])
    return JobSpec.model_validate(body).resolve()


def upstream_config(script: str) -> Any:
    """The configuration that `run.py` makes. `run.py` sets a number of heads only for Llama 4."""
    import transformers

    options = SCRIPTS[script]
    heads = {"num_attention_heads": options.get("num_attention_heads")}
    names = {"gemma2": "Gemma2Config", "llama4": "Llama4TextConfig", "olmo2": "Olmo2Config"}
    return getattr(transformers, names[options["model"]])(
        vocab_size=options["vocab_size"],
        hidden_size=options["hidden_size"],
        num_hidden_layers=options["num_hidden_layers"],
        intermediate_size=4 * options["hidden_size"],
        tie_word_embeddings=True,
        **(heads if options["model"] == "llama4" else {}),
    )


@everyone
def test_a_preset_has_the_sizes_of_upstreams_model(script):
    preset = JobSpec.model_validate({"preset": script}).resolve()
    arguments = preset.model.config_arguments(vocab_size=preset.tokenizer.vocab_size)
    expected = upstream_config(script)
    for name in SIZES:
        if name in arguments:
            assert arguments[name] == getattr(expected, name), name


@pytest.mark.parametrize(
    ("script", "parameters"),
    [("gemma2-10m", 27_074_816), ("gemma2-100m", 225_657_600), ("olmo2-100m", 187_908_864)],
)
def test_a_preset_has_the_parameters_of_upstreams_model(script, parameters):
    import torch

    spec = JobSpec.model_validate({"preset": script}).resolve()
    with torch.device("meta"):
        model = build_model(spec.model, vocab_size=spec.tokenizer.vocab_size, seed=0)
    assert sum(each.numel() for each in model.parameters()) == parameters
    assert spec.model.num_parameters(vocab_size=spec.tokenizer.vocab_size) == parameters


@everyone
def test_the_options_of_a_script_give_the_model_of_its_preset(script):
    preset = JobSpec.model_validate({"preset": script}).resolve()
    spec = flat_spec(script)
    assert spec.model == preset.model
    assert (spec.data.dataset, spec.tokenizer.vocab_size) == (
        preset.data.dataset,
        preset.tokenizer.vocab_size,
    )
    assert spec.training.epochs == preset.training.epochs


@everyone
def test_a_step_of_a_preset_is_upstreams_eight_batches(script):
    training = JobSpec.model_validate({"preset": script}).training
    assert training.micro_batch_size == SCRIPTS[script]["batch_size"]
    assert training.batch_size == 8 * SCRIPTS[script]["batch_size"]
    assert training.warmup_steps == 500


@everyone
@pytest.mark.parametrize("given", [{"batch_size": 12}, {"batch_size": 64, "num_devices": 64}])
def test_another_batch_size_takes_none_of_the_presets_micro_batches(script, given):
    training = JobSpec.model_validate({"preset": script, "training": given}).training
    assert (training.batch_size, training.micro_batch_size) == (given["batch_size"], None)


def test_heads_given_to_a_model_that_upstream_gives_none_are_named():
    assert ignored_heads(SCRIPTS["gemma2-100m"]) == "gemma2"
    assert ignored_heads({"model": "olmo", "num_attention_heads": 4}) == "olmo2"
    assert ignored_heads(SCRIPTS["llama4-100m"]) is None
    assert ignored_heads(SCRIPTS["gemma2-10m"]) is None
    heads = build_spec(
        file=None,
        preset=None,
        settings=["model.num_attention_heads=16"],
        flat=SCRIPTS["gemma2-100m"],
    )
    assert JobSpec.model_validate(heads).model.num_attention_heads == 16


def test_options_beside_a_spec_with_a_model_add_no_sizes(tmp_path):
    file = tmp_path / "spec.yaml"
    file.write_text("model:\n  architecture: gemma2\n  num_attention_heads: 4\n")
    body = build_spec(file=file, preset=None, settings=[], flat={"model": "gemma2"})
    assert body == {"model": {"architecture": "gemma2", "num_attention_heads": 4}}


@pytest.mark.parametrize(
    "flat",
    [
        {"model": "llama4"},
        {"model": "llama4", "num_attention_heads": 4},
        {"model": "olmo2", "hidden_size": 96},
        {"model": "gemma2", "hidden_size": 72},
    ],
)
def test_options_with_which_upstream_cannot_build_a_model_take_our_defaults(flat):
    body = build_spec(file=None, preset=None, settings=[], flat=flat)
    assert JobSpec.model_validate(body).resolve().model.heads >= 1
    assert "num_key_value_heads" not in body["model"]
