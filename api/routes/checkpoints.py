"""Routes that list and download checkpoints, and generate text from them."""

import hashlib
import os
from pathlib import Path
from typing import Annotated

from fastapi import Path as PathParameter
from fastapi import Request
from starlette.responses import Response
from zipstream import ZipStream

from api.deps import CheckpointName, Context, InContext, JobId, Reading
from api.description import file_responses, problems
from api.downloads import ArchiveDownload, FileDownload
from api.errors import Problem
from api.routing import ThreadRouter
from api.schemas import CheckpointPage, GenerateBody, GenerateRead, read_checkpoint
from api.short import answer_of, ask
from core.storage.rundir import RunDir
from jobs.history import find_checkpoint, list_checkpoints
from jobs.tables import Checkpoint

router = ThreadRouter("checkpoints")

FILE = "/jobs/{job_id}/checkpoints/{name}/files/{path:path}"
ARCHIVE = "/jobs/{job_id}/checkpoints/{name}/archive"
BYTES = file_responses("application/octet-stream")
ZIPS = file_responses("application/zip")
FilePath = Annotated[str, PathParameter(max_length=200)]


@router.get("/jobs/{job_id}/checkpoints")
def list_all(job_id: JobId, session: Reading) -> CheckpointPage:
    """The checkpoints that the job has now, in the order of their steps."""
    return CheckpointPage(
        data=[read_checkpoint(checkpoint) for checkpoint in list_checkpoints(session, job_id)]
    )


@router.head(FILE, response_class=Response, responses=BYTES)
@router.get(FILE, response_class=Response, responses=BYTES)
def download(
    job_id: JobId, name: CheckpointName, path: FilePath, context: InContext, session: Reading
) -> Response:
    """Downloads one file of a checkpoint. Supports ranges; the ETag is the SHA-256 of the file."""
    checkpoint = find_checkpoint(session, job_id, name)
    # Only files in the checkpoint's row are served, so no path can lead out of the folder.
    entry = next((file for file in checkpoint.files if file["path"] == path), None)
    if entry is None:
        known = ", ".join(file["path"] for file in checkpoint.files)
        detail = f"the checkpoint {checkpoint.name} has no file {path!r}; its files are: {known}"
        raise Problem(404, "file_not_found", detail)
    file = _folder(context, checkpoint) / entry["path"]
    return FileDownload(
        file,
        filename=Path(path).name,
        content_disposition_type="attachment",
        media_type="application/octet-stream",
        headers={"ETag": f'"{entry["sha256"]}"', "Cache-Control": "private, no-cache"},
        stat_result=_stat(file, checkpoint),
    )


@router.head(ARCHIVE, response_class=Response, responses=ZIPS)
@router.get(ARCHIVE, response_class=Response, responses=ZIPS)
def archive(
    job_id: JobId, name: CheckpointName, request: Request, context: InContext, session: Reading
) -> Response:
    """Downloads a whole checkpoint as an uncompressed zip file. Supports ranges."""
    checkpoint = find_checkpoint(session, job_id, name)
    session.close()  # calling stat for every file may take long
    folder = _folder(context, checkpoint)
    stream = ZipStream(sized=True)
    label = f"{job_id[:8]}-{checkpoint.name}"
    for file in checkpoint.files:
        _stat(folder / file["path"], checkpoint)
        stream.add_path(folder / file["path"], f"{label}/{file['path']}")
    content = repr([label, [(file["path"], file["sha256"]) for file in checkpoint.files]])
    etag = f'"{hashlib.sha256(content.encode()).hexdigest()}"'
    return ArchiveDownload(stream, file_name=f"{label}.zip", etag=etag, headers=request.headers)


@router.post(
    "/jobs/{job_id}/checkpoints/{name}/generate", responses=problems(409, 410, 500, 504, 507)
)
async def generate(
    job_id: JobId, name: CheckpointName, body: GenerateBody, context: InContext
) -> GenerateRead:
    """Continues a text with a checkpoint, in parallel with training jobs."""

    def create() -> tuple[str, str]:
        with context.database.write() as session:
            checkpoint = find_checkpoint(session, job_id, name)
            request = {"checkpoint": checkpoint.name, **body.model_dump()}
            task = ask(session, kind="generate", job_id=job_id, request=request)
            return task.id, checkpoint.name

    with context.watchers.awaiting_answer():
        task_id, checkpoint_name = await context.writes.run(create)
        answer = await answer_of(context, task_id)
    return GenerateRead(text=answer["text"], checkpoint=checkpoint_name)


def _stat(file: Path, checkpoint: Checkpoint) -> os.stat_result:
    """Calls stat for a file of a checkpoint.

    Raises:
        Problem: 410 if the file was removed.
    """
    try:
        return file.stat()
    except FileNotFoundError as error:
        detail = f"the checkpoint {checkpoint.name} was removed a moment ago"
        raise Problem(410, "file_gone", detail) from error


def _folder(context: Context, checkpoint: Checkpoint) -> Path:
    return RunDir(context.settings.job_folder(checkpoint.job_id)).checkpoint(checkpoint.name)
