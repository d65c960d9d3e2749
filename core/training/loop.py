"""The training loop.

The loop starts at the newest complete resume point, or at step 0. The result of each step depends
only on the spec, the tokens and the resume point. On a CPU in fp32, an interrupted run therefore
ends with the same weights as an uninterrupted one.
"""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from math import isfinite
from pathlib import Path

import torch

from core.checkpoints.initial_weights import initial_folder
from core.checkpoints.model import quiet_transformers
from core.checkpoints.writer import Checkpoints
from core.dataset.batches import Batches
from core.dataset.tokens import TokenFile
from core.errors import NonFiniteLoss, OutOfMemory, Stopped
from core.events.types import CheckpointKind, EventData, WarningData
from core.process.stop import StopSignal
from core.spec.job import JobSpec
from core.spec.plan import Plan, milestones
from core.stages.reporter import StageReporter
from core.storage.model_files import WEIGHTS_FILE
from core.storage.rundir import RunDir
from core.training.components import build_components
from core.training.distributed.ranks import Ranks
from core.training.execution.device import (
    choose_device,
    measured_peak_flops,
    prepare,
)
from core.training.execution.failures import named_failure
from core.training.execution.probe import Probe
from core.training.model.attention.select import eager_mode
from core.training.monitoring import early_stopping
from core.training.monitoring.measurements import Measurements
from core.training.monitoring.time_left import TimeLeft
from core.training.optimizers.schedule import learning_rate
from core.training.saving.publishing import Publisher
from core.training.saving.resume import (
    LoopState,
    TrainedOn,
    newest_resume_point,
    require_same_inputs,
    save_resume_point,
)
from core.training.saving.samples import sample_texts
from core.training.validate import Validation, validate

log = logging.getLogger(__name__)


def train_model(
    *,
    spec: JobSpec,
    plan: Plan,
    rundir: RunDir,
    train: TokenFile,
    validation: TokenFile | None,
    tokenizer: Path,
    emit: Callable[[EventData], None],
    sync_journal: Callable[[], None],
    stop: StopSignal,
    reporter: StageReporter,
    compile_cache: Path | None = None,
    evaluated_tokens: int = 0,
) -> None:
    """Trains to the last step of the plan and publishes the checkpoint `last`.

    Reports the stage `train`. If layers are compiled or micro-batch sizes are probed, reports the
    stage `compile` first. The reported remaining time includes the evaluation of about
    `evaluated_tokens` tokens after training.

    Raises:
        Stopped: After a stop request. If possible, a checkpoint has been saved.
        RunError: If training cannot continue. If possible, a checkpoint has been saved.
    """
    with Ranks(spec.training.seed, emit) as ranks:
        ranks.start(
            spec,
            plan,
            train=train,
            validation=validation,
            compile_cache=compile_cache,
            initial=initial_folder(spec, rundir),
        )
        trainer = Trainer(
            spec, plan, rundir, train, validation, tokenizer, emit, sync_journal, stop, ranks
        )
        trainer.expect_evaluation(evaluated_tokens)
        _train(trainer, reporter, compile_cache)


def _train(trainer: "Trainer", reporter: StageReporter, compile_cache: Path | None) -> None:
    try:
        trainer.resume()
        if trainer.probe.is_needed:
            with reporter.stage("compile") as stage:
                trainer.probe.run(compile_cache)
                stage.counts = trainer.probe.execution_plan.counts()
        step, max_steps = trainer.state.step, trainer.plan.max_steps
        with reporter.stage("train", step=step, max_steps=max_steps) as stage:
            stage.counts = {"steps": max_steps, "windows": trainer.plan.windows}
            stage.counts |= trainer.probe.execution_plan.counts()
            trainer.run(reporter)
            stage.counts["steps"] = trainer.state.step
    except Stopped:
        trainer.save_current("interrupted")
        raise
    except Exception as error:
        cause = trainer.ranks.cause_of(error)
        failure = named_failure(cause, trainer.rundir.root)
        if isinstance(failure, OutOfMemory):
            trainer.free_gradients()
        trainer.save_current("error")
        if failure is not None:
            raise failure from error
        if cause is not error:
            raise cause from error
        raise


def _warner(emit: Callable[[EventData], None]) -> Callable[[str, str], None]:
    """A function that logs and emits a warning, given its code and message.

    The function has no reference to the Trainer, so that callers do not keep the Trainer alive.
    """

    def warn(code: str, message: str) -> None:
        log.warning("%s: %s", code, message)
        emit(WarningData(code=code, message=message[:2000]))

    return warn


class Trainer:
    """The components of one training run, and the loop over its steps."""

    def __init__(
        self,
        spec: JobSpec,
        plan: Plan,
        rundir: RunDir,
        train: TokenFile,
        validation: TokenFile | None,
        tokenizer: Path,
        emit: Callable[[EventData], None],
        sync_journal: Callable[[], None],
        stop: StopSignal,
        ranks: Ranks | None = None,
    ) -> None:
        from transformers import AutoTokenizer

        quiet_transformers()
        self.warn = _warner(emit)
        self.spec, self.training, self.plan = spec, spec.training, plan
        self.rundir, self.train, self.validation = rundir, train, validation
        self.emit, self.sync_journal, self.stop = emit, sync_journal, stop
        self.ranks = ranks or Ranks(spec.training.seed, emit)
        self.device = choose_device(spec.training)
        prepare(self.device, spec.training)
        peak_flops = measured_peak_flops(self.device)
        self.tokenizer = AutoTokenizer.from_pretrained(tokenizer, local_files_only=True)
        self.components = build_components(
            spec,
            plan,
            self.device,
            vocab_size=train.vocab_size,
            rank=0,
            warn=self.warn,
            initial=initial_folder(spec, rundir),
        )
        self.batches, self.model = Batches.of(train, self.training), self.components.model
        self.measurements = Measurements(
            spec,
            plan,
            self.batches,
            self.device,
            emit,
            vocab_size=train.vocab_size,
            peak_flops=peak_flops * spec.training.num_devices,
        )
        self.optimizer, self.stepper = self.components.optimizer, self.components.stepper
        self.probe = Probe(
            spec, self.components, self.ranks, self.device, train.vocab_size, self.warn
        )
        checkpoints = Checkpoints(spec=spec, rundir=rundir, tokenizer=tokenizer, emit=emit)
        self.publisher = Publisher(checkpoints, self.model, self.batches)
        self.milestones = milestones(spec.track)
        self.trained_on = TrainedOn.of(tokenizer, train, validation)
        self.state = LoopState()
        self.time_left = TimeLeft(plan)
        self.is_step_logged = True
        """False if the metrics of the last step must be logged but are not yet in the journal."""
        self.saved_step = -1
        """Step of the newest resume point; -1 if there is none."""

    def expect_evaluation(self, num_tokens: int) -> None:
        """Includes the stages after training in the remaining time.

        `num_tokens` is the approximate number of tokens that these stages evaluate.
        """
        validated = 0
        if self.validation is not None:
            validated = min(self.validation.num_tokens, self.training.eval_tokens or num_tokens)
        self.time_left = TimeLeft(
            self.plan,
            later_validations=num_tokens / validated if validated else 0.0,
            later_saves=1.0,  # the export reads as much as a save writes
        )

    def run(self, reporter: StageReporter) -> None:
        """Runs the remaining steps and saves the last checkpoint."""
        self.stop.hold()
        last = self.plan.max_steps
        self._finish_step()
        self.measurements.watch(self.state.health)
        logged_at, logged_step = time.monotonic(), self.state.step
        while not self.is_finished:
            if self.stop():
                raise Stopped
            step, began = self.state.step + 1, time.monotonic()
            self.ranks.take(step)
            result = self.stepper.take(
                self.batches.batch(step),
                learning_rate=learning_rate(step, self.plan, self.training),
            )
            is_logged = step % self.plan.logging_steps == 0 or step in (1, last)
            if (is_logged or not self.device.is_cuda) and self.stepper.found_inf:
                raise NonFiniteLoss(
                    f"at step {step} the loss is {result.loss.item()} and the gradient norm "
                    f"{result.grad_norm.item()}; the weights are those of the last finite step"
                )
            self.components.after_step(step)
            self.is_step_logged = not is_logged
            self.state.step = step
            if is_logged:
                self.measurements.log_step(
                    step,
                    result,
                    learning_rate=self.optimizer.param_groups[0]["lr"],
                    loss_scale=self.stepper.loss_scale,
                    seconds=time.monotonic() - logged_at,
                    since=logged_step,
                )
                logged_at, logged_step = time.monotonic(), step
                self.is_step_logged = True
            self.time_left.add_step(time.monotonic() - began)
            reporter.progress(step / last, self.time_left.seconds(step), step, last)
            self._empty_cache()
            paused = time.monotonic()
            self._finish_step()
            logged_at += time.monotonic() - paused

    def _finish_step(self) -> None:
        """Publishes milestones, validates and saves a checkpoint, if they are due at this step.

        A resumed run does not repeat a validation that was made before the interruption.
        """
        step, last = self.state.step, self.plan.max_steps
        if step:
            self.publisher.publish_milestones(self.state, self.milestones)
        is_due = step % self.plan.eval_steps == 0 or step == last
        if is_due and self.state.validated_step != step:
            with self.time_left.validation():
                self._validate()
        if step and (step % self.plan.save_steps == 0 or self.is_finished):
            with self.time_left.save():
                self._save("last" if self.is_finished else "rolling")

    @property
    def is_finished(self) -> bool:
        """Whether training has reached the last step, or early stopping has ended it."""
        return early_stopping.is_finished(self.state, self.plan, self.training)

    def save_current(self, kind: CheckpointKind) -> None:
        """Saves a checkpoint of the current step; if that fails, logs the failure.

        Skips step 0 and a step that is already saved. Also skips a step if its metrics must be
        logged but are not logged yet: a run that resumes after this step would never log them.
        """
        if self.state.step == 0 or self.state.step == self.saved_step or not self.is_step_logged:
            return
        try:
            self._save(kind)
        except Exception as error:  # must not replace the error that ends the run
            log.exception("the %s checkpoint could not be saved", kind)
            with suppress(OSError):  # the disk may be full
                self.emit(WarningData(code="checkpoint_not_saved", message=str(error)[:2000]))

    def free_gradients(self) -> None:
        """Frees the gradients, so that a checkpoint can be saved after an out-of-memory error."""
        self.optimizer.zero_grad(set_to_none=True)
        if self.device.is_cuda:
            torch.cuda.empty_cache()

    def resume(self) -> None:
        """Restores the newest complete resume point, if there is one."""
        point = newest_resume_point(self.rundir, self.warn)
        if point is not None:
            require_same_inputs(point, self.trained_on, vocab_size=self.train.vocab_size)
        self.probe.resume(point)
        if point is not None:
            self.state, self.saved_step = point.state, point.state.step
            log.info("resumed at step %d", point.state.step)

    def _validate(self) -> None:
        if self.validation is not None:
            result = self._validation(self.validation)
            values = result.metrics()
            if self.components.average is not None:
                average = self._validation(self.validation, averaged=True)
                self.state.ema_validation_loss = average.loss if isfinite(average.loss) else None
                values |= {
                    "validation/ema_loss": average.loss,
                    "validation/ema_bits_per_byte": average.bits_per_byte,
                }
            self.measurements.emit_metrics(self.state.step, values)
            log.info("step %d validation loss %.4f", self.state.step, result.loss)
            self.state.validation_loss = result.loss if isfinite(result.loss) else None
            self.state.validation_loss_step = self.state.step
            if early_stopping.note_validation(self.state):
                self.publisher.publish("best", self.state)
            if self.is_finished and self.state.step < self.plan.max_steps:
                self.warn("stopped_early", early_stopping.message(self.state, self.plan))
        if self.state.step:
            for sample in sample_texts(
                self.model, self.tokenizer, self.training, step=self.state.step
            ):
                self.emit(sample)
        self.state.validated_step = self.state.step

    def _validation(self, tokens: TokenFile, *, averaged: bool = False) -> Validation:
        """Validates the weights or their average on all ranks."""
        self.ranks.validate(averaged=averaged)
        with eager_mode(self.model), self.components.averaged_weights(averaged):
            return validate(
                self.model,
                tokens,
                training=self.training,
                device=self.device,
                micro_batch_size=self.stepper.micro_batch_size,
                should_stop=self.stop,
                reducer=self.components.reducer,
            )

    def _save(self, kind: CheckpointKind) -> None:
        """Saves a resume point and a checkpoint; at the end, also the averaged weights (`ema`)."""
        folder = self.rundir.resume_point(self.state.step)
        if self.saved_step != self.state.step:
            self._save_resume_point()
        if kind == "last" and self.components.average is not None:
            with self.components.averaged_weights(True):
                self.publisher.publish("ema", self.state)
        if kind == "last":
            is_best = self.training.early_stopping_patience is not None
            self.publisher.publish_last(self.state, folder / WEIGHTS_FILE, is_best=is_best)
        else:
            self.publisher.publish(kind, self.state, folder / WEIGHTS_FILE)

    def _save_resume_point(self) -> None:
        self.sync_journal()  # a resumed run will not repeat the events up to here
        if self.stepper.scaler is not None:
            scaler = self.stepper.scaler.state_dict()
            self.state.loss_scale = scaler["scale"]
            self.state.loss_scale_growth = scaler["_growth_tracker"]
        self.probe.note(self.state)
        self.state.trained_on = self.trained_on
        save_resume_point(
            self.rundir,
            state=self.state,
            model=self.model,
            optimizer=self.optimizer,
            average=self.components.average,
        )
        self.saved_step = self.state.step

    def _empty_cache(self) -> None:
        every = self.training.empty_cache_steps
        if every and self.device.is_cuda and self.state.step % every == 0:
            torch.cuda.empty_cache()
