"""Averaged weights, residual dropout, the z-loss and shuffled documents."""

import copy

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from core.archs import ARCHITECTURES
from core.checkpoints.model import build_model
from core.errors import Stopped
from core.events.types import CheckpointData
from core.spec.estimate import activation_bytes, estimate, step_bytes
from core.spec.job import JobSpec
from core.storage.file_hashes import hash_file
from core.training.loss import summed_loss
from core.training.model.dropout import use_residual_dropout
from core.training.saving.average import WeightAverage

RECIPE = {"optimizer": "muon", "ema_decay": 0.9}


def with_dropout(run, probability=0.2):
    model = run.spec.model.model_copy(update={"dropout": probability})
    run.spec = run.spec.model_copy(update={"model": model})
    return run


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("step", [5, 10])
def test_a_run_with_all_fields_resumes_to_the_last_bit(tiny_run, architecture, step):
    alone, stopped = (
        with_dropout(tiny_run(architecture, name=name, **RECIPE)) for name in ("alone", "stopped")
    )
    alone.go()
    with pytest.raises(Stopped):
        stopped.go(stop_at=step)
    stopped.go()
    for name in ("train/loss", "validation/loss", "validation/ema_loss"):
        assert stopped.values(name) == alone.values(name), name
    for checkpoint in ("last", "ema"):
        hashes = {
            hash_file(run.rundir.checkpoint(checkpoint) / "model.safetensors")
            for run in (alone, stopped)
        }
        assert len(hashes) == 1, checkpoint


def test_two_devices_validate_the_same_average(tiny_run):
    one = tiny_run(name="one", max_steps=4, ema_decay=0.9)
    two = tiny_run(name="two", max_steps=4, ema_decay=0.9, num_devices=2)
    one.go()
    two.go()
    for step, loss in one.values("validation/ema_loss").items():
        assert two.values("validation/ema_loss")[step] == pytest.approx(loss, rel=1e-5)


def test_averaged_weights_are_published_next_to_the_last_ones(tiny_run):
    run = tiny_run(ema_decay=0.9)
    run.go()
    kinds = {event.kind: event for event in run.of(CheckpointData)}
    assert kinds["ema"].name == "ema"
    assert kinds["ema"].validation_loss == run.values("validation/ema_loss")[12]
    assert kinds["last"].validation_loss == run.values("validation/loss")[12]
    last, ema = (run.rundir.checkpoint(name) for name in ("last", "ema"))
    assert hash_file(last / "model.safetensors") != hash_file(ema / "model.safetensors")
    assert (last / "config.json").read_text() == (ema / "config.json").read_text()
    assert AutoModelForCausalLM.from_pretrained(ema).num_parameters() > 0


def test_without_a_decay_there_is_no_average(tiny_run):
    run = tiny_run()
    run.go()
    assert "ema" not in run.names()
    assert run.values("validation/ema_loss") == {}


def test_the_average_is_the_recurrence_and_swapping_is_exact(tmp_path):
    model = torch.nn.Linear(3, 2)
    average = WeightAverage(model, decay=0.5)
    expected = model.weight.detach().clone().double()
    for step in (1, 2, 20):
        with torch.no_grad():
            model.weight.add_(torch.randn(2, 3, generator=torch.Generator().manual_seed(step)))
        average.update(step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * model.weight.detach().double()
    raw = copy.deepcopy(model.state_dict())
    with average.swapped():
        torch.testing.assert_close(model.weight.detach().double(), expected, rtol=0.0, atol=1e-6)
    assert all(each.equal(raw[name]) for name, each in model.state_dict().items())
    average.save(tmp_path)
    assert set(load_file(tmp_path / "average.safetensors")) == {"weight", "bias"}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_dropout_is_that_of_plain_modules_in_loss_and_gradients(architecture):
    """The reference wraps the modules of plain transformers in torch.nn.Dropout, in float64."""
    model = {"architecture": architecture, "hidden_size": 16, "num_hidden_layers": 2}
    if architecture == "llama4":
        model["num_local_experts"] = 0
    spec = JobSpec.model_validate({"model": model | {"dropout": 0.3}}).resolve().model
    ours = build_model(spec, vocab_size=300, seed=0).double()
    plain = copy.deepcopy(ours)
    use_residual_dropout(ours, spec.residual_branches, probability=spec.dropout)
    for layer in plain.model.layers:
        for name in spec.residual_branches:
            setattr(layer, name, Dropped(getattr(layer, name), 0.3))
    ids = torch.randint(3, 300, (2, 17), generator=torch.Generator().manual_seed(0))
    torch.manual_seed(1)
    loss = summed_loss(ours, ids[:, :-1], ids[:, 1:])
    loss.backward()
    torch.manual_seed(1)
    logits = plain(input_ids=ids[:, :-1]).logits
    expected = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="sum"
    )
    expected.backward()
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=0.0)
    for (name, mine), other in zip(ours.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-4, atol=1e-6, msg=name)
    ours.eval()
    assert summed_loss(ours, ids[:, :-1], ids[:, 1:]) == summed_loss(ours, ids[:, :-1], ids[:, 1:])


class Dropped(torch.nn.Module):
    def __init__(self, module, probability):
        super().__init__()
        self.module, self.dropout = module, torch.nn.Dropout(probability)

    def forward(self, *arguments, **keywords):
        output = self.module(*arguments, **keywords)
        if isinstance(output, tuple):
            return (self.dropout(output[0]), *output[1:])
        return self.dropout(output)


def test_dropout_is_not_part_of_the_exported_model(tiny_run):
    plain, dropped = tiny_run(name="plain"), with_dropout(tiny_run(name="dropped"))
    plain.go()
    dropped.go()
    configs = [
        (run.rundir.checkpoint("last") / "config.json").read_text() for run in (plain, dropped)
    ]
    assert configs[0] == configs[1]
    assert plain.values("train/loss") != dropped.values("train/loss")
    assert plain.values("validation/loss")[0] == dropped.values("validation/loss")[0]


def test_the_estimate_counts_the_average_and_the_masks_of_dropout():
    def spec(dropout, ema):
        model = {"architecture": "olmo2", "hidden_size": 64, "dropout": dropout}
        return JobSpec.model_validate({"model": model, "training": {"ema_decay": ema}}).resolve()

    plain, averaged, dropped = spec(0.0, None), spec(0.0, 0.999), spec(0.1, None)
    size = 4 * plain.model.num_parameters(vocab_size=300)
    options = {"micro_batch_size": 4, "vocab_size": 300}
    assert step_bytes(averaged, **options) - step_bytes(plain, **options) == size
    assert estimate(averaged, words=None).disk_bytes > estimate(plain, words=None).disk_bytes
    masks = 12 * 4 * 128 * 2 * 64
    assert activation_bytes(dropped, **options) - activation_bytes(plain, **options) == masks


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_z_loss_changes_the_run_and_is_in_no_reported_loss(tiny_run, architecture):
    plain = tiny_run(architecture, name="plain")
    first, stopped = (
        tiny_run(architecture, name=name, z_loss_coefficient=0.1) for name in ("first", "stopped")
    )
    plain.go()
    first.go()
    with pytest.raises(Stopped):
        stopped.go(stop_at=5)
    stopped.go()
    assert stopped.values("train/loss") == first.values("train/loss")
    assert stopped.values("validation/loss") == first.values("validation/loss")
    assert first.values("train/loss")[1] == plain.values("train/loss")[1]
    assert first.values("validation/loss")[0] == plain.values("validation/loss")[0]
    assert first.values("train/loss")[12] != plain.values("train/loss")[12]


def test_accumulation_and_devices_do_not_change_a_run_with_z_loss(tiny_run):
    runs = [
        tiny_run(name=str(number), max_steps=4, z_loss_coefficient=0.1, **options)
        for number, options in enumerate([{}, {"micro_batch_size": 1}, {"num_devices": 2}])
    ]
    for run in runs:
        run.go()
    for name in ("train/loss", "train/grad_norm"):
        for run in runs[1:]:
            assert run.values(name) == pytest.approx(runs[0].values(name), rel=1e-4), name


@pytest.mark.parametrize(
    ("section", "field", "value"),
    [("training", "ema_decay", 1.0), ("model", "dropout", 1.0), ("model", "dropout", -0.1)],
)
def test_values_without_meaning_are_refused(section, field, value):
    body = {"model": {"architecture": "olmo2"}}
    body[section] = body.get(section, {}) | {field: value}
    with pytest.raises(ValueError, match=field):
        JobSpec.model_validate(body)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("step", [5, 10])
def test_a_run_that_shuffles_documents_resumes_to_the_last_bit(tiny_run, architecture, step):
    """An epoch has eight steps, and the run continues into the second epoch."""
    options = {"shuffle": "documents", "seq_length": 128}
    plain = tiny_run(architecture, name="plain", seq_length=128)
    alone, stopped = (tiny_run(architecture, name=name, **options) for name in ("alone", "stopped"))
    plain.go()
    alone.go()
    with pytest.raises(Stopped):
        stopped.go(stop_at=step)
    stopped.go()
    for name in ("train/loss", "validation/loss"):
        assert stopped.values(name) == alone.values(name), name
    assert plain.values("train/loss") != alone.values("train/loss")
    hashes = {
        hash_file(run.rundir.checkpoint("last") / "model.safetensors") for run in (alone, stopped)
    }
    assert len(hashes) == 1


def test_two_devices_shuffle_the_same_documents(tiny_run):
    options = {"shuffle": "documents", "seq_length": 128}
    one = tiny_run(name="one", **options)
    two = tiny_run(name="two", num_devices=2, **options)
    one.go()
    two.go()
    losses = one.values("train/loss")
    assert two.values("train/loss") == pytest.approx(losses, rel=1e-5)
