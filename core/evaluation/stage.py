"""The stage `evaluate`: evaluates the checkpoints of a trained run on the tasks of its spec.

Results are in the journal, so no evaluation is repeated. The log-probabilities that an unfinished
evaluation has summed so far are in a file in the run folder, so an interrupted run continues in the
middle of a task.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedModel

from core.checkpoints.generate import WarmModels
from core.errors import CheckpointMissing, EvaluationInvalid, Stopped
from core.evaluation.predictions import publish_predictions
from core.evaluation.prepared import PreparedTasks
from core.evaluation.slices import Evaluation, prepare
from core.evaluation.tasks import FOLDER
from core.events.journal import events_of_types
from core.events.results import EvaluationResult
from core.events.types import CheckpointData, CheckpointKind, EvaluationData, EventData, WarningData
from core.spec.job import JobSpec
from core.storage.rundir import RunDir
from core.training.execution.device import choose_device

SLICE_SECONDS = 5.0
"""Length of a time slice in seconds. A kill loses at most the work of one slice, and a stop request
waits at most for the end of one slice."""
PARTIAL = "partial.npz"
"""Name of the file with the log-probabilities that an unfinished evaluation has summed so far."""


@dataclass(frozen=True)
class PendingEvaluation:
    """An evaluation that is still to be done: a checkpoint and a task."""

    checkpoint: CheckpointData
    task: str


def evaluate_checkpoints(
    *,
    spec: JobSpec,
    rundir: RunDir,
    data_dir: Path,
    emit: Callable[[EventData], None],
    should_stop: Callable[[], bool],
    progress: Callable[[float], None],
) -> dict[str, float]:
    """Runs all pending evaluations on the run's device; returns the scores of checkpoint `last`.

    A task or checkpoint that cannot be read causes a warning and does not fail the run.

    Raises:
        Stopped: After a stop request.
    """
    due = _pending(spec, rundir)
    # Evaluations are ordered by checkpoint, so each checkpoint is loaded only once. All checkpoints
    # of a run have the same tokenizer, so each task is prepared only once.
    models = WarmModels()
    tasks = PreparedTasks()
    device = choose_device(spec.training).torch_device
    for number, pending in enumerate(due):

        def advance(share: float, number: int = number) -> None:
            progress((number + share) / len(due))

        try:
            model, tokenizer = models.load(rundir.checkpoint(pending.checkpoint.name))
            model = model.to(device)
            prepared = prepare(tasks, model, tokenizer, data_dir / FOLDER / pending.task)
            where = rundir.evaluation(pending.checkpoint.name, pending.task)
            evaluation = Evaluation(prepared, where / PARTIAL)
            predictions = rundir.predictions(pending.checkpoint.name, pending.task)
            result = _evaluate(evaluation, model, predictions, should_stop, advance)
        except (CheckpointMissing, EvaluationInvalid) as error:
            emit(WarningData(code="not_evaluated", message=f"{pending.task}: {error.message}"))
            continue
        emit(
            EvaluationData(
                step=pending.checkpoint.step,
                checkpoint=pending.checkpoint.name,
                task=pending.task,
                scores=result.scores(),
                result=result,
            )
        )
        evaluation.forget()
    return {
        event.task: event.scores["score"]
        for event in events_of_types(rundir.journal, "evaluation")
        if isinstance(event, EvaluationData) and event.checkpoint == "last"
    }


def _pending(spec: JobSpec, rundir: RunDir) -> list[PendingEvaluation]:
    """The spec's evaluations that are not in the journal, ordered by checkpoint, then by task."""
    kinds: tuple[CheckpointKind, ...] = ("last", "ema")
    if spec.evaluation.checkpoints != "last":
        kinds = ("milestone", *kinds)
    checkpoints: dict[str, CheckpointData] = {}
    evaluated: set[tuple[str | None, str]] = set()
    for event in events_of_types(rundir.journal, "checkpoint", "evaluation"):
        if isinstance(event, CheckpointData) and event.kind in kinds:
            checkpoints[event.name] = event
        if isinstance(event, EvaluationData):
            evaluated.add((event.checkpoint, event.task))
    return [
        PendingEvaluation(checkpoint, task)
        for checkpoint in sorted(checkpoints.values(), key=lambda each: each.step)
        for task in spec.evaluation.tasks
        if (checkpoint.name, task) not in evaluated
    ]


def _evaluate(
    evaluation: Evaluation,
    model: PreTrainedModel,
    predictions: Path,
    should_stop: Callable[[], bool],
    progress: Callable[[float], None],
) -> EvaluationResult:
    """Completes an evaluation and publishes its predictions."""
    while evaluation.share < 1.0:
        if should_stop():
            raise Stopped
        progress(evaluation.advance(model, seconds=SLICE_SECONDS))
    summary = evaluation.finish()
    publish_predictions(predictions, summary.predictions)
    return summary.result
