"""Sending the files of evaluation tasks."""

from functools import partial
from pathlib import Path
from typing import Annotated

from fastapi import Header, Query, Request, Response
from fastapi import Path as PathParameter
from starlette.requests import ClientDisconnect

from api import uploads
from api.deps import InContext
from api.description import problems
from api.errors import Problem
from api.evaluation_files import check_name, publish_task
from api.routing import thread_router
from api.schemas_datasets import UnfinishedRead, UploadRead
from core.evaluation.tasks import FOLDER

router = thread_router("evaluations")

BINARY = {"schema": {"type": "string", "format": "binary"}}
TaskName = Annotated[
    str,
    PathParameter(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$", description="Name of a task."),
]


@router.post(
    "/evaluations/{task}/files",
    status_code=201,
    response_model_exclude_unset=True,
    responses={
        202: {"model": UploadRead, "description": "A piece has arrived; more is to come."},
        **problems(409, 507),
    },
    openapi_extra={"requestBody": {"content": {"application/octet-stream": BINARY}}},
)
async def upload(
    task: TaskName,
    request: Request,
    response: Response,
    context: InContext,
    file: Annotated[str, Query(alias="name", max_length=200, description="Name of the file.")],
    sha256: Annotated[str | None, Query(pattern="^[0-9a-fA-F]{64}$")] = None,
    folder: Annotated[str | None, Query(max_length=64)] = None,
    replace: Annotated[bool, Query()] = False,
    content_range: Annotated[str | None, Header(max_length=200)] = None,
    content_length: Annotated[str | None, Header(max_length=20)] = None,
) -> UploadRead:
    """Sends an evaluation file (.jsonl, .csv or .json), or a zip or tar of them, into a task.

    In one request or in pieces, as with datasets. The whole file is parsed before it appears; a
    line that does not parse, and a file of another kind than those of the task, are refused.
    """
    limit = context.settings.upload_bytes
    check_name(file)
    piece = uploads.piece_of(content_range, content_length, limit=limit)
    await context.writes.run(partial(uploads.remove_abandoned, context.settings.uploads_folder))
    part = _uploads(context.settings.uploads_folder, task) / f"{file}{uploads.PART}"
    try:
        received = await uploads.receive(part, piece, request.stream(), limit=limit)
    except ClientDisconnect as error:
        raise Problem(400, "upload_broken", "the connection broke; what arrived is kept") from error
    if not isinstance(received, Path):
        response.status_code = 202
        return UploadRead(
            dataset=task, name=file, received=received.received, size=received.size, files=[]
        )
    size = received.stat().st_size
    target = context.settings.data_dir / FOLDER / task
    files = await context.files.run(
        partial(publish_task, received, file, target, sha256=sha256, folder=folder, replace=replace)
    )
    response.headers["Location"] = "/v1/evaluations"
    return UploadRead(dataset=task, name=file, received=size, size=size, files=files)


@router.get("/evaluations/{task}/uploads")
def list_uploads(task: TaskName, context: InContext) -> list[UnfinishedRead]:
    """Unfinished uploads: continue with `Content-Range` from byte `received`."""
    found = uploads.unfinished(_uploads(context.settings.uploads_folder, task))
    return [UnfinishedRead(name=each.name, received=each.received) for each in found]


def _uploads(folder: Path, task: str) -> Path:
    """No dataset may be called like this: their names begin with a letter or digit."""
    return folder / f"_{task}"
