"""Warm start: the weights of a checkpoint or of a folder are copied and trained further."""

import json
import shutil

import pytest
from pydantic import ValidationError

from core.checkpoints.initial_weights import require_same_model, take_initial_weights
from core.errors import InitialWeightsInvalid, Stopped
from core.spec.job import InitFromSpec, JobSpec
from core.storage.file_hashes import hash_file
from tests.long import others_long


def trained(tiny_run, architecture="olmo2"):
    parent = tiny_run(architecture, name="parent", max_steps=4, save_steps=2)
    shutil.copytree(parent.tokenizer, parent.rundir.tokenizer)
    parent.go()
    return parent


def starting_from(run, data_dir, **source):
    run.spec = run.spec.model_copy(update={"init_from": InitFromSpec(**source)})
    take_initial_weights(run.spec, run.rundir, data_dir)
    return run


@pytest.mark.parametrize("architecture", others_long(["olmo2", "llama4"]))
def test_a_warm_start_has_the_weights_and_resumes_without_the_parent(
    tiny_run, tmp_path, architecture
):
    parent = trained(tiny_run, architecture)
    names = ("alone", "stopped", "devices") if architecture == "olmo2" else ("alone", "stopped")
    recipe = {"optimizer": "muon", "max_steps": 6}
    runs = [
        tiny_run(architecture, name=name, **recipe, num_devices=2 if name == "devices" else 1)
        for name in names
    ]
    for run in runs:
        starting_from(run, tmp_path, job="parent")
    assert hash_file(runs[0].rundir.initial / "model.safetensors") == hash_file(
        parent.rundir.checkpoint("last") / "model.safetensors"
    )
    shutil.rmtree(parent.rundir.root)
    alone, stopped, *devices = runs
    alone.go()
    assert alone.values("validation/loss")[0] == parent.values("validation/loss")[4]
    with pytest.raises(Stopped):
        stopped.go(stop_at=3)
    stopped.go()
    assert stopped.values("train/loss") == alone.values("train/loss")
    hashes = [
        hash_file(run.rundir.checkpoint("last") / "model.safetensors") for run in (alone, stopped)
    ]
    assert hashes[0] == hashes[1]
    for run in devices:
        run.go()
        assert run.values("train/loss") == pytest.approx(alone.values("train/loss"), rel=1e-5)


def test_a_folder_of_the_data_directory_is_copied_with_its_tokenizer(tiny_run, tmp_path):
    parent, data = trained(tiny_run), tmp_path / "data"
    shutil.copytree(parent.rundir.checkpoint("last"), data / "models" / "mine")
    child = starting_from(tiny_run(name="child", max_steps=1), data, path="models/mine")
    shutil.rmtree(data)
    take_initial_weights(child.spec, child.rundir, data)  # finds the earlier copy
    child.go()
    assert child.values("validation/loss")[0] == parent.values("validation/loss")[4]
    names = {path.name for path in child.rundir.initial_tokenizer.iterdir()}
    assert names == {"tokenizer.json", "tokenizer_config.json", "report.json"}
    report = (child.rundir.initial_tokenizer / "report.json").read_text()
    assert f'"vocab_size": {child.train.vocab_size}' in report
    merges = json.loads((child.rundir.initial_tokenizer / "tokenizer.json").read_bytes())
    assert f'"merges": {len(merges["model"]["merges"])},' in report
    card = (child.rundir.checkpoint("last") / "README.md").read_text()
    assert "from the weights `models/mine`" in card


def test_what_is_missing_or_differs_is_named(tiny_run, tmp_path):
    parent = trained(tiny_run)
    cases = [
        (tiny_run("gemma2", name="a"), {"job": "parent"}, "Gemma2ForCausalLM in the job"),
        (tiny_run(name="b"), {"job": "none"}, "of job none does not exist"),
        (tiny_run(name="c"), {"job": "parent", "checkpoint": "ema"}, "checkpoint ema of job"),
        (tiny_run(name="d"), {"path": "models/none"}, "the folder models/none"),
    ]
    wide = tiny_run(name="e")
    model = wide.spec.model.model_copy(update={"intermediate_size": 48})
    wide.spec = wide.spec.model_copy(update={"model": model})
    cases.append((wide, {"job": "parent"}, "intermediate_size: 48 in the job, 64 in the weights"))
    for run, source, message in cases:
        with pytest.raises(InitialWeightsInvalid, match=message):
            starting_from(run, tmp_path, **source)
        assert not run.rundir.initial.exists()
    edited = starting_from(tiny_run(name="edited"), tmp_path, job="parent")
    before = (edited.rundir.initial / "source.json").read_bytes()
    starting_from(edited, tmp_path, job="parent", checkpoint="step-000002")
    assert (edited.rundir.initial / "source.json").read_bytes() != before
    longer = tiny_run(name="f", seq_length=32)
    update = {"max_position_embeddings": 4096, "dropout": 0.1}
    longer.spec = longer.spec.model_copy(
        update={"model": longer.spec.model.model_copy(update=update)}
    )
    starting_from(longer, tmp_path, job="parent")
    tokenizer = parent.rundir.tokenizer / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text().replace('"ByteLevel"', '"Whitespace"', 1))
    with pytest.raises(InitialWeightsInvalid, match=r"byte-level|special tokens"):
        starting_from(tiny_run(name="g"), tmp_path, job="parent")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"normalizer": {"type": "NFC"}}, r"changes text before it is split \(NFC\)"),
        ({"added_tokens": [7]}, "is no tokenizer.json of Hugging Face"),
        ({"model": {"merges": [["a"]]}}, "is no tokenizer.json of Hugging Face"),
    ],
)
def test_a_tokenizer_that_no_run_can_use_is_refused(tiny_run, tmp_path, changes, message):
    run = tiny_run()
    folder = tmp_path / "models" / "mine"
    shutil.copytree(run.tokenizer, folder)
    (folder / "model.safetensors").write_bytes(b"")
    model = run.spec.model
    config = model.config_arguments(vocab_size=run.train.vocab_size)
    (folder / "config.json").write_text(json.dumps(config | {"architectures": [model.model_class]}))
    found = json.loads((folder / "tokenizer.json").read_bytes())
    require_same_model(run.spec, folder, folder)
    found |= changes | {"model": found["model"] | changes.get("model", {})}
    (folder / "tokenizer.json").write_text(json.dumps(found))
    with pytest.raises(InitialWeightsInvalid, match=message):
        require_same_model(run.spec, folder, folder)


def test_the_tokenizer_is_that_of_the_weights():
    spec = JobSpec.model_validate({"init_from": {"job": "abc"}})
    assert (spec.tokenizer.from_job, spec.init_from.checkpoint) == ("abc", "last")
    assert JobSpec.model_validate_json(spec.model_dump_json()) == spec


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"track": "strict-small", "init_from": {"job": "abc"}}, "budget of track strict-small"),
        ({"task": "tokenizer", "init_from": {"job": "abc"}}, "trains no weights"),
        ({"init_from": {"job": "abc"}, "tokenizer": {"from_job": "x"}}, "tokenizer.from_job is x"),
        ({"init_from": {"path": "m"}, "tokenizer": {"from_job": "x"}}, "tokenizer.from_job is x"),
        ({"init_from": {"path": "../etc"}}, "relative to the data directory"),
        ({"init_from": {"path": "/etc"}}, "relative to the data directory"),
        ({"init_from": {"job": "abc", "path": "m"}}, "remove one"),
        ({"init_from": {"job": "../a"}}, "letters, digits"),
    ],
)
def test_an_impossible_warm_start_is_refused(body, message):
    with pytest.raises(ValidationError, match=message):
        JobSpec.model_validate(body)
