"""Training: it learns, it stops, and it resumes to the last bit."""

import errno
import math

import pytest
import torch

from core.archs import ARCHITECTURES
from core.errors import DiskFull, NonFiniteLoss, OutOfMemory, PrecisionUnsupported, Stopped
from core.events.types import CheckpointData, MetricsData, ProgressData, SampleData, WarningData
from core.process.stop import StopSignal
from core.storage.file_hashes import hash_file
from core.training.loop import Trainer


def weights(run) -> str:
    return hash_file(run.rundir.checkpoint("last") / "model.safetensors")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_first_loss_is_that_of_a_guess_and_it_falls(tiny_run, architecture):
    run = tiny_run(architecture)
    run.go()
    losses = run.values("train/loss")
    assert list(losses) == list(range(1, 13))
    assert abs(losses[1] - math.log(run.train.vocab_size)) < 0.1
    validation = run.values("validation/loss")
    assert list(validation) == [0, 4, 8, 12]
    assert list(validation.values()) == sorted(validation.values(), reverse=True)
    assert run.values("validation/perplexity")[12] == pytest.approx(math.exp(validation[12]))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("step", [1, 3, 4, 7, 11])
def test_a_stopped_run_ends_as_an_undisturbed_one(tiny_run, architecture, step):
    alone, stopped = tiny_run(architecture, name="alone"), tiny_run(architecture, name="stopped")
    alone.go()
    with pytest.raises(Stopped):
        stopped.go(stop_at=step)
    stopped.go()
    assert stopped.values("train/loss") == alone.values("train/loss")
    assert stopped.values("validation/loss") == alone.values("validation/loss")
    assert weights(stopped) == weights(alone)
    assert stopped.names() == alone.names()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("step", [2, 6, 10])
def test_a_killed_run_ends_as_an_undisturbed_one(tiny_run, architecture, step):
    alone, killed = tiny_run(architecture, name="alone"), tiny_run(architecture, name="killed")
    alone.go()
    with pytest.raises(KeyboardInterrupt):
        killed.go(fail_at=step)
    killed.go()
    assert killed.values("train/loss") == alone.values("train/loss")
    assert killed.values("train/grad_norm") == alone.values("train/grad_norm")
    assert weights(killed) == weights(alone)


def test_dropout_draws_continue_where_they_stopped(corpus, tmp_path):
    from tests.core.training.conftest import TinyRun

    runs = [TinyRun(tmp_path / name, corpus, "olmo2") for name in ("alone", "stopped")]
    for run in runs:
        model = run.spec.model.model_copy(update={"attention_dropout": 0.3})
        run.spec = run.spec.model_copy(update={"model": model})
    alone, stopped = runs
    alone.go()
    with pytest.raises(Stopped):
        stopped.go(stop_at=5)
    stopped.go()
    assert weights(stopped) == weights(alone)


def test_a_continued_run_first_reports_the_step_from_which_it_continues(tiny_run):
    run = tiny_run()
    with pytest.raises(Stopped):
        run.go(stop_at=5)
    before = len(run.of(ProgressData))
    run.go()
    reports = [event for event in run.of(ProgressData)[before:] if event.stage == "train"]
    first = reports[0]
    assert (first.step, first.stage_progress) == (5, 5 / first.max_steps)
    assert [event.progress for event in reports] == sorted(event.progress for event in reports)


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "manifest.json"])
@pytest.mark.parametrize("damage", ["truncated", "changed", "gone"])
def test_a_damaged_newest_resume_point_is_skipped_with_a_warning(tiny_run, name, damage):
    alone, run = tiny_run(name="alone"), tiny_run(name="damaged")
    alone.go()
    with pytest.raises(KeyboardInterrupt):
        run.go(fail_at=10)
    file = run.rundir.resume / "step-000008" / name
    content = file.read_bytes()
    file.unlink()
    if damage == "truncated":
        file.write_bytes(content[: len(content) // 2])
    elif damage == "changed":
        middle = len(content) // 2
        file.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    run.go()
    warned = [event for event in run.of(WarningData) if event.code == "checkpoint_damaged"]
    assert "step-000008" in warned[0].message
    assert weights(run) == weights(alone)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_run_with_document_masks_counts_the_same_and_resumes_to_the_last_bit(
    tiny_run, architecture
):
    packed = {"packing": "documents", "micro_batch_size": 2, "gradient_checkpointing": True}
    stream = tiny_run(architecture, name="stream")
    alone = tiny_run(architecture, name="alone", **packed)
    stopped = tiny_run(architecture, name="stopped", **packed)
    stream.go()
    alone.go()
    with pytest.raises(Stopped):
        stopped.go(stop_at=5)
    stopped.go()
    assert weights(stopped) == weights(alone)
    for step, loss in stream.values("train/loss").items():
        assert alone.values("train/loss")[step] != loss
    counts = [
        [(event.step, event.words_seen, event.tokens_seen) for event in run.of(MetricsData)]
        for run in (stream, alone)
    ]
    assert counts[0] == counts[1]


def test_accumulation_does_not_change_the_run(tiny_run):
    whole, components = tiny_run(name="whole"), tiny_run(name="parts", micro_batch_size=1)
    whole.go()
    components.go()
    for step, loss in whole.values("train/loss").items():
        assert components.values("train/loss")[step] == pytest.approx(loss, rel=1e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_gradient_checkpointing_does_not_change_the_run(tiny_run, architecture):
    options = {"router_aux_loss_coefficient": 0.1}  # has no effect without experts
    plain = tiny_run(architecture, name="plain", **options)
    saving = tiny_run(architecture, name="saving", gradient_checkpointing=True, **options)
    plain.go()
    saving.go()
    for step, loss in plain.values("train/loss").items():
        assert saving.values("train/loss")[step] == pytest.approx(loss, rel=1e-5)


def test_mixed_precision_learns_on_a_cpu_too(tiny_run):
    run = tiny_run(precision="bf16")
    run.go()
    losses = run.values("train/loss")
    assert losses[12] < losses[1] - 0.3


def test_fp16_is_refused_on_a_cpu(tiny_run):
    with pytest.raises(PrecisionUnsupported, match="fp16"):
        tiny_run(precision="fp16", device="cpu").go()


def test_a_loss_that_is_not_finite_stops_before_the_weights_change(tiny_run):
    run = tiny_run(learning_rate=1.0, max_grad_norm=None)
    trainer = Trainer(
        run.spec,
        _plan(run),
        run.rundir,
        run.train,
        run.validation,
        run.tokenizer,
        run.events.append,
        lambda: None,
        run.stop,
    )
    batch = trainer.batches.batch(1)
    trainer.stepper.take(batch, learning_rate=0.1)
    before = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    loss_before = trainer.stepper.found_inf
    first = next(trainer.model.parameters())
    hook = first.register_hook(lambda gradient: gradient * float("nan"))
    trainer.stepper.take(batch, learning_rate=0.1)
    hook.remove()
    trainer.stepper.take(batch, learning_rate=0.1)
    assert (loss_before, trainer.stepper.found_inf) == (False, True)
    for name, tensor in trainer.model.state_dict().items():
        assert tensor.equal(before[name]), name


def test_a_run_that_diverges_fails_by_name_and_keeps_its_good_weights(tiny_run, monkeypatch):
    run = tiny_run()
    diverging = _InfiniteGradient(run, at_step=7)
    with pytest.raises(NonFiniteLoss, match="step 7"):
        diverging.go()
    assert "error-000006" in run.names()
    saved = [event for event in run.of(CheckpointData) if event.kind == "error"]
    assert saved[0].step == 6


class _InfiniteGradient:
    """A run in which the gradient of the output layer is infinite at one step."""

    def __init__(self, run, *, at_step: int) -> None:
        self.run, self.at_step = run, at_step

    def go(self) -> None:
        from core.training.step import Stepper

        take = Stepper.take

        def poisoned(stepper, batch, **rates):
            self.steps = getattr(self, "steps", 0) + 1
            if self.steps == self.at_step:
                head = stepper._model.lm_head
                hook = head.weight.register_hook(lambda gradient: gradient / 0.0)
                try:
                    return take(stepper, batch, **rates)
                finally:
                    hook.remove()
            return take(stepper, batch, **rates)

        Stepper.take = poisoned
        try:
            self.run.go()
        finally:
            Stepper.take = take


def _plan(run):
    from core.spec.plan import make_plan

    return make_plan(run.spec.training, num_tokens=run.train.num_tokens)


def test_samples_and_all_metrics_are_reported(tiny_run):
    run = tiny_run()
    run.go()
    samples = run.of(SampleData)
    assert [sample.step for sample in samples] == [4, 8, 12]
    assert all(sample.text.startswith("the dog") for sample in samples)
    from core.events.metrics import BY_NAME

    names = {name for event in run.events for name in getattr(event, "values", {})}
    assert names <= set(BY_NAME)
    assert {
        "train/loss",
        "train/learning_rate",
        "train/grad_norm",
        "validation/loss",
        "validation/perplexity",
        "validation/bits_per_byte",
        "throughput/tokens_per_second",
        "throughput/words_per_second",
        "throughput/mfu",
        "memory/host_rss_bytes",
    } <= names


def test_words_seen_at_the_end_of_an_epoch_are_the_words_of_the_text(tiny_run):
    run = tiny_run(max_steps=None, epochs=2.0)
    run.go()
    last = [event for event in run.events if "train/loss" in getattr(event, "values", {})][-1]
    assert last.words_seen == 2 * run.train.num_words
    assert last.epoch == 2.0


def test_a_step_whose_events_were_not_written_is_repeated(tiny_run):
    """This happens on a disk that is full for a moment: an event cannot be written, but the
    checkpoint that follows fits.
    """
    undisturbed = tiny_run(name="undisturbed")
    undisturbed.go()
    run = tiny_run(name="full")

    def refusing(event) -> None:
        if "train/loss" in getattr(event, "values", {}) and event.step == 7:
            raise OSError(errno.ENOSPC, "No space left on device")
        run.events.append(event)

    with pytest.raises(DiskFull):
        run.go(emit=refusing)
    run.go()
    assert run.values("train/loss") == undisturbed.values("train/loss")


def test_a_run_out_of_memory_saves_a_checkpoint_and_continues_from_it(tiny_run):
    undisturbed = tiny_run(name="undisturbed")
    undisturbed.go()
    run = tiny_run(name="full")

    class NoMemory(StopSignal):
        """Called between two steps: raises the error of a step that needs too much memory."""

        def __call__(self) -> bool:
            if run.values("train/loss") and max(run.values("train/loss")) == 7:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return False

    with pytest.raises(OutOfMemory) as raised:
        run.go(stop=NoMemory())
    assert "micro_batch_size" in raised.value.hint
    assert "error-000007" in run.names()
    run.go()
    assert run.values("train/loss") == undisturbed.values("train/loss")


def test_a_checkpoint_shows_a_validation_loss_only_if_it_was_measured_at_its_step(tiny_run):
    run = tiny_run(max_steps=9, eval_steps=4, save_steps=2)
    with pytest.raises(Stopped):
        run.go(stop_at=6)
    run.go()  # resumes at step 6, where the newest validation loss is that of step 4
    measured = run.values("validation/loss")
    saved = [each for each in run.of(CheckpointData) if each.action == "saved"]
    assert {2, 4, 6, 8, 9} <= {each.step for each in saved}
    for each in saved:
        expected = measured.get(each.step)
        assert each.validation_loss == (None if expected is None else pytest.approx(expected))
    card = (run.rundir.checkpoint("last") / "README.md").read_text()
    assert "| validation loss" in card
