"""The stage `evaluate`: the checkpoints of a trained run, judged on the tasks of its spec.

What is told is told once: the journal knows it. What is half done lies in a file of the run folder,
so that a run which is interrupted goes on within a task.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from transformers import PreTrainedModel

from core.checkpoints.generate import WarmModels
from core.errors import CheckpointMissing, EvaluationInvalid, Stopped
from core.evaluation.minimal_pairs import SliceState, evaluate_slice, evaluation_result
from core.evaluation.tasks import FOLDER
from core.events.journal import events_of_types
from core.events.results import EvaluationResult
from core.events.types import CheckpointData, CheckpointKind, EvaluationData, EventData, WarningData
from core.spec.job import JobSpec
from core.storage.rundir import RunDir, publish_file
from core.training.execution.device import choose_device

SLICE_SECONDS = 5.0
"""As much is done again after a kill, and so long a stop may have to wait."""


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
    device = choose_device(spec.training).torch_device
    for number, judgement in enumerate(due):

        def advance(share: float, number: int = number) -> None:
            progress((number + share) / len(due))

        try:
            model, tokenizer = models.load(rundir.checkpoint(judgement.checkpoint.name))
            result = _judge(
                model.to(device),
                tokenizer,
                data_dir / FOLDER / judgement.task,
                _state_file(rundir, judgement),
                should_stop,
                advance,
            )
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
        _state_file(rundir, judgement).unlink(missing_ok=True)
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
    model: PreTrainedModel,
    tokenizer: Any,  # Any: transformers' tokenizers share no public type in 4 and 5
    task: Path,
    state_file: Path,
    should_stop: Callable[[], bool],
    progress: Callable[[float], None],
) -> EvaluationResult:
    state = _read_state(state_file)
    share = 0.0
    while share < 1.0:
        if should_stop():
            raise Stopped
        share = evaluate_slice(model, tokenizer, task, state, seconds=SLICE_SECONDS)
        state_file.parent.mkdir(exist_ok=True)
        publish_file(state_file, state.model_dump_json().encode())
        progress(share)
    return evaluation_result(state)


def _state_file(rundir: RunDir, judgement: Judgement) -> Path:
    return rundir.evaluations / f"{judgement.checkpoint.name}.{judgement.task}.json"


def _read_state(path: Path) -> SliceState:
    try:
        return SliceState.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):  # none yet, or of another version: from the start
        return SliceState()
