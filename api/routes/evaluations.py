"""Routes that evaluate checkpoints on tasks, such as those of the BabyLM challenge."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

from fastapi import Query
from fastapi.responses import Response

from api.deps import CheckpointName, EvaluationId, InContext, JobId, Reading
from api.description import file_responses, text_responses
from api.downloads import FileDownload
from api.errors import Problem
from api.routing import ThreadRouter
from api.schemas_evaluations import (
    CurvePage,
    CurveRead,
    EvaluateBody,
    EvaluationPage,
    EvaluationRead,
    OfficialTaskPage,
    OfficialTaskRead,
    TaskPage,
    TaskRead,
    read_evaluation,
)
from api.short import ask
from core.errors import EvaluationInvalid
from core.evaluation.classification import KIND, classification_tasks
from core.evaluation.curves import as_csv, as_markdown, learning_curves
from core.evaluation.registry import recognise, task_files
from core.evaluation.tasks import FOLDER, require_tasks, task_names
from core.events.results import EvaluationResult
from core.export.submission.official import find_folder
from core.export.submission.official_files import DOWNLOAD, official_files
from core.storage.rundir import RunDir
from jobs.errors import ShortTaskNotFound
from jobs.evaluations import evaluation_request
from jobs.history import find_checkpoint
from jobs.short_tasks import get_short_task, short_tasks_of_job
from jobs.store import get_job, require_job

router = ThreadRouter("evaluations")

CurveFormat = Literal["json", "csv", "markdown"]
CURVE_FORMATS = text_responses("text/csv", "text/markdown")
PREDICTIONS = "/jobs/{job_id}/evaluations/{evaluation}/predictions"


@router.get("/evaluations")
def list_tasks(context: InContext) -> TaskPage:
    """The evaluation tasks: the folders under `evaluations` in the data directory.

    The service recognises the kind of a task by the content of its files. If it recognises no
    kind, `error` gives the reason.
    """
    data = []
    for name in task_names(context.settings.data_dir):
        folder = context.settings.data_dir / FOLDER / name
        files = task_files(folder)
        size = sum(path.stat().st_size for path in files)
        classification = classification_tasks(folder)
        try:
            kind, error = KIND if classification else recognise(folder).name, None
        except EvaluationInvalid as refusal:
            kind, error = None, refusal.message
        data.append(
            TaskRead(
                name=name,
                kind=kind,
                paradigms=len(files),
                bytes=size,
                tasks=classification,
                error=error,
            )
        )
    return TaskPage(data=data)


@router.get("/evaluations/official")
def list_official_tasks(context: InContext) -> OfficialTaskPage:
    """The tasks of the BabyLM challenge, and the source of their files.

    `folder` is the folder of the task under `evaluations` in the data directory, or null if the
    files are missing. Upload the files of a task with `POST /v1/evaluations/{task}/files`.
    """
    data = [
        OfficialTaskRead(
            name=files.task.name,
            title=files.title,
            purposes=list(files.purposes),
            folder=find_folder(context.settings.data_dir, files.task),
            path=files.path,
            note=files.note,
        )
        for files in official_files()
    ]
    return OfficialTaskPage(data=data, download=DOWNLOAD)


@router.post("/jobs/{job_id}/checkpoints/{name}/evaluations", status_code=202)
def evaluate(
    job_id: JobId, name: CheckpointName, body: EvaluateBody, context: InContext
) -> EvaluationRead:
    """Evaluates a checkpoint in parallel with training jobs.

    `GET /v1/jobs/{job_id}/evaluations` gives the progress. The score becomes an `evaluation` event
    and the metric `evaluation/<task>` at the step of the checkpoint. If a file of the task is
    invalid, the evaluation fails, and its error names the file and the line.
    """
    try:
        require_tasks(context.settings.data_dir, [body.task])
    except EvaluationInvalid as error:
        fields = [("task", error.message, body.task)]
        raise Problem(422, "task_unknown", f"task: {error.message}", fields=fields) from error
    with context.database.write() as session:
        checkpoint = find_checkpoint(session, job_id, name)
        request = evaluation_request(checkpoint, body.task)
        return read_evaluation(ask(session, kind="evaluate", job_id=job_id, request=request))


@router.get("/jobs/{job_id}/evaluations")
def list_evaluations(job_id: JobId, session: Reading) -> EvaluationPage:
    """The evaluations of a job, including those that wait or run."""
    require_job(session, job_id)
    tasks = short_tasks_of_job(session, job_id, "evaluate")
    return EvaluationPage(data=[read_evaluation(task) for task in tasks])


@router.get("/jobs/{job_id}/curves", response_model=CurvePage, responses=CURVE_FORMATS)
def read_curves(
    job_id: JobId, session: Reading, form: Annotated[CurveFormat, Query(alias="format")] = "json"
) -> CurvePage | Response:
    """Learning curves: each score by words seen, with the organisers' baselines and a verdict.

    `saturated_at` is the first checkpoint whose score no later score exceeds by more than twice the
    standard error of the difference; null if the score still rises, or if there are too few
    checkpoints. `verdict` says in words whether the score still rises.
    `format` is json, csv or markdown.
    """
    job = get_job(session, job_id)
    evaluations = [
        (
            str(task.request["task"]),
            str(task.request["checkpoint"]),
            int(task.request["words_seen"]),
            EvaluationResult.model_validate(task.result),
        )
        for task in short_tasks_of_job(session, job_id, "evaluate")
        if task.status == "succeeded" and task.result and "paradigms" in task.result
    ]
    track = str(job.spec.get("track", "free"))
    curves = learning_curves(evaluations, track=None if track == "free" else track)
    if form == "csv":
        return Response(as_csv(curves), media_type="text/csv")
    if form == "markdown":
        return Response(as_markdown(curves), media_type="text/markdown")
    return CurvePage(data=[CurveRead.model_validate(asdict(curve)) for curve in curves])


@router.head(PREDICTIONS, response_class=Response, responses=file_responses("application/json"))
@router.get(PREDICTIONS, response_class=Response, responses=file_responses("application/json"))
def read_predictions(
    job_id: JobId, evaluation: EvaluationId, session: Reading, context: InContext
) -> Response:
    """The prediction of the checkpoint for each item, in the format of the official pipeline.

    This is the format of the pipeline's `predictions.json`:
    `{"SUBSET": {"predictions": [{"id": "SUBSET_0", "pred": "..."}]}}`. For WUG an item also has
    `prob`. For reading times `pred` and `prev_pred` are surprisals.
    """
    require_job(session, job_id)
    try:
        task = get_short_task(session, evaluation)
    except ShortTaskNotFound:
        task = None
    if task is None or task.job_id != job_id or task.kind != "evaluate":
        raise Problem(404, "evaluation_not_found", f"the job has no evaluation {evaluation}")
    checkpoint, name = str(task.request["checkpoint"]), str(task.request["task"])
    path = RunDir(context.settings.job_folder(job_id)).predictions(checkpoint, name)
    status = _status(path) if task.status == "succeeded" else None
    if status is None:
        detail = f"there are no predictions of {checkpoint} on {name}: "
        if task.status == "succeeded":
            detail += "the evaluation did not keep any; evaluate the checkpoint again"
        else:
            detail += f"the evaluation is {task.status}"
        raise Problem(404, "predictions_missing", detail)
    file = f"{checkpoint}.{name}.predictions.json"
    return FileDownload(path, media_type="application/json", filename=file, stat_result=status)


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None
