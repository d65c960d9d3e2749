"""Early stopping: when it ends a run, what is published, and exact resume."""

import pytest
from safetensors.torch import load_file

from core.archs import ARCHITECTURES
from core.errors import Stopped
from core.events.types import CheckpointData, WarningData
from core.spec.job import JobSpec
from core.spec.plan import make_plan
from core.storage.file_hashes import hash_file
from core.training.monitoring.early_stopping import is_finished, note_validation
from core.training.saving.resume import LoopState

OVERFITS = {
    "learning_rate": 0.03,
    "schedule": "constant",
    "max_steps": 60,
    "eval_steps": 2,
    "save_steps": 10,
    "early_stopping_patience": 2,
    "sample_prompts": [],
}
"""Settings for which the validation loss of all three architectures rises after about ten steps, at
two validations in a row."""


def weights(run, name: str) -> str:
    return hash_file(run.rundir.checkpoint(name) / "model.safetensors")


def test_it_ends_after_a_number_of_validations_without_a_gain_and_publishes_the_best(tiny_run):
    run = tiny_run(**OVERFITS)
    run.go()
    losses = {step: loss for step, loss in run.values("validation/loss").items() if step}
    best = min(losses, key=losses.__getitem__)
    assert max(losses) == best + 4 < 60
    assert list(run.values("train/loss")) == list(range(1, best + 5))
    published = {event.kind: event for event in run.of(CheckpointData) if event.action == "saved"}
    last = published["last"]
    assert (last.step, last.validation_loss) == (best, losses[best])
    assert (last.step, last.words_seen) == (published["best"].step, published["best"].words_seen)
    assert weights(run, "last") == weights(run, f"best-{best:06d}")
    newest = load_file(run.rundir.resume / f"step-{best + 4:06d}" / "model.safetensors")
    kept = load_file(run.rundir.checkpoint("last") / "model.safetensors")
    assert any(not newest[name].equal(each) for name, each in kept.items())
    (warning,) = [event for event in run.of(WarningData) if event.code == "stopped_early"]
    assert f"ended at step {best + 4} of 60" in warning.message
    assert f"at step {best}" in warning.message


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_run_that_was_interrupted_stops_at_the_same_step(tiny_run, architecture):
    options = OVERFITS | {"ema_decay": 0.9}
    alone = tiny_run(architecture, name="alone", **options)
    alone.go()
    last_step = max(alone.values("train/loss"))
    assert last_step < 60
    for name, step in (("before", last_step - 3), ("at the end", last_step)):
        stopped = tiny_run(architecture, name=name, **options)
        with pytest.raises((Stopped, KeyboardInterrupt)):
            stopped.go(**{"stop_at" if name == "before" else "fail_at": step})
        stopped.go()
        for metric in ("train/loss", "validation/loss"):
            assert stopped.values(metric) == alone.values(metric)
        assert stopped.names() == alone.names()
        for checkpoint in ("last", "ema"):
            assert weights(stopped, checkpoint) == weights(alone, checkpoint)
        stopped.go()  # a finished run trains no further step
        assert max(stopped.values("train/loss")) == last_step


def test_a_run_with_patience_left_trains_to_the_end_and_publishes_the_best(tiny_run):
    run = tiny_run(**OVERFITS | {"max_steps": 12, "early_stopping_patience": 100})
    run.go()
    losses = {step: loss for step, loss in run.values("validation/loss").items() if step}
    best = min(losses, key=losses.__getitem__)
    assert max(losses) == 12
    assert weights(run, "last") == weights(run, f"best-{best:06d}")
    assert not [event for event in run.of(WarningData) if event.code == "stopped_early"]


def test_without_patience_the_last_weights_are_published(tiny_run):
    run = tiny_run(**OVERFITS | {"max_steps": 30, "early_stopping_patience": None})
    run.go()
    last = next(event for event in run.of(CheckpointData) if event.kind == "last")
    assert last.step == 30
    assert weights(run, "last") == hash_file(
        run.rundir.resume / "step-000030" / "model.safetensors"
    )


@pytest.mark.long
def test_two_devices_stop_at_the_same_step(tiny_run):
    options = OVERFITS | {"max_steps": 40, "early_stopping_patience": 1}
    one, two = tiny_run(name="one", **options), tiny_run(name="two", num_devices=2, **options)
    one.go()
    two.go()
    assert max(one.values("train/loss")) == max(two.values("train/loss")) < 40


def test_losses_that_are_not_finite_and_equal_ones_are_no_gain():
    training = JobSpec.model_validate({"training": {"early_stopping_patience": 2}}).training
    plan = make_plan(training, num_tokens=10**6)
    state = LoopState()
    seen = []
    for step, loss in enumerate([5.0, 4.0, None, 3.0, 3.0, 3.5]):
        state.step, state.validation_loss = step, loss
        seen.append((note_validation(state), is_finished(state, plan, training)))
    gains, finished = zip(*seen, strict=True)
    assert gains == (False, True, False, True, False, False)
    assert finished == (False, False, False, False, False, True)
    assert (state.best_step, state.best_validation_loss) == (3, 3.0)


def test_patience_without_validation_is_refused():
    body = {"data": {"validation": None}, "training": {"early_stopping_patience": 3}}
    with pytest.raises(ValueError, match=r"data\.validation is null: early stopping needs"):
        JobSpec.model_validate(body)
