"""The stage `finetune`: fine-tunes a checkpoint on several tasks, one after the other.

Every task starts from the weights of the checkpoint. The result of a task is an `evaluation` event
in the journal, so a resumed run repeats no finished task. An interrupted task continues from its
last resume point.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from core.checkpoints.generate import load_checkpoint
from core.checkpoints.model import quiet_transformers
from core.errors import CheckpointMissing
from core.evaluation.classification import (
    KIND,
    TRAIN,
    VALID,
    ClassificationTask,
    choose_tasks,
    read_task,
    require_trainable,
)
from core.evaluation.finetune import resume
from core.evaluation.finetune.classifier import Classifier
from core.evaluation.finetune.data import encode, tokens_by_epoch
from core.evaluation.finetune.metrics import measures
from core.evaluation.finetune.plan import TaskPlan
from core.evaluation.finetune.resume import TaskState
from core.evaluation.finetune.train import TaskTrainer
from core.evaluation.predictions import publish_predictions
from core.evaluation.tasks import FOLDER
from core.events.journal import events_of_types
from core.events.results import EvaluationResult, ParadigmScore
from core.events.types import EvaluationData, MetricsData
from core.spec.finetune import FinetuneSpec
from core.stages.context import Run
from core.stages.reporter import StageReporter
from core.storage.cache import fingerprint
from core.storage.file_hashes import hash_file
from core.storage.links import link_folder
from core.storage.model_files import WEIGHTS_FILE
from core.storage.rundir import RunDir
from core.training.execution.device import choose_device, prepare

FINETUNE_VERSION = 2
"""Part of the hash of a resume point. Increase it if a change of the code gives other results."""
LOGGED_POINTS = 200
"""Approximate number of losses that are recorded per task."""


@dataclass(frozen=True)
class PlannedTask:
    """A task, its step counts, and the number of steps of all tasks before it."""

    task: ClassificationTask
    plan: TaskPlan
    steps_before: int


def finetune(run: Run, reporter: StageReporter) -> None:
    """Fine-tunes on all tasks of the spec that have no result in the journal.

    Raises:
        Stopped: After a stop request.
        RunError: If the checkpoint or a task cannot be read, or the loss is not finite.
    """
    spec = run.spec.finetune
    assert spec is not None  # validated with the spec
    quiet_transformers()
    with reporter.stage("finetune") as stage:
        source = _source(run.rundir, spec)
        if spec.pooling == "first":
            run.warn(
                "one_token_seen",
                "finetune.pooling is `first`, as in the official script without flags, so a causal "
                "model sees only the first token when it classifies; its accuracy stays near the "
                "share of the most frequent label",
            )
        planned = _plan(spec, run.data_dir / FOLDER / spec.folder)
        prepare(choose_device(run.spec.training), run.spec.training)
        run.stop.hold()
        finished = _finished(run.rundir)
        for each in planned:
            if each.task.name not in finished:
                _TaskRun(run, reporter, source, each, planned[-1]).finish()
        stage.counts = _finished(run.rundir)


def _source(rundir: RunDir, spec: FinetuneSpec) -> Path:
    """A folder of hard links to the checkpoint's files.

    The links stay valid if the original checkpoint is removed.
    """
    original = RunDir(rundir.root.parent / spec.job).checkpoint(spec.checkpoint)
    try:
        link_folder(original, rundir.source)
    except FileNotFoundError as error:
        raise CheckpointMissing(
            f"job {spec.job} has no checkpoint {spec.checkpoint} any more"
        ) from error
    return rundir.source


def _plan(spec: FinetuneSpec, folder: Path) -> list[PlannedTask]:
    tasks = [read_task(folder, name) for name in choose_tasks(folder, spec.tasks)]
    for task in tasks:
        require_trainable(spec, task)
    plans = [TaskPlan.of(spec, task.name, len(task.train.labels)) for task in tasks]
    before = accumulate((plan.max_steps for plan in plans), initial=0)
    return [PlannedTask(*each) for each in zip(tasks, plans, before, strict=False)]


def _finished(rundir: RunDir) -> dict[str, float]:
    """The scores of the finished tasks, from the journal."""
    return {
        event.task: event.scores["score"]
        for event in events_of_types(rundir.journal, "evaluation")
        if isinstance(event, EvaluationData)
    }


class _TaskRun:
    """One task of a run: trains, reports metrics, records the result."""

    def __init__(
        self,
        run: Run,
        reporter: StageReporter,
        source: Path,
        planned: PlannedTask,
        last: PlannedTask,
    ) -> None:
        assert run.spec.finetune is not None
        self._run, self._reporter, self._spec = run, reporter, run.spec.finetune
        self._task, self._plan, self._before = planned.task, planned.plan, planned.steps_before
        self._max_steps = last.steps_before + last.plan.max_steps
        model, tokenizer = load_checkpoint(source)
        length = self._spec.sequence_length
        train = encode(tokenizer, self._task.train, sequence_length=length)
        used = self._plan.steps_per_epoch * self._plan.settings.batch_size
        epochs = self._plan.settings.epochs
        self._tokens = [
            0,
            *accumulate(tokens_by_epoch(train, seed=self._spec.seed, epochs=epochs, used=used)),
        ]
        device = choose_device(run.spec.training).torch_device
        classifier = Classifier(
            model,
            num_labels=self._task.num_labels,
            dropout=self._spec.classifier_dropout,
            pooling=self._spec.pooling,
            seed=self._spec.seed,
        ).to(device)
        self._trainer = TaskTrainer(
            spec=self._spec,
            plan=self._plan,
            model=classifier,
            train=train,
            valid=encode(tokenizer, self._task.valid, sequence_length=length),
            fresh=TaskState(task=self._task.name, content=self._content(source)),
            rundir=run.rundir,
            warn=run.warn,
        )

    def finish(self) -> None:
        """Trains to the end, records the predictions and the result, and removes resume points."""
        state = self._trainer.run(
            should_stop=self._run.stop, on_step=self._on_step, on_validation=self._on_validation
        )
        result = self._result(state)
        name, checkpoint = self._task.name, self._spec.checkpoint
        entries = [
            {"id": f"{name}_{number}", "pred": label}
            for number, label in enumerate(state.predictions)
        ]
        for folder in self._result_folders():
            publish_predictions(
                folder.predictions(checkpoint, name), {name: {"predictions": entries}}
            )
        self._run.emit(
            EvaluationData(
                step=None, checkpoint=checkpoint, task=name, scores=result.scores(), result=result
            )
        )
        self._run.journal.sync()
        resume.forget(self._run.rundir, name)

    def _result_folders(self) -> Sequence[RunDir]:
        """The folders of this run and, if it exists, of the job that trained the checkpoint."""
        own = self._run.rundir
        other = RunDir(own.root.parent / self._spec.job)
        return [own, other] if other.spec.is_file() else [own]

    def _content(self, source: Path) -> str:
        folder = self._run.data_dir / FOLDER / self._spec.folder
        files = [folder / (self._task.name + suffix) for suffix in (TRAIN, VALID)]
        settings = self._spec.model_dump(mode="json", exclude={"job", "checkpoint", "tasks"})
        return fingerprint(
            "finetune",
            version=FINETUNE_VERSION,
            parameters=settings,
            inputs=[hash_file(path) for path in (*files, source / WEIGHTS_FILE)],
        )

    def _on_step(self, state: TaskState) -> None:
        share = (self._before + state.step) / self._max_steps
        step = self._before + state.step
        self._reporter.progress(share, step=step, max_steps=self._max_steps)
        every = max(1, self._plan.max_steps // LOGGED_POINTS)
        if state.step % every == 0 or state.step == self._plan.max_steps:
            self._measure(state, {"loss": state.loss})

    def _on_validation(self, state: TaskState, found: dict[str, float]) -> None:
        self._measure(state, {key: value for key, value in found.items() if key != "majority"})

    def _measure(self, state: TaskState, values: dict[str, float | None]) -> None:
        epoch, place = divmod(state.step, self._plan.steps_per_epoch)
        tokens = self._tokens[epoch]
        if place:
            share = place / self._plan.steps_per_epoch
            tokens += round(share * (self._tokens[epoch + 1] - tokens))
        self._run.emit(
            MetricsData(
                step=self._before + state.step,
                epoch=state.step / self._plan.steps_per_epoch,
                tokens_seen=tokens,
                words_seen=0,
                values={f"finetune/{key}/{self._task.name}": each for key, each in values.items()},
            )
        )

    def _result(self, state: TaskState) -> EvaluationResult:
        found = measures(self._task.valid.labels, state.predictions)
        count, score = len(self._task.valid.labels), found["accuracy"]
        return EvaluationResult(
            kind=KIND,
            metric="accuracy",
            chance=1 / self._task.num_labels,
            score=score,
            strict_score=score,
            pairs=count,
            seconds=state.seconds,
            paradigms=[
                ParadigmScore(
                    name=self._task.name,
                    phenomenon=None,
                    pairs=count,
                    score=score,
                    strict_score=score,
                )
            ],
            measures=found,
        )
