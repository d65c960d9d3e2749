"""Routes that upload the files of evaluation tasks."""

from functools import partial
from pathlib import Path
from typing import Annotated

from fastapi import Path as PathParameter
from fastapi import Request, Response

from api import uploads
from api.deps import InContext
from api.evaluation_files import check_name, publish_task
from api.routing import ThreadRouter
from api.schemas_datasets import UnfinishedRead, UploadRead
from api.upload_request import UPLOAD, InUpload, incomplete, receive_file
from core.evaluation.tasks import FOLDER

router = ThreadRouter("evaluations")

TaskName = Annotated[
    str,
    PathParameter(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$", description="Name of a task."),
]


@router.post("/evaluations/{task}/files", **UPLOAD)
async def upload(
    task: TaskName, request: Request, response: Response, context: InContext, sent: InUpload
) -> UploadRead:
    """Uploads an evaluation file (.jsonl, .csv or .json), or a zip or tar archive of such files.

    The body is the file itself. You can upload a file in one request or in several, as with
    datasets. The service parses the whole file before it adds the file to the task. It refuses a
    file if a line is invalid, or if the files of the task are of another kind.
    """
    check_name(sent.file)
    folder = _uploads(context.settings.uploads_folder, task)
    received = await receive_file(request, sent, context, folder)
    if not isinstance(received, Path):
        response.status_code = 202
        return incomplete(task, received)
    size = received.stat().st_size
    target = context.settings.data_dir / FOLDER / task
    files = await context.files.run(
        partial(
            publish_task,
            received,
            sent.file,
            target,
            sha256=sent.sha256,
            folder=sent.folder,
            replace=sent.replace,
        )
    )
    response.headers["Location"] = "/v1/evaluations"
    return UploadRead(dataset=task, name=sent.file, received=size, size=size, files=files)


@router.get("/evaluations/{task}/uploads")
def list_uploads(task: TaskName, context: InContext) -> list[UnfinishedRead]:
    """Unfinished uploads. To continue one, send `Content-Range` from byte `received` on.

    A task exists only after its first upload. The list for an unknown task is not an error.
    """
    found = uploads.unfinished(_uploads(context.settings.uploads_folder, task))
    return [UnfinishedRead(name=each.name, received=each.received) for each in found]


def _uploads(folder: Path, task: str) -> Path:
    """The folder of a task's uploads. The `_` prevents a conflict with a dataset of this name."""
    return folder / f"_{task}"
