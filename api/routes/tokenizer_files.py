"""Routes that upload, list and remove existing tokenizers."""

from pathlib import Path
from typing import Annotated

from fastapi import Path as PathParameter
from fastapi import Request, Response

from api import uploads
from api.deps import InContext
from api.description import problems
from api.errors import Problem
from api.routing import ThreadRouter
from api.schemas_evaluations import TokenizerFilePage, TokenizerFileRead
from api.tokenizer_files import (
    FOLDER,
    TokenizerFile,
    add_tokenizer,
    remove_tokenizer,
    tokenizer_files,
)
from api.upload_request import FILE_BODY, ContentLength
from core.tokenizer.existing import MAX_FILE_BYTES

router = ThreadRouter("tokenizers")

TokenizerName = Annotated[
    str,
    PathParameter(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="Name of a tokenizer."),
]


@router.get("/tokenizer-files")
def list_tokenizer_files(context: InContext) -> TokenizerFilePage:
    """The tokenizers of the data directory; tokenizers that jobs trained are not listed.

    A spec uses one with `tokenizer: {"path": "tokenizers/NAME"}`.
    """
    found = tokenizer_files(context.settings.data_dir)
    return TokenizerFilePage(data=[_read(each) for each in found])


@router.post(
    "/tokenizer-files/{name}",
    status_code=201,
    responses=problems(409, 507),
    openapi_extra=FILE_BODY,
)
async def add_tokenizer_file(
    name: TokenizerName,
    request: Request,
    context: InContext,
    content_length: ContentLength = None,
) -> TokenizerFileRead:
    """Uploads an existing tokenizer. The body is its `tokenizer.json`.

    The tokenizer must be a byte-level BPE that splits text into words as GPT-2 does. A spec names
    it in `tokenizer.path`.
    """
    piece = uploads.piece_of(None, content_length, limit=MAX_FILE_BYTES)
    data_dir = context.settings.data_dir
    part = context.settings.uploads_folder / FOLDER / f"{name}{uploads.PART}"
    whole = await uploads.receive(part, piece, request.stream(), limit=MAX_FILE_BYTES)
    if not isinstance(whole, Path):
        raise Problem(400, "upload_broken", "the body ended early; send the file again")
    return _read(await context.files.run(lambda: add_tokenizer(whole, data_dir, name)))


@router.delete("/tokenizer-files/{name}", status_code=204)
def delete_tokenizer_file(name: TokenizerName, context: InContext) -> Response:
    """Removes a tokenizer of the data directory. A run that has copied it keeps the copy."""
    remove_tokenizer(context.settings.data_dir, name)
    return Response(status_code=204)


def _read(file: TokenizerFile) -> TokenizerFileRead:
    return TokenizerFileRead(
        name=file.name, path=f"{FOLDER}/{file.name}", vocab_size=file.vocab_size, error=file.error
    )
