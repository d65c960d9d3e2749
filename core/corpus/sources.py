"""The six BabyLM sources, and the files of a dataset folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.corpus.cleaners import PLAIN, STANDARD, UPSTREAM
from core.errors import CorpusMissing

BABYLM_SOURCES = tuple(name for name in UPSTREAM if name != PLAIN)
"""A dataset that has one of them and lacks another causes a warning."""
SUFFIXES = (".train.txt", ".dev.txt", ".test.txt", ".train", ".dev", ".test", ".txt")
"""Since 2025 the training files are also handed out as `<name>.train.txt`."""


@dataclass(frozen=True)
class SourceFile:
    """A text file of a dataset."""

    path: Path
    source: str
    """Name of its cleaner."""
    stem: str
    """Its name without the suffix; the name of its cleaned file."""
    bytes: int


def find_source_files(folder: Path, *, sources: Sequence[str] | None = None) -> list[SourceFile]:
    """The text files of a dataset folder, by name.

    Args:
        folder: The dataset.
        sources: Stems to restrict them to; each must be there.

    Raises:
        CorpusMissing: If the folder, a named file, or every text file is missing.
    """
    if not folder.is_dir():
        raise CorpusMissing(f"there is no dataset folder {folder}")
    found: dict[str, SourceFile] = {}
    for path in sorted(folder.iterdir()):
        stem = _stem(path.name)
        if stem and path.is_file():
            source = stem if stem in STANDARD else PLAIN
            found.setdefault(stem, SourceFile(path, source, stem, path.stat().st_size))
    for name in sources or ():
        if name not in found:
            raise CorpusMissing(f"{folder} has no file {name}.train, {name}.dev or {name}.txt")
    if not found:
        raise CorpusMissing(f"{folder} has no text file; accepted are {', '.join(SUFFIXES)}")
    return [file for stem, file in found.items() if sources is None or stem in sources]


def missing_sources(files: Sequence[SourceFile]) -> list[str]:
    """Which of the six are absent where at least one of them is there."""
    present = {file.source for file in files} & set(BABYLM_SOURCES)
    return [name for name in BABYLM_SOURCES if name not in present] if present else []


def _stem(name: str) -> str | None:
    for suffix in SUFFIXES:
        if name.endswith(suffix) and not name.startswith("."):
            return name.removesuffix(suffix) or None
    return None
