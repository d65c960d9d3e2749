"""Existing tokenizers in the folder `tokenizers` of the data directory."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from api.errors import Problem
from api.received_files import full_disk_as_problem
from core.errors import TokenizerInvalid
from core.spec.job import NAME, JobSpec
from core.storage.model_files import TOKENIZER_FILE
from core.storage.rundir import publish_folder
from core.tokenizer.existing import ExistingTokenizer, read_existing

FOLDER = "tokenizers"


@dataclass(frozen=True)
class TokenizerFile:
    """A tokenizer that specs can name."""

    name: str
    vocab_size: int | None
    """Number of entries; None if the tokenizer is not usable."""
    error: str | None
    """The reason why the tokenizer is not usable; None if it is usable."""


def tokenizer_files(data_dir: Path) -> list[TokenizerFile]:
    """All tokenizers, ordered by name."""
    folder = data_dir / FOLDER
    if not folder.is_dir():
        return []
    found = []
    for path in sorted(folder.iterdir()):
        if path.is_dir() and NAME.match(path.name):
            try:
                size = read_existing(path).vocab_size
                found.append(TokenizerFile(path.name, size, None))
            except TokenizerInvalid as error:
                found.append(TokenizerFile(path.name, None, error.message))
    return found


def add_tokenizer(whole: Path, data_dir: Path, name: str) -> TokenizerFile:
    """Moves an uploaded `tokenizer.json` into a new folder. In any case the upload is removed.

    Raises:
        TokenizerInvalid: If training runs cannot use the tokenizer.
        Problem: 409 if there is a tokenizer of that name, 507 on a full disk.
    """
    try:
        vocab_size = _read(whole, TOKENIZER_FILE).vocab_size
        target = data_dir / FOLDER / name
        if target.exists():
            detail = f"there is a tokenizer {name} already; delete it first, or choose another name"
            raise Problem(409, "tokenizer_exists", detail)
        with full_disk_as_problem():
            target.parent.mkdir(exist_ok=True)
            publish_folder(target, lambda folder: _move(whole, folder / TOKENIZER_FILE))
    finally:
        whole.unlink(missing_ok=True)
    return TokenizerFile(name, vocab_size, None)


def remove_tokenizer(data_dir: Path, name: str) -> None:
    """Removes a tokenizer. A run that has prepared its tokenizer has its own copy.

    Raises:
        Problem: 404 if there is no such tokenizer.
    """
    folder = data_dir / FOLDER / name
    if not folder.is_dir():
        raise Problem(404, "tokenizer_unknown", f"there is no tokenizer {name!r}")
    shutil.rmtree(folder)


def with_existing_tokenizer(spec: JobSpec, data_dir: Path) -> JobSpec:
    """The spec with the vocabulary size of the tokenizer that `tokenizer.path` names.

    Raises:
        Problem: 422 if that tokenizer is missing, or if training runs cannot use it.
    """
    path = spec.tokenizer.path
    if path is None:
        return spec
    try:
        vocab_size = _read(data_dir / path, path).vocab_size
    except TokenizerInvalid as error:
        detail = f"tokenizer.path: {error.message}. {error.hint}"
        faults: list[tuple[str, str, object]] = [("tokenizer.path", error.message, path)]
        raise Problem(422, error.code, detail, fields=faults) from error
    tokenizer = spec.tokenizer.model_copy(update={"vocab_size": vocab_size})
    return spec.model_copy(update={"tokenizer": tokenizer})


def _read(path: Path, name: str) -> ExistingTokenizer:
    try:
        return read_existing(path)
    except TokenizerInvalid as error:
        error.replace(path.name, name)
        raise


def _move(whole: Path, target: Path) -> None:
    shutil.move(whole, target)
