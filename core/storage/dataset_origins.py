"""The origins of the files of a dataset: repositories on the Hugging Face Hub and their commits.

The origins are in the file `.origins.json` of the dataset. A file without an entry has no known
origin.
"""

import json
from collections.abc import Collection, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from core.storage.rundir import publish_file

ORIGINS_FILE = ".origins.json"
MAX_FILES = 10_000


class DatasetOrigin(BaseModel):
    """The repository on the Hugging Face Hub that files of a dataset come from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    repository: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$",
        max_length=200,
        description="OWNER/NAME of a dataset.",
    )
    commit: str = Field(pattern=r"^[0-9a-f]{40}$", description="Commit of the files.")
    revision: str | None = Field(
        default=None, max_length=200, description="The branch or tag that was given, if any."
    )
    split: str | None = Field(default=None, max_length=200, description="The split, if any.")
    column: str | None = Field(
        default=None, max_length=200, description="The column that became the text, if any."
    )
    licence: str | None = Field(
        default=None, max_length=200, description="The licence that the repository names."
    )
    files: list[str] = Field(
        min_length=1, max_length=MAX_FILES, description="Names of the files from this origin."
    )

    @property
    def address(self) -> str:
        """The page of the repository."""
        return f"https://huggingface.co/datasets/{self.repository}"


_ORIGINS = TypeAdapter(list[DatasetOrigin])


def read_origins(dataset: Path) -> list[DatasetOrigin]:
    """The origins of the existing files of a dataset; empty if none is known."""
    found = _recorded(dataset)
    return with_files(found, _names(dataset)) if found else []


def save_origin(dataset: Path, origin: DatasetOrigin) -> None:
    """Records an origin, which replaces earlier records of the same files."""
    others = _names(dataset) - set(origin.files)
    _save(dataset, [*with_files(_recorded(dataset), others), origin])


def forget_files(dataset: Path, names: Collection[str]) -> None:
    """Removes the records of files that were replaced or removed."""
    known = _recorded(dataset)
    kept = with_files(known, _names(dataset) - set(names)) if known else []
    if kept != known:
        _save(dataset, kept)


def with_files(origins: Sequence[DatasetOrigin], names: Collection[str]) -> list[DatasetOrigin]:
    """The origins with only the files that have these names; origins without files are left out."""
    kept = [
        each.model_copy(update={"files": [name for name in each.files if name in names]})
        for each in origins
    ]
    return [each for each in kept if each.files]


def _recorded(dataset: Path) -> list[DatasetOrigin]:
    try:
        return _ORIGINS.validate_json((dataset / ORIGINS_FILE).read_bytes())
    except (FileNotFoundError, ValueError):  # a file that was edited by hand may be invalid
        return []


def _names(dataset: Path) -> set[str]:
    return {path.name for path in dataset.iterdir()}


def _save(dataset: Path, origins: Sequence[DatasetOrigin]) -> None:
    if not origins:
        (dataset / ORIGINS_FILE).unlink(missing_ok=True)
        return
    content = [each.model_dump(mode="json") for each in origins]
    publish_file(dataset / ORIGINS_FILE, json.dumps(content, indent=1).encode())
