"""The job spec: defaults, presets, and errors that name the field."""

import json

import pytest
from pydantic import ValidationError

from core.archs import ARCHITECTURES
from core.spec.job import STORED, JobSpec
from core.spec.presets import PRESETS
from core.spec.stored import read_stored_spec


def refused_field(body: dict) -> tuple:
    with pytest.raises(ValidationError) as caught:
        JobSpec.model_validate(body)
    return caught.value.errors()[0]["loc"]


def test_defaults_are_upstreams():
    spec = JobSpec()
    assert spec.data.dataset == "train_10M"
    assert spec.model.architecture == "llama4"
    assert spec.tokenizer.vocab_size == 48_000
    assert (spec.training.seq_length, spec.training.batch_size, spec.training.epochs) == (
        128,
        16,
        3,
    )
    assert (spec.model.hidden_size, spec.model.num_hidden_layers) == (768, 12)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_a_valid_spec(name):
    spec = JobSpec.model_validate({"preset": name}).resolve()
    assert spec.preset == name


@pytest.mark.parametrize("name", PRESETS)
def test_a_resolved_spec_is_read_back_unchanged(name):
    spec = JobSpec.model_validate({"preset": name}).resolve()
    assert JobSpec.model_validate_json(spec.model_dump_json()).resolve() == spec


def test_a_field_overrides_the_preset_and_leaves_the_others():
    spec = JobSpec.model_validate({"preset": "llama4-10m", "training": {"epochs": 3}})
    assert spec.training.epochs == 3
    assert spec.training.seq_length == 256


def test_another_architecture_takes_no_shape_from_the_preset():
    spec = JobSpec.model_validate({"preset": "llama4-10m", "model": {"architecture": "gemma2"}})
    assert spec.model.architecture == "gemma2"
    assert spec.model.hidden_size == 768


def test_an_unknown_preset_is_refused_by_name():
    assert refused_field({"preset": "gpt5"}) == ("preset",)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"nonsense": 1}, ("nonsense",)),
        ({"training": {"lr": 1}}, ("training", "lr")),
        ({"training": {"epochs": True}}, ("training", "epochs")),
        ({"training": {"batch_size": "7"}}, ("training", "batch_size")),
        ({"training": {"batch_size": 8, "micro_batch_size": 3}}, ("training", "micro_batch_size")),
        ({"training": {"learning_rate": float("nan")}}, ("training", "learning_rate")),
        ({"tokenizer": {"vocab_size": 2**63}}, ("tokenizer", "vocab_size")),
        ({"data": {"dataset": "../etc"}}, ("data", "dataset")),
        ({"data": {"dataset": "train\n"}}, ("data", "dataset")),
        ({"data": {"dataset": "dev"}}, ("data", "validation")),
        ({"data": {"sources": []}}, ("data", "sources")),
        ({"data": {"deduplicate": "fuzzy"}}, ("data", "deduplicate")),
        ({"tokenizer": {"from_job": "../etc"}}, ("tokenizer", "from_job")),
        ({"task": "everything"}, ("task",)),
        ({"name": "two\nlines"}, ("name",)),
        ({"track": "strict", "training": {"epochs": 11}}, ("training",)),
    ],
)
def test_a_refusal_names_the_field(body, field):
    assert refused_field(body) == field


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_heads_must_divide_the_width_evenly(architecture):
    body = {"architecture": architecture, "hidden_size": 100, "num_attention_heads": 7}
    assert refused_field({"model": body})[-1] == "num_attention_heads"


def test_an_odd_width_is_refused_because_rotary_embeddings_need_pairs():
    with pytest.raises(ValidationError, match="multiple of 2"):
        JobSpec.model_validate({"model": {"hidden_size": 9}})


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("hidden_size", [8, 10, 62, 96, 256, 768, 1000])
def test_no_number_of_heads_given_chooses_a_valid_one(architecture, hidden_size):
    body = {"model": {"architecture": architecture, "hidden_size": hidden_size}}
    model = JobSpec.model_validate(body).resolve().model
    assert hidden_size % model.num_attention_heads == 0
    assert model.num_attention_heads % model.num_key_value_heads == 0
    again = model.model_dump(mode="json")
    assert JobSpec.model_validate({"model": again}).model == model


@pytest.mark.parametrize(
    ("given", "style"), [(True, "standard"), (False, "none"), ("upstream", "upstream")]
)
def test_cleaning_in_short(given, style):
    assert JobSpec.model_validate({"data": {"clean": given}}).data.clean.style == style


SHORT = {"model": {"max_position_embeddings": 64}, "training": {"seq_length": 128}}


def test_a_model_that_cannot_take_whole_sequences_is_refused():
    with pytest.raises(ValidationError, match=r"raise model.max_position_embeddings to 128"):
        JobSpec.model_validate(SHORT)
    equal = {"model": {"max_position_embeddings": 128}, "training": {"seq_length": 128}}
    assert JobSpec.model_validate(equal).resolve().model.max_position_embeddings == 128


def test_a_stored_spec_is_not_refused_by_a_rule_that_came_later():
    spec = JobSpec.model_validate(SHORT, context=STORED).resolve()
    assert spec.model.max_position_embeddings == 64
    again = JobSpec.model_validate_json(spec.model_dump_json(), context=STORED)
    assert again.resolve() == spec


def test_null_fields_keep_the_values_with_which_a_run_began():
    body = {"model": {"architecture": "gemma2", "attn_logit_softcapping": None}}
    given = JobSpec.model_validate(body)
    old = {"max_position_embeddings": 128, "num_key_value_heads": 3}
    model = given.resolve().model.model_copy(update=old)
    begun = given.resolve().model_copy(update={"model": model})
    assert given.resolve() != begun
    assert given.resolve(begun=begun) == begun
    # A null that means "none" is a value: it is not replaced.
    capped = begun.model_copy(
        update={"model": model.model_copy(update={"attn_logit_softcapping": 50.0})}
    )
    assert given.resolve(begun=capped).model.attn_logit_softcapping is None
    # Values of the user take precedence. Another architecture gets no values of the old run.
    longer = JobSpec.model_validate({"model": body["model"] | {"max_position_embeddings": 512}})
    assert longer.resolve(begun=begun).model.max_position_embeddings == 512
    other = JobSpec.model_validate({"model": {"architecture": "olmo2"}})
    assert other.resolve(begun=begun) == other.resolve()


def test_a_stored_spec_may_have_a_retired_field_without_effect():
    spec = JobSpec().resolve()
    body = spec.model_dump(mode="json")
    body["training"]["weight_decay_schedule"] = "constant"
    assert read_stored_spec(body) == read_stored_spec(json.dumps(body)) == spec
    for refused in (body | {"training": {"weight_decay_schedule": "linear"}}, [], "{"):
        with pytest.raises(ValidationError):
            read_stored_spec(refused if isinstance(refused, str) else json.dumps(refused))
    with pytest.raises(ValidationError, match="weight_decay_schedule"):
        JobSpec.model_validate(body)
