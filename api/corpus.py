"""Datasets as the API sees them: the folders below the data directory."""

from functools import lru_cache
from pathlib import Path

from api.errors import Problem
from core.corpus.sources import SourceFile, find_source_files
from core.corpus.stage import count_words
from core.errors import CorpusMissing
from core.spec import NAME, JobSpec


def dataset_names(data_dir: Path) -> list[str]:
    """Folders that hold text, by name."""
    if not data_dir.is_dir():
        return []
    return sorted(
        path.name
        for path in data_dir.iterdir()
        if path.is_dir() and NAME.match(path.name) and _has_text(path)
    )


def dataset_files(data_dir: Path, name: str) -> list[SourceFile]:
    """The files of a dataset.

    Raises:
        CorpusMissing: If there is no such dataset.
    """
    if not NAME.match(name):
        raise CorpusMissing(f"{name!r} is not the name of a dataset")
    return find_source_files(data_dir / name)


def file_words(file: SourceFile) -> int:
    """White-space words of a file; counted once for each state of it."""
    return _count(file.path, file.bytes, file.path.stat().st_mtime_ns)


@lru_cache(maxsize=4096)
def _count(path: Path, size: int, changed_at: int) -> int:
    del size, changed_at
    return count_words(path)


def check_corpus(spec: JobSpec, data_dir: Path) -> None:
    """Refuses a spec whose text is not there, naming the field.

    Raises:
        Problem: 422.
    """
    names = dataset_names(data_dir)
    known = ", ".join(names) if names else "none so far"
    faults: list[tuple[str, str, object]] = []
    for field, name in (("dataset", spec.data.dataset), ("validation", spec.data.validation)):
        if name is None:
            continue
        if name not in names:
            message = f"there is no dataset of that name; there are: {known}"
            faults.append((f"data.{field}", message, name))
            continue
        stems = [file.stem for file in dataset_files(data_dir, name)]
        missing = [stem for stem in spec.data.sources or () if stem not in stems]
        if missing:
            message = f"{name} has no {', '.join(missing)}; it has: {', '.join(stems)}"
            faults.append(("data.sources", message, spec.data.sources))
    if faults:
        detail = "; ".join(f"{field}: {message}" for field, message, _ in faults)
        raise Problem(422, "corpus_unknown", detail, fields=faults)


def _has_text(folder: Path) -> bool:
    try:
        return bool(find_source_files(folder))
    except CorpusMissing:
        return False
