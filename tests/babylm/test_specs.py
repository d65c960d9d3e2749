import json
from pathlib import Path

import pytest

from babylm.errors import UsageError
from babylm.specs import build_spec, encode_spec, parse_grid, parse_setting, read_spec
from babylm.train import resolve_spec
from core.spec.job import JobSpec
from tests.babylm.conftest import error_of


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("010", 10),
        ("-2", -2),
        ("5e-4", 5e-4),
        ("0.5", 0.5),
        (".5", 0.5),
        ("1E3", 1000.0),
        ("true", True),
        ("null", None),
        ("", None),
        ("no", "no"),
        ("1:30", "1:30"),
        ("2026-01-01", "2026-01-01"),
        ("'3'", "3"),
        ("llama4", "llama4"),
        ("[The dog, She]", ["The dog", "She"]),
        ("a=b", "a=b"),
    ],
)
def test_the_value_of_a_setting_has_the_type_that_yaml_gives_it(text, value):
    path, parsed = parse_setting(f"training.x={text}")
    assert path == "training.x"
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\xff",
            " is not a text file; a spec is YAML or JSON",
        ),
        (b"a: b\0", " is not a text file; a spec is YAML or JSON"),
        (b"a: 1\ncaf\xe9: 2\n", " is not UTF-8: line 2 has the byte 0xe9"),
        ("a: 1\n".encode("utf-16"), " is not UTF-8 but UTF-16"),
        (
            b"a: [1\nb: 2\n",
            ", line 2, column 2: not valid YAML: expected ',' or ']', but got ':' (the "
            "flow sequence begins in line 1, column 4)",
        ),
        (
            b"a: {",
            ", line 1, column 5: not valid YAML: expected the node content, but found the end",
        ),
        (
            b"a: 1\n\tb: 2\n",
            ", line 2, column 1: not valid YAML: found character '\\t' that cannot start any token",
        ),
        (b"a: 1\na: 2\n", ", line 2, column 1: not valid YAML: the key 'a' occurs twice"),
        (
            b"a: 1\nb: \x01",
            ", line 2, column 4: not valid YAML: the character U+0001 is forbidden",
        ),
    ],
)
def test_an_error_names_the_file_the_place_and_the_cause_in_one_line(
    tmp_path, monkeypatch, content, said
):
    monkeypatch.chdir(tmp_path)
    Path("spec.yaml").write_bytes(content)
    with pytest.raises(UsageError) as raised:
        read_spec(Path("spec.yaml"))
    assert raised.value.message == f"spec.yaml{said}"


def test_an_error_in_json_names_the_place_and_a_byte_order_mark_is_none(tmp_path):
    path = tmp_path / "spec.json"
    path.write_text('{"a": 1,\n "b" 2}')
    with pytest.raises(UsageError) as raised:
        read_spec(path)
    said = f"{path}, line 2, column 6: not valid JSON: expecting ':' delimiter"
    assert raised.value.message == said
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_spec(path) == {"a": 1}


@pytest.mark.parametrize("text", ["[1", "@x", '"x', "*x", "\x01", "%"])
def test_an_error_in_an_option_is_one_line(text):
    for option, parse in (("--set", parse_setting), ("--grid", lambda each: parse_grid([each]))):
        with pytest.raises(UsageError) as raised:
            parse(f"a={text}")
        message = raised.value.message
        assert message.startswith(f"{option} a: {text!r} is not valid YAML: ")
        assert not {"\n", "<", "\0"} & set(message)
        assert "in quotes" in raised.value.hint


@pytest.mark.parametrize("setting", ["epochs", "=3", "a..b=1", "training.x=[1"])
def test_an_invalid_setting_is_bad_usage(setting):
    with pytest.raises(UsageError) as raised:
        parse_setting(setting)
    assert raised.value.status == 2


def test_upstreams_flat_options_reach_the_fields_that_they_mean():
    flat = {
        "data_folder": "data/train_100M",
        "model": "llama",
        "vocab_size": 16000,
        "seq_length": 64,
        "batch_size": 8,
        "epoch": 2.0,
        "hidden_size": 256,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
    }
    spec = JobSpec.model_validate(build_spec(file=None, preset=None, settings=[], flat=flat))
    assert spec.data.dataset == "train_100M"
    assert spec.model.architecture == "llama4"
    assert (spec.model.hidden_size, spec.model.num_hidden_layers) == (256, 4)
    assert spec.model.num_attention_heads == 4
    assert spec.tokenizer.vocab_size == 16000
    assert (spec.training.seq_length, spec.training.batch_size) == (64, 8)
    assert spec.training.epochs == 2


def test_omitted_flat_options_have_upstreams_defaults():
    body = build_spec(file=None, preset=None, settings=[], flat={"epoch": 3.0, "model": None})
    assert body == {"training": {"epochs": 3}}
    spec = JobSpec.model_validate(body)
    assert (spec.data.dataset, spec.model.architecture) == ("train_10M", "llama4")
    assert (spec.tokenizer.vocab_size, spec.training.seq_length) == (48000, 128)
    assert (spec.training.batch_size, spec.training.epochs) == (16, 3)
    assert (spec.model.hidden_size, spec.model.num_hidden_layers) == (768, 12)


def test_file_preset_flat_options_and_settings_win_in_that_order(tmp_path):
    file = tmp_path / "spec.yaml"
    file.write_text("preset: sample\ntraining:\n  learning_rate: 5e-4\n  epochs: 1\n  seed: 1\n")
    body = build_spec(
        file=file, preset="olmo2-10m", settings=["training.seed=3"], flat={"epoch": 2.0}
    )
    assert body == {
        "preset": "olmo2-10m",
        "training": {"learning_rate": 5e-4, "epochs": 2, "seed": 3},
    }


def test_nothing_at_all_is_refused_rather_than_trained_for_hours():
    with pytest.raises(UsageError, match="nothing to submit"):
        build_spec(file=None, preset=None, settings=[], flat={"epoch": None})


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.yaml", "a: 1\na: 2\n", "occurs twice"),
        ("a.yaml", "- 1\n", "no mapping"),
        ("a.yaml", "a: [1\n", "not valid"),
        ("a.yaml", "1: 2\n", "not a string"),
        ("a.json", "{'a': 1}", "not valid"),
        ("a.yaml", "caf\udce9", "is not UTF-8"),
    ],
)
def test_an_invalid_file_is_bad_usage(tmp_path, name, content, said):
    file = tmp_path / name
    file.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(UsageError, match=said):
        read_spec(file)


def test_a_file_that_does_not_exist_is_named_once(tmp_path):
    with pytest.raises(UsageError) as raised:
        read_spec(tmp_path / "a.yaml")
    assert str(raised.value) == f"{tmp_path / 'a.yaml'} cannot be read: No such file or directory"


def test_a_section_that_is_a_number_has_no_fields():
    with pytest.raises(UsageError, match="training is 3"):
        build_spec(file=None, preset=None, settings=["training=3", "training.seed=1"], flat={})


def test_json_files_and_encoding(tmp_path):
    file = tmp_path / "spec.json"
    file.write_text(json.dumps({"training": {"learning_rate": 5e-4}}))
    assert encode_spec(read_spec(file)) == file.read_bytes()
    with pytest.raises(UsageError, match="cannot be sent"):
        encode_spec({"training": {"learning_rate": float("nan")}})


@pytest.mark.parametrize("name", ["deep.yaml", "deep.json"])
def test_a_spec_that_is_nested_too_deeply_is_bad_usage(name, tmp_path):
    path = tmp_path / name
    path.write_text("[" * 100_000)
    with pytest.raises(UsageError, match="nested too deeply"):
        read_spec(path)
    with pytest.raises(UsageError, match="nested too deeply"):
        parse_setting("a=" + "[" * 100_000)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("data.sources=childes", "data.sources: must be a list, such as [childes]"),
        ("data.sources={a: 1}", "data.sources: must be a list, such as [a, b]"),
        ("tracking=wandb", "tracking: must be a list, such as [wandb]"),
        ("tokenizer=5", "tokenizer: must be a section with fields, such as {field: value}"),
        ("training.epochs=many", "training.epochs: must be a number, such as 0.5"),
        ("training.epochs=0", "training.epochs: must be greater than 0"),
        ("training.seed=1.5", "training.seed: must be a whole number, such as 3"),
        (
            "training.gradient_checkpointing=2",
            "training.gradient_checkpointing: must be true or false",
        ),
        ("name=[a]", "name: must be a text"),
        ("training.shuffle=x", "training.shuffle: must be one of windows, documents"),
    ],
)
def test_a_value_of_another_type_is_answered_with_what_the_field_accepts(setting, said):
    body = build_spec(file=None, preset="sample", settings=[setting], flat={})
    with pytest.raises(UsageError) as raised:
        resolve_spec(body)
    assert raised.value.message == f"the spec is not valid\n  {said}"


@pytest.mark.parametrize(
    "words",
    [
        ("submit", "--set", "training.epochs=-1"),
        ("estimate", "--set", "training.epochs=-1"),
        ("study", "--grid", "training.epochs=-1,1"),
        ("train", "--set", "training.epochs=-1", "-o", "run"),
        ("submit", "--preset", "nope"),
        ("train", "--preset", "nope", "-o", "run"),
        ("jobs", "--status", "nope"),
        ("datasets", "add", "my data", "spec.yaml"),
        ("datasets", "add", "mine", "spec.yaml"),
    ],
)
def test_a_value_that_is_not_valid_is_bad_usage_with_and_without_a_service(
    run, service, tmp_path, words
):
    (tmp_path / "spec.yaml").write_text("preset: sample\n")
    error = error_of(run(*words, BABYLM_URL=service[0]))
    assert error.status == 2
    assert "Input should" not in error.message


def test_a_status_that_does_not_exist_is_answered_in_one_line(run, service):
    error = error_of(run("jobs", "--status", "nope", BABYLM_URL=service[0]))
    statuses = "queued, running, paused, succeeded, failed, cancelled"
    assert error.message == f"status: must be one of {statuses} (422)"
