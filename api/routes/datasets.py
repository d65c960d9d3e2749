"""Routes that list, show, upload and remove datasets."""

import shutil
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated

from fastapi import Path as PathParameter
from fastapi import Request, Response
from sqlmodel import Session

from api import publishing, uploads
from api.corpus import (
    ask_for_report,
    clean_report,
    corpus_words,
    dataset_files,
    dataset_names,
    refuse_in_use,
    remove_dataset,
    remove_file,
    retry_if_removed,
)
from api.deps import Context, InContext, Reading
from api.description import problems
from api.errors import Problem
from api.received_files import one_at_a_time
from api.routing import ThreadRouter
from api.schemas import ErrorRead
from api.schemas_datasets import (
    CleaningRead,
    DatasetFileRead,
    DatasetPage,
    DatasetRead,
    DatasetSummary,
    LeftOutRead,
    PreviewLine,
    UnfinishedRead,
    UploadRead,
)
from api.tokenizer_files import FOLDER as TOKENIZERS
from api.upload_request import UPLOAD, InUpload, incomplete, receive_file
from core.corpus.report import CleanReport
from core.corpus.sources import SourceFile, scan_folder
from core.corpus.stage import preview
from core.errors import CorpusMissing
from core.evaluation.tasks import FOLDER as EVALUATIONS
from core.spec.corpus import CleanOptions
from core.storage.dataset_origins import (
    ORIGINS_FILE,
    DatasetOrigin,
    forget_files,
    read_origins,
    save_origin,
)
from jobs.short_tasks import short_task_of_dataset
from jobs.tables import ShortTask

router = ThreadRouter("datasets")

PREVIEW_LINES = 20

DatasetName = Annotated[
    str,
    PathParameter(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="Name of a dataset."),
]
FileName = Annotated[
    str, PathParameter(max_length=1024, description="Name of a file, as in `files` of the dataset.")
]


@router.get("/datasets")
def list_datasets(context: InContext, session: Reading) -> DatasetPage:
    """The datasets: folders of text below the data directory."""
    data = []
    for name in dataset_names(context.settings.data_dir):
        with suppress(CorpusMissing):  # removed since the list of names was read
            data.append(retry_if_removed(partial(_read_summary, name, context, session)))
    return DatasetPage(data=data)


@router.get("/datasets/{name}")
def show_dataset(name: DatasetName, context: InContext) -> DatasetRead:
    """One dataset: files, first lines before and after cleaning, and what cleaning drops.

    The first request starts the cleaning of the whole dataset in the short worker; `cleaning` gives
    its status and progress. A later job with the default cleaning options reuses the clean text.
    """
    return retry_if_removed(lambda: _read(name, context))


def _read(name: str, context: Context) -> DatasetRead:
    files = dataset_files(context.settings.data_dir, name)
    _, left_out = scan_folder(context.settings.data_dir / name)
    task = ask_for_report(context.database, name, files)
    report = clean_report(task, files)
    return DatasetRead(
        **_summary(name, files, report).model_dump(),
        files=[_file(file, report) for file in files],
        cleaning=_cleaning(task, report),
        left_out=[
            LeftOutRead(name=each.name, reason=each.reason)
            for each in left_out
            if each.name != ORIGINS_FILE
        ],
        origins=read_origins(context.settings.data_dir / name),
    )


@router.post("/datasets/{name}/files", **UPLOAD)
async def upload(
    name: DatasetName, request: Request, response: Response, context: InContext, sent: InUpload
) -> UploadRead:
    """Uploads a text file, or a zip or tar archive of text files. The body is the file itself.

    You can upload a file in one request, or in several with `Content-Range: bytes BEGIN-LAST/SIZE`:
    the answer is 201 for the last part and 202 for the parts before it. If the connection breaks,
    the service keeps the received bytes; `GET …/uploads` gives their number. If `sha256` is given,
    the service publishes the file only if it has this hash. `folder` selects one folder of an
    archive. `replace` overwrites existing files. `left_out` in the answer lists members of an
    archive that are not used, with the reason.
    """
    publishing.file_kind(sent.file)
    _refuse_reserved(name)
    folder = context.settings.uploads_folder / name
    received = await receive_file(request, sent, context, folder)
    if not isinstance(received, Path):
        response.status_code = 202
        return incomplete(name, received)
    size = received.stat().st_size

    def publish() -> publishing.Published:
        if sent.replace:
            with context.database.read() as session:
                refuse_in_use(session, name)
        published = publishing.publish(
            received,
            sent.file,
            context.settings.data_dir / name,
            sha256=sent.sha256,
            folder=sent.folder,
            replace=sent.replace,
        )
        with one_at_a_time(context.settings.data_dir):
            forget_files(context.settings.data_dir / name, published.files)
        return published

    published = await context.files.run(publish)
    response.headers["Location"] = f"/v1/datasets/{name}"
    files = published.files
    answer = UploadRead(dataset=name, name=sent.file, received=size, size=size, files=files)
    if published.left_out:
        answer.left_out = [
            LeftOutRead(name=each.name, reason=each.reason) for each in published.left_out
        ]
    return answer


@router.post("/datasets/{name}/origins", status_code=201)
def record_origin(name: DatasetName, origin: DatasetOrigin, context: InContext) -> DatasetOrigin:
    """Records the repository of the Hugging Face Hub that files of the dataset come from.

    Model cards and `GET /v1/jobs/{job_id}/budget` name the repository and the commit. A file that
    is uploaded again or removed loses its record.
    """
    folder = context.settings.data_dir / name
    known = {file.path.name for file in dataset_files(context.settings.data_dir, name)}
    unknown = [file for file in origin.files if file not in known]
    if unknown:
        detail = f"the dataset {name} has no file {unknown[0]!r}"
        raise Problem(422, "origin_invalid", detail, fields=[("files", detail, unknown[0])])
    with one_at_a_time(context.settings.data_dir):
        save_origin(folder, origin)
    return origin


@router.get("/datasets/{name}/uploads")
def list_uploads(name: DatasetName, context: InContext) -> list[UnfinishedRead]:
    """Unfinished uploads. To continue one, send `Content-Range` from byte `received` on.

    A dataset exists only after its first upload. The list for an unknown dataset is not an error.
    """
    found = uploads.unfinished(context.settings.uploads_folder / name)
    return [UnfinishedRead(name=each.name, received=each.received) for each in found]


@router.delete("/datasets/{name}", status_code=204, responses=problems(409))
def delete_dataset(name: DatasetName, context: InContext) -> Response:
    """Removes a dataset; 409 if an unfinished job needs it."""
    with context.database.write() as session:
        doomed = remove_dataset(session, context.settings.data_dir, name)
    shutil.rmtree(doomed, ignore_errors=True)
    return Response(status_code=204)


@router.delete("/datasets/{name}/files/{file}", status_code=204, responses=problems(409))
def delete_file(name: DatasetName, file: FileName, context: InContext) -> Response:
    """Removes one file of a dataset; 409 if an unfinished job needs the dataset."""
    with context.database.write() as session:
        remove_file(session, context.settings.data_dir, name, file)
    return Response(status_code=204)


def _refuse_reserved(name: str) -> None:
    if name in (EVALUATIONS, TOKENIZERS):
        detail = f"{name} is a folder of the service; give the dataset another name"
        raise Problem(422, "dataset_name_invalid", detail, fields=[("name", detail, name)])


def _read_summary(name: str, context: Context, session: Session) -> DatasetSummary:
    files = dataset_files(context.settings.data_dir, name)
    return _summary(name, files, clean_report(short_task_of_dataset(session, name), files))


def _summary(name: str, files: list[SourceFile], report: CleanReport | None) -> DatasetSummary:
    words = corpus_words(files, report)
    return DatasetSummary(
        name=name,
        sources=[file.stem for file in files],
        bytes=sum(file.bytes for file in files),
        words=words.count,
        is_words_exact=words.is_exact,
    )


def _file(file: SourceFile, report: CleanReport | None) -> DatasetFileRead:
    words = corpus_words([file], report)
    lines = preview(file, options=CleanOptions(), max_lines=PREVIEW_LINES)
    return DatasetFileRead(
        name=file.name,
        source=file.source,
        bytes=file.bytes,
        words=words.count,
        is_words_exact=words.is_exact,
        preview=[PreviewLine(raw=raw, cleaned=cleaned) for raw, cleaned in lines],
    )


def _cleaning(task: ShortTask, report: CleanReport | None) -> CleaningRead:
    return CleaningRead(
        status=task.status,
        progress=task.progress,
        error=ErrorRead(**task.error) if task.error else None,
        words=report.words_out if report else None,
        bytes=report.bytes_out if report else None,
        sources=dict(report.sources) if report else {},
    )
