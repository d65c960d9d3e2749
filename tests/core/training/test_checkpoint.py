"""Checkpoints: plain transformers loads them, old ones are removed, and no file is a pickle."""

import json

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional
from transformers import AutoModelForCausalLM, AutoTokenizer

from core.archs import ARCHITECTURES
from core.dataset.batches import validation_windows
from core.events.types import CheckpointData
from core.spec.plan import milestones
from core.storage.file_hashes import hash_file


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_plain_transformers_loads_it_and_finds_the_same_validation_loss(tiny_run, architecture):
    run = tiny_run(architecture)
    run.go()
    folder = run.rundir.checkpoint("last")
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert len(tokenizer) == run.train.vocab_size == model.config.vocab_size
    total, count = 0.0, 0
    with torch.no_grad():
        for batch in validation_windows(
            run.validation, seq_length=16, max_tokens=None, batch_size=4
        ):
            logits = model(torch.from_numpy(batch.inputs)).logits
            targets = torch.from_numpy(batch.targets)
            total += functional.cross_entropy(
                logits.flatten(0, 1), targets.flatten(), reduction="sum"
            ).item()
            count += batch.num_targets
    assert total / count == pytest.approx(run.values("validation/loss")[12], abs=1e-5)


def test_every_file_is_reported_with_its_size_and_hash(tiny_run):
    run = tiny_run()
    run.go()
    last = [event for event in run.of(CheckpointData) if event.name == "last"][-1]
    folder = run.rundir.checkpoint("last")
    assert {file.path for file in last.files} == {path.name for path in folder.iterdir()}
    for file in last.files:
        assert (folder / file.path).stat().st_size == file.size
        assert hash_file(folder / file.path) == file.sha256
    assert {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "README.md",
        "spec.json",
    } <= {file.path for file in last.files}
    assert json.loads((folder / "spec.json").read_text()) == run.spec.model_dump(mode="json")


def test_rolling_checkpoints_are_kept_by_number_and_removals_are_reported(tiny_run):
    run = tiny_run(max_steps=30, save_total_limit=2, eval_steps=30)
    run.go()
    rolling = sorted(name for name in run.names() if name.startswith("step-"))
    assert rolling == ["step-000024", "step-000028"]
    removed = {event.name for event in run.of(CheckpointData) if event.action == "removed"}
    assert removed == {f"step-{step:06d}" for step in (4, 8, 12, 16, 20)}
    assert "last" in run.names()


def test_only_the_best_of_the_best_is_kept(tiny_run):
    run = tiny_run()
    run.go()
    losses = run.values("validation/loss")
    best = min((step for step in losses if step), key=losses.__getitem__)
    assert [name for name in run.names() if name.startswith("best-")] == [f"best-{best:06d}"]


def test_milestones_fall_on_the_first_step_that_has_seen_the_words(tiny_run, monkeypatch):
    budget = [("chck_1M", 150), ("chck_2M", 300), ("chck_3M", 301)]
    monkeypatch.setattr("core.training.loop.milestones", lambda _: budget)
    run = tiny_run()
    run.go()
    words = {
        event.step: event.words_seen
        for event in run.events
        if "train/loss" in getattr(event, "values", {})
    }
    saved = {event.name: event for event in run.of(CheckpointData) if event.kind == "milestone"}
    for name, count in budget:
        step = min(step for step, seen in words.items() if seen >= count)
        assert saved[name].step == step
        assert saved[name].words_seen == words[step]
        assert name in run.names()
    assert milestones("free") == []


def test_nothing_that_is_written_is_a_pickle(tiny_run):
    run = tiny_run()
    run.go()
    files = [path for path in run.rundir.root.rglob("*") if path.is_file()]
    assert files
    for path in files:
        assert path.suffix in {".json", ".safetensors", ".md", ".txt"}, path
        if path.suffix == ".safetensors":
            load_file(path)
        else:
            path.read_text()


def test_a_tied_output_layer_is_written_once(tiny_run):
    run = tiny_run()
    run.go()
    tensors = load_file(run.rundir.checkpoint("last") / "model.safetensors")
    assert "lm_head.weight" not in tensors
