"""The stage `evaluate`: the checkpoints of a trained run, judged on the tasks of its spec.

What is told is told once: the journal knows it. What is half done lies in a file of the run folder,
so that a run which is interrupted goes on within a task.
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
"""As much is done again after a kill, and so long a stop may have to wait."""
PARTIAL = "partial.npz"
"""The sums of an evaluation that is not finished."""


@dataclass(frozen=True)
class Judgement:
    """A checkpoint to be judged on a task."""

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
    """Judges what has not been judged yet, on the device of the run; the scores of the last one.

    A task that cannot be read is a warning: the model is trained all the same.

    Raises:
        Stopped: If a stop was asked for.
    """
    due = _due(spec, rundir)
    models = WarmModels()  # the tasks of a checkpoint follow one another
    tasks = PreparedTasks()  # all checkpoints of a run have the same tokenizer
    device = choose_device(spec.training).torch_device
    for number, judgement in enumerate(due):

        def advance(share: float, number: int = number) -> None:
            progress((number + share) / len(due))

        try:
            model, tokenizer = models.load(rundir.checkpoint(judgement.checkpoint.name))
            model = model.to(device)
            prepared = prepare(tasks, model, tokenizer, data_dir / FOLDER / judgement.task)
            where = rundir.evaluation(judgement.checkpoint.name, judgement.task)
            evaluation = Evaluation(prepared, where / PARTIAL)
            predictions = rundir.predictions(judgement.checkpoint.name, judgement.task)
            result = _judge(evaluation, model, predictions, should_stop, advance)
        except (CheckpointMissing, EvaluationInvalid) as error:
            emit(WarningData(code="not_evaluated", message=f"{judgement.task}: {error.message}"))
            continue
        emit(
            EvaluationData(
                step=judgement.checkpoint.step,
                checkpoint=judgement.checkpoint.name,
                task=judgement.task,
                scores=result.scores(),
                result=result,
            )
        )
        evaluation.forget()
    return {
        told.task: told.scores["score"]
        for told in events_of_types(rundir.journal, "evaluation")
        if isinstance(told, EvaluationData) and told.checkpoint == "last"
    }


def _due(spec: JobSpec, rundir: RunDir) -> list[Judgement]:
    """What the spec asks for and the journal does not know yet, by checkpoint, then by task."""
    kinds: tuple[CheckpointKind, ...] = ("last", "ema")
    if spec.evaluation.checkpoints != "last":
        kinds = ("milestone", *kinds)
    checkpoints: dict[str, CheckpointData] = {}
    told: set[tuple[str | None, str]] = set()
    for event in events_of_types(rundir.journal, "checkpoint", "evaluation"):
        if isinstance(event, CheckpointData) and event.kind in kinds:
            checkpoints[event.name] = event
        if isinstance(event, EvaluationData):
            told.add((event.checkpoint, event.task))
    return [
        Judgement(checkpoint, task)
        for checkpoint in sorted(checkpoints.values(), key=lambda each: each.step)
        for task in spec.evaluation.tasks
        if (checkpoint.name, task) not in told
    ]


def _judge(
    evaluation: Evaluation,
    model: PreTrainedModel,
    predictions: Path,
    should_stop: Callable[[], bool],
    progress: Callable[[float], None],
) -> EvaluationResult:
    """Runs an evaluation to its end and publishes its predictions."""
    while evaluation.share < 1.0:
        if should_stop():
            raise Stopped
        progress(evaluation.advance(model, seconds=SLICE_SECONDS))
    summary = evaluation.finish()
    publish_predictions(predictions, summary.predictions)
    return summary.result
