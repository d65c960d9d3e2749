"""Routes that build a submission to the BabyLM challenge, show it and download it."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from fastapi import Path as PathParameter
from fastapi import Request
from sqlmodel import Session
from starlette.responses import Response

from api.deps import Context, InContext, JobId, Reading
from api.description import file_responses, problems
from api.downloads import ArchiveDownload, FileDownload
from api.errors import Problem
from api.routing import ThreadRouter
from api.schemas_submission import (
    ManifestRead,
    SubmissionBody,
    SubmissionPage,
    SubmissionRead,
    read_submission,
)
from api.short import ask_all
from api.tar_stream import TarEntry, TarStream
from core.errors import SubmissionInvalid
from core.export.submission.ledger import Ledger, budget_ledger
from core.export.submission.official import AOA, FAST, FULL, OfficialTask, find_folder
from core.spec.job import TRACK_WORDS
from core.spec.stored import read_stored_spec
from core.storage.rundir import RunDir
from jobs.evaluations import evaluation_request
from jobs.history import find_checkpoint, finished_stage, list_checkpoints
from jobs.short_tasks import (
    Kind,
    count_unfinished_short_tasks,
    newest_short_task,
    short_tasks_of_job,
    unfinished_short_tasks,
)
from jobs.store import get_job, require_job
from jobs.tables import Checkpoint, Json, ShortTask

router = ThreadRouter("submission")

SUBMISSION = "/jobs/{job_id}/submission"
FILE = SUBMISSION + "/files/{path:path}"
ARCHIVE = SUBMISSION + "/archive"
MANIFEST_FILE = "manifest.json"
BYTES = file_responses("application/octet-stream")
TARS = file_responses("application/x-tar")
FilePath = Annotated[str, PathParameter(max_length=400)]


@router.post(SUBMISSION, status_code=202, responses=problems(409))
def build(job_id: JobId, body: SubmissionBody, context: InContext) -> SubmissionRead:
    """Builds a submission to the challenge: a folder with the models, predictions and results.

    If `evaluate` is true, the short worker first runs each missing evaluation, provided that the
    data directory has the task files. In any case, it then checks every milestone and writes the
    folder. `report` of the finished submission names what is still missing. While a submission
    with the same repository and checkpoint is queued or running, the call returns that submission.
    """
    folders = _task_folders(context) if body.evaluate else {}
    with context.database.write() as session:
        job = get_job(session, job_id)
        track = str(job.spec.get("track", "free"))
        if track not in TRACK_WORDS:
            raise SubmissionInvalid(
                f"the job is of the track {track}, which has no milestones",
                hint='Train a job with "track": "strict-small" or "strict".',
            )
        final = find_checkpoint(session, job_id, body.checkpoint)
        asked = {"repository": body.repository, "checkpoint": final.name}
        for task in unfinished_short_tasks(session, job_id, "submission"):
            if task.request == asked:
                return _read(session, task)
        due: list[tuple[Kind, Json]] = []
        if body.evaluate:
            due = [
                ("evaluate", evaluation_request(checkpoint, name))
                for checkpoint, name in _due(session, context, final, folders)
            ]
        return _read(session, ask_all(session, job_id, [*due, ("submission", asked)])[-1])


@router.get("/jobs/{job_id}/budget")
def show_budget(job_id: JobId, session: Reading, context: InContext) -> Ledger:
    """A job's number of words for each source, and whether the job keeps the rules of its track.

    Words are counted before and after cleaning. `origin` and `licence` come from the repository
    that is recorded for a file, or else from the names of the dataset and the file. `holds` of a
    rule is null as long as it is unknown whether the job keeps the rule.
    """
    job = get_job(session, job_id)
    stage = finished_stage(session, job_id, "clean")
    checkpoints = list_checkpoints(session, job_id)
    seen = max((each.words_seen for each in checkpoints), default=0)
    return budget_ledger(
        read_stored_spec(job.spec),
        rundir=RunDir(context.settings.job_folder(job_id)),
        counts=stage.counts if stage else None,
        words_seen=max(seen, int(job.latest_metrics.get("words_seen", 0))),
    )


@router.get(SUBMISSION)
def show(job_id: JobId, session: Reading) -> SubmissionRead:
    """The newest submission of a job, with its report once it is finished."""
    return _read(session, _newest(session, job_id))


@router.get("/jobs/{job_id}/submissions")
def list_submissions(job_id: JobId, session: Reading) -> SubmissionPage:
    """A list with the newest submission of a job. The list is empty if the job has none."""
    require_job(session, job_id)
    task = newest_short_task(session, job_id, "submission")
    return SubmissionPage(data=[] if task is None else [_read(session, task)])


@router.get(SUBMISSION + "/manifest")
def show_manifest(job_id: JobId, session: Reading, context: InContext) -> ManifestRead:
    """The files of the newest finished submission with sizes and hashes, and its symbolic links.

    Files of equal content, such as the two copies of the weights, have equal hashes.
    """
    return ManifestRead.model_validate(_manifest(_folder(session, context, job_id)))


@router.head(FILE, response_class=Response, responses=BYTES)
@router.get(FILE, response_class=Response, responses=BYTES)
def download(job_id: JobId, path: FilePath, session: Reading, context: InContext) -> Response:
    """Downloads a file of the newest finished submission.

    Supports ranges; the ETag is the SHA-256 of the file.
    """
    folder = _folder(session, context, job_id)
    # Only files of the manifest are served, so no path can leave the folder.
    entry = next((each for each in _manifest(folder)["files"] if each["path"] == path), None)
    if entry is None:
        raise Problem(404, "file_not_found", "the submission has no such file; see its manifest")
    return FileDownload(
        folder / entry["path"],
        filename=Path(path).name,
        content_disposition_type="attachment",
        media_type="application/octet-stream",
        headers={"ETag": f'"{entry["sha256"]}"', "Cache-Control": "private, no-cache"},
        stat_result=_status(folder / entry["path"]),
    )


@router.head(ARCHIVE, response_class=Response, responses=TARS)
@router.get(ARCHIVE, response_class=Response, responses=TARS)
def archive(job_id: JobId, request: Request, session: Reading, context: InContext) -> Response:
    """Downloads the newest finished submission as an uncompressed tar file. Supports ranges."""
    folder = _folder(session, context, job_id)
    session.close()  # reading the status of every file may take long
    manifest = _manifest(folder)
    label = f"{job_id[:8]}-submission"
    etag = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    return ArchiveDownload(
        TarStream(list(_entries(folder, manifest, label))),
        file_name=f"{label}.tar",
        media_type="application/x-tar",
        etag=f'"{etag}"',
        headers=request.headers,
    )


def _task_folders(context: Context) -> dict[OfficialTask, str]:
    """The folders of the official tasks that have files in the data directory."""
    found = {task: find_folder(context.settings.data_dir, task) for task in (*FAST, AOA, *FULL)}
    return {task: name for task, name in found.items() if name is not None}


def _due(
    session: Session, context: Context, final: Checkpoint, folders: Mapping[OfficialTask, str]
) -> Iterator[tuple[Checkpoint, str]]:
    """The checkpoint and the task folder of each evaluation that is missing and that can be run."""
    rundir = RunDir(context.settings.job_folder(final.job_id))
    unfinished = {
        (task.request["checkpoint"], task.request["task"])
        for task in unfinished_short_tasks(session, final.job_id, "evaluate")
    }
    milestones = [
        each for each in list_checkpoints(session, final.job_id) if each.kind == "milestone"
    ]
    # A milestone may also be the final model, and a task may be in both lists. Therefore a yielded
    # evaluation is added to `unfinished`, so that it is not yielded twice.
    for checkpoint, tasks in (*((each, (*FAST, AOA)) for each in milestones), (final, FULL)):
        for name in (folders[task] for task in tasks if task in folders):
            if (checkpoint.name, name) in unfinished:
                continue
            if not rundir.predictions(checkpoint.name, name).is_file():
                unfinished.add((checkpoint.name, name))
                yield checkpoint, name


def _newest(session: Session, job_id: str) -> ShortTask:
    require_job(session, job_id)
    task = newest_short_task(session, job_id, "submission")
    if task is None:
        detail = "the job has no submission; build one with POST"
        raise Problem(404, "submission_not_found", detail)
    return task


def _read(session: Session, task: ShortTask) -> SubmissionRead:
    assert task.job_id is not None
    count = count_unfinished_short_tasks(session, task.job_id, "evaluate")
    return read_submission(task, unfinished_evaluations=count)


def _folder(session: Session, context: Context, job_id: str) -> Path:
    """The folder of the newest finished submission."""
    require_job(session, job_id)
    rundir = RunDir(context.settings.job_folder(job_id).resolve())
    for task in reversed(short_tasks_of_job(session, job_id, "submission")):
        folder = rundir.submissions / task.id
        if task.status == "succeeded" and folder.is_dir():
            return folder
    detail = "the job has no finished submission; build one with POST"
    raise Problem(404, "submission_not_found", detail)


def _manifest(folder: Path) -> dict[str, Any]:  # any JSON value
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST_FILE).read_bytes())
    except FileNotFoundError as error:
        detail = "the submission was replaced a moment ago; try again"
        raise Problem(410, "file_gone", detail) from error
    return manifest


def _entries(folder: Path, manifest: dict[str, Any], label: str) -> Iterator[TarEntry]:
    """The entries of the archive. A file that repeats an earlier file's content is a hard link."""
    first: dict[str, str] = {}
    for file in manifest["files"]:
        name = f"{label}/{file['path']}"
        earlier = first.setdefault(file["sha256"], name)
        if earlier != name:
            yield TarEntry(name, target=earlier, is_hard=True)
        else:
            yield TarEntry(
                name, path=folder / file["path"], size=_status(folder / file["path"]).st_size
            )
    for link in manifest["links"]:
        yield TarEntry(f"{label}/{link['path']}", target=link["target"])


def _status(file: Path) -> os.stat_result:
    try:
        return file.stat()
    except FileNotFoundError as error:
        detail = "the submission was replaced a moment ago; try again"
        raise Problem(410, "file_gone", detail) from error
