"""Checkpoints: what there is, single files with ranges, whole folders, and text from them."""

from pathlib import Path
from typing import Annotated

from fastapi import Path as PathParameter
from starlette.responses import FileResponse, Response, StreamingResponse
from zipstream import ZipStream

from api.deps import CheckpointName, Context, InContext, JobId, Reading
from api.errors import Problem
from api.routing import thread_router
from api.schemas import CheckpointPage, GenerateBody, GenerateRead, read_checkpoint
from api.short import answer_of, ask
from core.storage.rundir import RunDir
from jobs.history import find_checkpoint, list_checkpoints
from jobs.tables import Checkpoint

router = thread_router("checkpoints")

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
    session.close()  # looking at every file may take long
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
    """Lets a checkpoint continue a text; the short worker does it, in parallel with training."""

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


def _folder(context: Context, checkpoint: Checkpoint) -> Path:
    return RunDir(context.settings.job_folder(checkpoint.job_id)).checkpoint(checkpoint.name)
