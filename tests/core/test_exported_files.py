"""The files of a checkpoint suit transformers 4 and 5; tests/compat loads them with both."""

import json

import pytest
from transformers import AutoConfig, AutoTokenizer, GPT2Tokenizer

from core.archs import ARCHITECTURES, Gemma2, Llama4, Olmo2
from core.archs.base import DEFAULT_MAX_POSITION_EMBEDDINGS
from core.checkpoints.model_card import model_card
from core.spec.job import JobSpec
from tests.compat.cases import CASES, COMMON, Case, write_checkpoint, write_tokenizer
from tests.compat.environments import PIN


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return write_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module", params=CASES)
def exported(request, tokenizer, tmp_path_factory):
    """A case, and the folder of its checkpoint."""
    case = CASES[request.param]
    return case, write_checkpoint(case, tokenizer, tmp_path_factory.mktemp("export") / "run")


def read(folder, name):
    return json.loads((folder / name).read_text())


def test_the_configuration_has_entries_for_transformers_4_and_5(exported):
    _, folder = exported
    config = read(folder, "config.json")
    assert config["rope_theta"] == config["rope_parameters"]["rope_theta"] == COMMON["rope_theta"]
    assert config["torch_dtype"] == config["dtype"] == "float32"


def test_llama4_uses_no_cache_outside_of_generation(exported):
    case, folder = exported
    is_llama4 = case.model["architecture"] == "llama4"
    assert read(folder, "config.json")["use_cache"] is not is_llama4
    assert read(folder, "generation_config.json")["use_cache"] is True


def test_capped_scores_ask_transformers_4_for_eager_attention(exported):
    case, folder = exported
    config = read(folder, "config.json")
    is_capped = case.model.get("attn_logit_softcapping") is not None
    assert (config.get("_attn_implementation_internal") == "eager") is is_capped
    # transformers 5 lets the caller choose.
    chosen = AutoConfig.from_pretrained(folder, attn_implementation="flex_attention")
    assert chosen._attn_implementation == "flex_attention"


def test_the_tokenizer_has_the_limit_of_its_model_and_a_class_that_all_releases_know(exported):
    _, folder = exported
    config = read(folder, "tokenizer_config.json")
    assert config["model_max_length"] == COMMON["max_position_embeddings"]
    assert config["tokenizer_class"] == "GPT2Tokenizer"
    loaded = AutoTokenizer.from_pretrained(folder)
    assert loaded.model_max_length == COMMON["max_position_embeddings"]


def test_a_tokenizer_loaded_by_its_class_keeps_it_when_saved_again(exported, tmp_path):
    _, folder = exported
    GPT2Tokenizer.from_pretrained(folder).save_pretrained(tmp_path)
    assert read(tmp_path, "tokenizer_config.json")["tokenizer_class"] == "GPT2Tokenizer"
    text = "the dog  sees\n\nAnna's café <|endoftext|> !"
    before, after = (AutoTokenizer.from_pretrained(path) for path in (folder, tmp_path))
    assert before(text)["input_ids"] == after(text)["input_ids"]


@pytest.mark.parametrize(
    ("architecture", "sentence"),
    [("olmo2", "An OLMo 2 model of"), ("gemma2", "A Gemma 2 model of"), ("llama4", "A Llama 4")],
)
def test_the_model_card_escapes_the_name_of_the_job(architecture, sentence):
    name = "<img src=x onerror=alert(1)> | [a](b) `c` # d"
    spec = JobSpec.model_validate({"name": name, "model": {"architecture": architecture}})
    card = model_card(
        spec.resolve(), parameters=1, step=1, tokens_seen=1, words_seen=1, validation_loss=None
    )
    heading = next(line for line in card.splitlines() if line.startswith("# "))
    assert heading == (r"# \<img src=x onerror=alert\(1\)\> \| \[a\]\(b\) \`c\` \# d")
    assert sentence in card


def test_the_model_card_warns_of_what_the_official_release_cannot_compute(exported):
    case, folder = exported
    card = (folder / "README.md").read_text()
    warnings = case.spec.model.compatibility_warnings()
    assert bool(warnings) is (PIN in case.differs_in)
    assert ("## Compatibility" in card) is bool(warnings)
    assert all(warning in card for warning in warnings)


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        (Llama4(), []),
        # With 3 layers, the intervals 4 and 8 give the same model.
        (Llama4(num_hidden_layers=3, no_rope_layer_interval=8), []),
        (Llama4(no_rope_layer_interval=8), ["no_rope_layer_interval is 8"]),
        (Llama4(attention_chunk_size=1024), ["attention_chunk_size is 1024"]),
        (Llama4(attention_chunk_size=1024, max_position_embeddings=1024), []),
        (Llama4(attention_bias=True), ["attention_bias is true"]),
        (Gemma2(attention_bias=True, sliding_window=8), []),
        (Olmo2(attention_bias=True), []),
    ],
)
def test_only_settings_that_change_the_result_are_warned_of(model, fields):
    warnings = model.compatibility_warnings()
    assert [warning.partition(":")[0] for warning in warnings] == fields


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("seq_length", [128, 4096])
def test_the_default_limit_takes_evaluations_beyond_the_sequences_of_training(
    architecture, seq_length
):
    spec = JobSpec.model_validate(
        {"model": {"architecture": architecture}, "training": {"seq_length": seq_length}}
    ).resolve()
    longest = max(seq_length, DEFAULT_MAX_POSITION_EMBEDDINGS)
    assert spec.model.max_position_embeddings == longest
    assert spec.model.compatibility_warnings() == []


def test_query_pre_attn_scalar_that_the_library_refuses_is_refused_at_submit():
    with pytest.raises(ValueError, match="multiple of 1"):
        Gemma2(query_pre_attn_scalar=12.5)
    case = Case({"architecture": "gemma2", "query_pre_attn_scalar": 12.0})
    value = case.spec.model.config_arguments(vocab_size=300)["query_pre_attn_scalar"]
    assert (value, type(value)) == (12, int)
