"""The six BabyLM sources, and the files of a dataset folder."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from core.corpus.cleaners import PLAIN, STANDARD, UPSTREAM
from core.corpus.formats.rows import RowOptions
from core.corpus.names import (
    ACCEPTED,
    Format,
    reason_left_out,
    shown_name,
    text_format,
    text_stem,
)
from core.errors import CorpusMissing, first_names
from core.spec.job import DataSpec

BABYLM_SOURCES = tuple(name for name in UPSTREAM if name != PLAIN)
"""Names of the six BabyLM sources. A dataset that has only some of them causes a warning."""
SOURCE_OF_SUFFIX = {".cha": "childes", ".srt": "open_subtitles", ".vtt": "open_subtitles"}
"""Source by suffix, for files with a stem that is not the name of a source."""

MAX_LISTED = 20
"""Maximum number of sources that an error message lists."""
DEFAULT_ROWS = RowOptions()


@dataclass(frozen=True)
class SourceFile:
    """A text file of a dataset."""

    path: Path
    source: str
    """Name of the source, such as `childes`, which selects the cleaner."""
    stem: str
    """The shown name without the suffix, which is also the name of the cleaned file."""
    bytes: int
    rows: RowOptions = DEFAULT_ROWS
    """How the rows become text, if the file has rows."""

    @property
    def name(self) -> str:
        """Name of the file as users see it (`shown_name`)."""
        return shown_name(self.path.name)

    @property
    def format(self) -> Format:
        """The format that the name of the file gives."""
        found = text_format(self.path.name)
        assert found is not None
        return found


@dataclass(frozen=True)
class LeftOut:
    """An entry of a dataset folder that is not used."""

    name: str
    reason: str


def find_source_files(
    folder: Path, *, sources: Sequence[str] | None = None, rows: RowOptions | None = None
) -> list[SourceFile]:
    """The text files of a dataset folder, in the order of their names.

    Args:
        folder: The dataset.
        sources: Stems of the files to return; each must exist. None: all files.
        rows: How the rows of files such as JSON lines become text.

    Raises:
        CorpusMissing: If the folder or a named file is missing, or if there is no text file.
    """
    if not folder.is_dir():
        raise CorpusMissing(f"there is no dataset folder {folder}")
    files, _ = scan_folder(folder)
    if not files:
        raise CorpusMissing(f"{folder} has no text file; accepted are {ACCEPTED}")
    stems = [file.stem for file in files]
    for name in sources or ():
        if name not in stems:
            raise CorpusMissing(
                f"{folder} has no file {name}.train, {name}.dev or {name}.txt; its sources are "
                f"{first_names(stems, most=MAX_LISTED)}"
            )
    return [
        replace(file, rows=rows or file.rows)
        for file in files
        if sources is None or file.stem in sources
    ]


def scan_folder(folder: Path) -> tuple[list[SourceFile], list[LeftOut]]:
    """The text files of a folder, and its entries that are not used; both in order of names."""
    files: dict[str, SourceFile] = {}
    left_out = []
    for path in sorted(folder.iterdir()):
        stem = text_stem(path.name)
        if path.is_dir():
            reason = "is a folder"
        elif not path.is_file():
            reason = "is not a regular file, or is a broken link"
        elif stem is None:
            reason = reason_left_out(path.name)
        elif stem in files:
            reason = f"is of the same source as {files[stem].name}"
        else:
            files[stem] = SourceFile(path, _source(path.name, stem), stem, path.stat().st_size)
            continue
        left_out.append(LeftOut(shown_name(path.name), reason))
    return list(files.values()), left_out


def _source(name: str, stem: str) -> str:
    if stem.lower() in STANDARD:
        return stem.lower()
    found = text_format(name)
    return SOURCE_OF_SUFFIX.get(found.suffix, PLAIN) if found else PLAIN


def row_options(data: DataSpec) -> RowOptions:
    """How the rows of files become text."""
    return RowOptions(column=data.text_column, mode=data.rows)


def missing_sources(files: Sequence[SourceFile]) -> list[str]:
    """The BabyLM sources that are missing; empty if none of the six is present."""
    present = {file.source for file in files} & set(BABYLM_SOURCES)
    return [name for name in BABYLM_SOURCES if name not in present] if present else []
