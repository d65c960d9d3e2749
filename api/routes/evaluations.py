"""Judging checkpoints on minimal pairs, such as BLiMP."""

from api.deps import CheckpointName, InContext, JobId, Reading
from api.errors import Problem
from api.routing import thread_router
from api.schemas_evaluations import (
    EvaluateBody,
    EvaluationPage,
    EvaluationRead,
    TaskPage,
    TaskRead,
    read_evaluation,
)
from api.short import ask
from core.evaluation.tasks import FOLDER, paradigm_files, task_names
from jobs.history import find_checkpoint
from jobs.short_tasks import short_tasks_of_job
from jobs.store import get_job

router = thread_router("evaluations")


@router.get("/evaluations")
def list_tasks(context: InContext) -> TaskPage:
    """What checkpoints can be judged on: the folders below `evaluations` in the data directory."""
    data = []
    for name in task_names(context.settings.data_dir):
        files = paradigm_files(context.settings.data_dir / FOLDER / name)
        size = sum(path.stat().st_size for path in files)
        data.append(TaskRead(name=name, paradigms=len(files), bytes=size))
    return TaskPage(data=data)


@router.post("/jobs/{job_id}/checkpoints/{name}/evaluations", status_code=202)
def evaluate(
    job_id: JobId, name: CheckpointName, body: EvaluateBody, context: InContext
) -> EvaluationRead:
    """Judges a checkpoint, beside any training; see `GET /v1/jobs/{job_id}/evaluations`.

    Each pair is right if the good sentence has the higher sum of log-probabilities. The score
    becomes an `evaluation` event and the metric `evaluation/<task>` at the step of the checkpoint.
    """
    names = task_names(context.settings.data_dir)
    if body.task not in names:
        known = ", ".join(names) if names else "none so far"
        message = f"there is no such task; there are: {known}"
        raise Problem(
            422, "task_unknown", f"task: {message}", fields=[("task", message, body.task)]
        )
    with context.database.write() as session:
        checkpoint = find_checkpoint(session, job_id, name)
        request = {
            "checkpoint": checkpoint.name,
            "task": body.task,
            "step": checkpoint.step,
            "words_seen": checkpoint.words_seen,
        }
        return read_evaluation(ask(session, kind="evaluate", job_id=job_id, request=request))


@router.get("/jobs/{job_id}/evaluations")
def list_evaluations(job_id: JobId, session: Reading) -> EvaluationPage:
    """The evaluations of a job, those that wait or run among them."""
    get_job(session, job_id)
    tasks = short_tasks_of_job(session, job_id, "evaluate")
    return EvaluationPage(data=[read_evaluation(task) for task in tasks])
