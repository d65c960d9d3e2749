"""The request that sends a file, the same for datasets and evaluation tasks."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, Header, Query, Request

from api import uploads
from api.deps import Context
from api.description import problems
from api.schemas_datasets import UploadRead

BINARY = {"schema": {"type": "string", "format": "binary"}}
FILE_BODY = {"requestBody": {"content": {"application/octet-stream": BINARY}}}
"""Description of a body that is a file, for the option `openapi_extra` of a route."""
UPLOAD: dict[str, Any] = {  # any value, as FastAPI takes the options of a route
    "status_code": 201,
    "response_model_exclude_unset": True,
    "responses": {
        202: {"model": UploadRead, "description": "A part was received; the file is incomplete."},
        **problems(409, 507),
    },
    "openapi_extra": FILE_BODY,
}
"""Options of a route that receives a file."""


ContentLength = Annotated[str | None, Header(max_length=20, include_in_schema=False)]
"""The length of the body. HTTP clients set it, so the API description does not list it."""


@dataclass(frozen=True)
class UploadParameters:
    """The parameters of a request that sends a file, or a piece of it."""

    file: str
    sha256: str | None
    folder: str | None
    replace: bool
    content_range: str | None
    content_length: str | None


async def upload_parameters(
    file: Annotated[str, Query(alias="name", max_length=200, description="Name of the file.")],
    sha256: Annotated[str | None, Query(pattern="^[0-9a-fA-F]{64}$")] = None,
    folder: Annotated[str | None, Query(max_length=64)] = None,
    replace: Annotated[bool, Query()] = False,
    content_range: Annotated[str | None, Header(max_length=200)] = None,
    content_length: ContentLength = None,
) -> UploadParameters:
    """Reads the parameters on the event loop.

    If `UploadParameters` itself were the dependency, FastAPI would create it in a thread.
    """
    return UploadParameters(file, sha256, folder, replace, content_range, content_length)


InUpload = Annotated[UploadParameters, Depends(upload_parameters)]


async def receive_file(
    request: Request, upload: UploadParameters, context: Context, folder: Path
) -> Path | uploads.Received:
    """Adds the body to the received part of the file in `folder`.

    Returns the path of the file if it is complete now, otherwise what has been received.

    Raises:
        Problem: For the same reasons as in `uploads.receive`.
    """
    limit = context.settings.upload_bytes
    piece = uploads.piece_of(upload.content_range, upload.content_length, limit=limit)
    await context.writes.run(partial(uploads.remove_abandoned, context.settings.uploads_folder))
    part = folder / f"{upload.file}{uploads.PART}"
    return await uploads.receive(part, piece, request.stream(), limit=limit)


def incomplete(target: str, received: uploads.Received) -> UploadRead:
    """The answer to a piece that does not complete its file."""
    return UploadRead(
        dataset=target, name=received.name, received=received.received, size=received.size, files=[]
    )
