"""Checkpoints: what there is, single files with ranges, whole folders, and text from them."""

import time
from pathlib import Path
from typing import Annotated

import anyio
from anyio.to_thread import run_sync
from fastapi import APIRouter
from fastapi import Path as PathParameter
from sqlmodel import Session
from starlette.responses import FileResponse, Response, StreamingResponse
from zipstream import ZipStream

from api.deps import CheckpointName, Context, InContext, JobId, Reading
from api.errors import STATUS_BY_CODE, Problem
from api.schemas import CheckpointPage, GenerateBody, GenerateRead, read_checkpoint
from core.rundir import RunDir
from jobs.history import find_checkpoint, list_checkpoints
from jobs.short_tasks import create_short_task, get_short_task
from jobs.tables import Checkpoint, ShortTask
from jobs.workers import live_workers

router = APIRouter(tags=["checkpoints"])

GENERATE_SECONDS = 120.0
LOOK_SECONDS = 0.1

FilePath = Annotated[str, PathParameter(max_length=200)]


@router.get("/jobs/{job_id}/checkpoints")
def list_all(job_id: JobId, session: Reading) -> CheckpointPage:
    """The checkpoints that are there, by step."""
    return CheckpointPage(
        data=[read_checkpoint(checkpoint) for checkpoint in list_checkpoints(session, job_id)]
    )


@router.get("/jobs/{job_id}/checkpoints/{name}/files/{path:path}", response_class=FileResponse)
def download(
    job_id: JobId, name: CheckpointName, path: FilePath, context: InContext, session: Reading
) -> Response:
    """One file, with ranges; its ETag is its SHA-256."""
    checkpoint = find_checkpoint(session, job_id, name)
    # Only what the row lists is served: a path that climbs out of the folder is in no row.
    entry = next((file for file in checkpoint.files if file["path"] == path), None)
    if entry is None:
        known = ", ".join(file["path"] for file in checkpoint.files)
        raise Problem(404, "file_not_found", f"{checkpoint.name} has no such file; it has: {known}")
    file = _folder(context, checkpoint) / entry["path"]
    if not file.is_file():
        raise Problem(410, "file_gone", f"{checkpoint.name} was removed a moment ago")
    return FileResponse(
        file,
        filename=Path(path).name,
        content_disposition_type="attachment",
        media_type="application/octet-stream",
        headers={"ETag": f'"{entry["sha256"]}"', "Cache-Control": "private, no-cache"},
    )


@router.get("/jobs/{job_id}/checkpoints/{name}/archive", response_class=StreamingResponse)
def archive(
    job_id: JobId, name: CheckpointName, context: InContext, session: Reading
) -> StreamingResponse:
    """The whole checkpoint as an uncompressed zip, made while it is sent."""
    checkpoint = find_checkpoint(session, job_id, name)
    folder = _folder(context, checkpoint)
    stream = ZipStream(sized=True)
    label = f"{job_id[:8]}-{checkpoint.name}"
    for file in checkpoint.files:
        if not (folder / file["path"]).is_file():
            raise Problem(410, "file_gone", f"{checkpoint.name} was removed a moment ago")
        stream.add_path(folder / file["path"], f"{label}/{file['path']}")
    headers = {
        "Content-Length": str(len(stream)),
        "Content-Disposition": f'attachment; filename="{label}.zip"',
    }
    return StreamingResponse(iter(stream), media_type="application/zip", headers=headers)


@router.post("/jobs/{job_id}/checkpoints/{name}/generate")
async def generate(
    job_id: JobId, name: CheckpointName, body: GenerateBody, context: InContext
) -> GenerateRead:
    """Lets a checkpoint continue a text; done by the short worker, beside any training."""
    task_id, checkpoint = await run_sync(_ask, context, job_id, name, body)
    deadline = time.monotonic() + GENERATE_SECONDS
    with context.watchers.watching(task_id) as news:
        while time.monotonic() < deadline:
            news.clear()
            task = await run_sync(_task, context, task_id)
            if task.result is not None:
                return GenerateRead(text=task.result["text"], checkpoint=checkpoint)
            if task.error is not None:
                detail = f"{task.error['message']} {task.error['hint']}".strip()
                raise Problem(
                    STATUS_BY_CODE.get(task.error["code"], 500), task.error["code"], detail
                )
            with anyio.move_on_after(LOOK_SECONDS):
                await news.wait()
    raise Problem(504, "time_limit", f"no text within {GENERATE_SECONDS:.0f} s; try again")


def _ask(context: Context, job_id: str, name: str, body: GenerateBody) -> tuple[str, str]:
    with context.database.write() as session:
        checkpoint = find_checkpoint(session, job_id, name)
        _require_short_worker(session)
        request = {"checkpoint": checkpoint.name, **body.model_dump()}
        task = create_short_task(session, kind="generate", job_id=job_id, request=request)
        return task.id, checkpoint.name


def _require_short_worker(session: Session) -> None:
    if not any(worker.queue == "short" for worker in live_workers(session)):
        detail = "no worker for short tasks is alive: start one with `babylm worker --queue short`"
        raise Problem(503, "no_worker", detail, headers={"Retry-After": "10"})


def _task(context: Context, task_id: str) -> ShortTask:
    with context.database.read() as session:
        return get_short_task(session, task_id)


def _folder(context: Context, checkpoint: Checkpoint) -> Path:
    return RunDir(context.settings.job_folder(checkpoint.job_id)).checkpoint(checkpoint.name)
