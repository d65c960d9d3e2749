"""Checks and completes the spec of a fine-tuning job, and keeps the checkpoint that it needs."""

import shutil
from dataclasses import dataclass

from sqlmodel import Session

from api.errors import Problem
from core.errors import CheckpointMissing, EvaluationInvalid
from core.evaluation.classification import (
    ClassificationTask,
    choose_tasks,
    read_task,
    require_trainable,
)
from core.evaluation.tasks import FOLDER
from core.spec.finetune import FinetuneSpec
from core.spec.job import JobSpec
from core.spec.stored import read_stored_spec
from core.storage.links import link_folder
from core.storage.rundir import RunDir
from jobs.errors import CheckpointNotFound, JobNotFound
from jobs.history import find_checkpoint
from jobs.settings import Settings
from jobs.store import get_job
from jobs.tables import Checkpoint, Job

NAMED_TASKS = 4
"""Maximum number of tasks that the name of a job lists."""


@dataclass(frozen=True)
class FinetuneRequest:
    """The complete spec of a fine-tuning job, and the classification tasks that it names."""

    spec: JobSpec
    tasks: list[ClassificationTask]


def complete_finetune(session: Session, settings: Settings, spec: JobSpec) -> FinetuneRequest:
    """Fills in the model, the tokenizer, the checkpoint and the tasks; reads all examples.

    Raises:
        Problem: 422 if the source job has no such checkpoint, if its model cannot read inputs of
            `sequence_length` tokens, or if a line of a task is invalid. The message names the
            field of the spec.
    """
    finetune = spec.finetune
    assert finetune is not None  # validated with the spec
    checkpoint = _checkpoint(session, finetune)
    source = read_stored_spec(get_job(session, finetune.job).spec)
    tasks = _tasks(settings, finetune)
    longest = source.model.max_position_embeddings
    if longest is not None and finetune.sequence_length > longest:
        message = (
            f"{finetune.sequence_length} is too long: the model of job {finetune.job} accepts "
            f"{longest} tokens (model.max_position_embeddings); lower finetune.sequence_length"
        )
        raise _refusal(
            "validation_error", "finetune.sequence_length", message, finetune.sequence_length
        )
    names = [task.name for task in tasks]
    rest = f" and {len(names) - NAMED_TASKS} more" if len(names) > NAMED_TASKS else ""
    title = f"{checkpoint.name} of {source.name or finetune.job}"[:150]
    named = {"checkpoint": checkpoint.name, "tasks": names}
    completed = {
        "name": spec.name or f"{title}: {', '.join(names[:NAMED_TASKS])[:40]}{rest}",
        "model": source.model,
        "tokenizer": source.tokenizer.model_copy(update={"from_job": finetune.job}),
        "finetune": finetune.model_copy(update=named),
    }
    return FinetuneRequest(spec.model_copy(update=completed), tasks)


def keep_checkpoint(settings: Settings, job: Job) -> None:
    """Links the files of the checkpoint into the run folder of the job.

    The links keep the files, even if the checkpoint is deleted before the job runs.

    Raises:
        CheckpointMissing: If the checkpoint was removed in the meantime.
    """
    finetune = job.spec["finetune"]
    source = RunDir(settings.job_folder(finetune["job"])).checkpoint(finetune["checkpoint"])
    folder = settings.job_folder(job.id)
    try:
        link_folder(source, RunDir(folder).source)
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)  # the transaction does not commit
        if isinstance(error, FileNotFoundError):
            raise CheckpointMissing(
                f"the checkpoint {finetune['checkpoint']} of job {finetune['job']} does not exist "
                "any more"
            ) from error
        raise


def _checkpoint(session: Session, finetune: FinetuneSpec) -> Checkpoint:
    try:
        return find_checkpoint(session, finetune.job, finetune.checkpoint)
    except JobNotFound as error:
        raise _refusal("checkpoint_unknown", "finetune.job", error.message, finetune.job) from error
    except CheckpointNotFound as error:
        given = finetune.checkpoint
        raise _refusal("checkpoint_unknown", "finetune.checkpoint", error.message, given) from error


def _tasks(settings: Settings, finetune: FinetuneSpec) -> list[ClassificationTask]:
    folder = settings.data_dir / FOLDER / finetune.folder
    try:
        tasks = [read_task(folder, name) for name in choose_tasks(folder, finetune.tasks)]
        for task in tasks:
            require_trainable(finetune, task)
    except EvaluationInvalid as error:
        given = finetune.tasks
        raise _refusal("task_unknown", "finetune.tasks", error.message, given) from error
    return tasks


def _refusal(code: str, field: str, message: str, given: object) -> Problem:
    return Problem(422, code, f"{field}: {message}", fields=[(field, message, given)])
