"""Fine-tunes a checkpoint on one task, as the official pipeline does (`finetune/trainer.py`).

AdamW trains all parameters in float32 on the cross-entropy, with linear warm-up and cosine decay.
A validation follows every epoch, and the predictions of the best epoch are the result. The official
code instead keeps the weights of that epoch and predicts the examples again at the end. The
predictions are the same.
"""

import math
import time
from collections.abc import Callable

import torch
from torch.nn.functional import cross_entropy

from core.errors import NonFiniteLoss, Stopped
from core.evaluation.finetune import resume
from core.evaluation.finetune.classifier import Classifier
from core.evaluation.finetune.data import Encoded, dropout_seed, epoch_order, validation_batches
from core.evaluation.finetune.metrics import measures
from core.evaluation.finetune.plan import TaskPlan
from core.evaluation.finetune.resume import TaskState
from core.spec.finetune import FinetuneSpec
from core.storage.rundir import RunDir

SAVE_SECONDS = 30.0
"""Computing time in seconds between two resume points. Resume points are not saved more
often, because each is three times as large as the weights."""
BETAS, EPS = (0.9, 0.999), 1e-8
"""Parameters of AdamW, from the official `run.py`."""


class TaskTrainer:
    """Trains and validates a classifier on one task; `state` contains the progress."""

    def __init__(
        self,
        *,
        spec: FinetuneSpec,
        plan: TaskPlan,
        model: Classifier,
        train: Encoded,
        valid: Encoded,
        fresh: TaskState,
        rundir: RunDir,
        warn: Callable[[str, str], None],
    ) -> None:
        self._spec, self._plan, self._rundir = spec, plan, rundir
        self._model, self._train, self._valid = model, train, valid
        self._optimizer = torch.optim.AdamW(
            model.parameters(),
            lr=spec.learning_rate,
            betas=BETAS,
            eps=EPS,
            weight_decay=spec.weight_decay,
        )
        self._device = next(model.parameters()).device
        self.state = resume.load(rundir, fresh, model, self._optimizer, warn)
        self._saved = self.state.model_copy()

    def run(
        self,
        *,
        should_stop: Callable[[], bool],
        on_step: Callable[[TaskState], None],
        on_validation: Callable[[TaskState, dict[str, float]], None],
    ) -> TaskState:
        """Trains to the last step; returns the state with the predictions of the best epoch.

        Raises:
            Stopped: After a stop request, with a resume point of the last finished step or
                validation.
            NonFiniteLoss: If the loss is not finite; the step changes nothing.
        """
        while self.state.validations < self._plan.settings.epochs:
            if should_stop():
                self._save()
                raise Stopped
            began, before = time.monotonic(), self.state.seconds
            if self.state.step == (self.state.validations + 1) * self._plan.steps_per_epoch:
                found = self._validate(should_stop)
                self.state.seconds = before + time.monotonic() - began
                on_validation(self.state, found)
            else:
                self._step()
                self.state.seconds = before + time.monotonic() - began
                on_step(self.state)
            if self.state.seconds - self._saved.seconds >= SAVE_SECONDS:
                self._save()
        return self.state

    def _save(self) -> None:
        if self.state.progress > self._saved.progress:
            resume.save(self._rundir, self.state, self._model, self._optimizer)
            self._saved = self.state.model_copy()

    def _step(self) -> None:
        step = self.state.step + 1
        epoch, place = divmod(self.state.step, self._plan.steps_per_epoch)
        size = self._plan.settings.batch_size
        order = epoch_order(len(self._train.ids), seed=self._spec.seed, epoch=epoch)
        ids, lengths, labels = self._train.batch(
            order[place * size : (place + 1) * size], self._device
        )
        self._model.train()
        torch.manual_seed(dropout_seed(self._spec.seed, step))
        for group in self._optimizer.param_groups:
            group["lr"] = self._plan.learning_rate(step, self._spec)
        self._optimizer.zero_grad()
        loss = cross_entropy(self._model(ids, lengths), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        value = loss.item()  # waits for the device
        if not math.isfinite(value):
            raise NonFiniteLoss(
                f"the loss of step {step} of {self.state.task} is {value}",
                hint="Lower finetune.learning_rate or raise finetune.warmup_ratio.",
            )
        self._optimizer.step()
        self.state.step, self.state.loss = step, value

    @torch.no_grad()
    def _validate(self, should_stop: Callable[[], bool]) -> dict[str, float]:
        """Predicts all validation examples and keeps the predictions of the best epoch."""
        self._model.eval()
        predictions = [0] * len(self._valid.ids)
        for chosen in validation_batches(self._valid):
            if should_stop():
                self._save()
                raise Stopped
            ids, lengths, _ = self._valid.batch(chosen, self._device)
            best = self._model(ids, lengths).argmax(dim=-1).tolist()
            for index, label in zip(chosen, best, strict=True):
                predictions[index] = label
        found = measures(self._valid.labels, predictions)
        score = found[self._plan.settings.metric]
        self.state.validations += 1
        if self.state.best_score is None or score > self.state.best_score:
            self.state.best_epoch = self.state.validations
            self.state.best_score, self.state.predictions = score, predictions
        return found
