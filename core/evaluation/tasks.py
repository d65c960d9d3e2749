"""What can be evaluated: folders `evaluations/<task>` of the data directory, one paradigm a file.

A line is a JSON object with `sentence_good` and `sentence_bad`, and may say its phenomenon as
`linguistics_term` (BLiMP's own files: Warstadt et al., TACL 8, 2020) or `phenomenon`. No torch.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from core.errors import EvaluationInvalid
from core.spec.evaluation import TASK_NAME
from core.storage.cache import fingerprint
from core.storage.file_hashes import hash_file

FOLDER = "evaluations"
PHENOMENON_FIELDS = ("linguistics_term", "phenomenon")


@dataclass(frozen=True)
class Pair:
    """Two sentences that differ in one point; the good one should be likelier."""

    good: str
    bad: str


@dataclass(frozen=True)
class Paradigm:
    """The pairs of one file."""

    name: str
    phenomenon: str | None
    pairs: tuple[Pair, ...]


def task_names(data_dir: Path) -> list[str]:
    """The tasks that are there, by name."""
    folder = data_dir / FOLDER
    if not folder.is_dir():
        return []
    return sorted(
        path.name
        for path in folder.iterdir()
        if TASK_NAME.match(path.name) and paradigm_files(path)
    )


def require_tasks(data_dir: Path, tasks: Sequence[str]) -> None:
    """Refuses tasks that are not there.

    Raises:
        EvaluationInvalid: Naming them, and those that are.
    """
    names = task_names(data_dir)
    missing = [task for task in tasks if task not in names]
    if missing:
        known = ", ".join(names) if names else "none so far"
        raise EvaluationInvalid(
            f"there is no evaluation task {', '.join(missing)}; there are: {known}"
        )


def paradigm_files(folder: Path) -> list[Path]:
    """The files of a task, by name."""
    return sorted(path for path in folder.glob("*.jsonl") if path.is_file())


def task_content(data_dir: Path, task: str) -> str:
    """A hash of the names and contents of a task's files."""
    files = paradigm_files(data_dir / FOLDER / task)
    return fingerprint(
        "evaluation",
        version=1,
        parameters=[path.name for path in files],
        inputs=[hash_file(path) for path in files],
    )


def read_paradigm(path: Path) -> Paradigm:
    """The pairs of a file; kept for the next slice over the same one.

    Raises:
        EvaluationInvalid: Naming the file and the line.
    """
    try:
        state = path.stat()
    except FileNotFoundError as error:
        raise EvaluationInvalid(f"{path.name} of the evaluation was removed") from error
    return _read(path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=4)
def _read(path: Path, size: int, changed_at: int) -> Paradigm:
    del size, changed_at
    pairs: list[Pair] = []
    phenomenon: str | None = None
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                pair, of = _parse(path, number, line)
                pairs.append(pair)
                phenomenon = phenomenon or of
    if not pairs:
        raise EvaluationInvalid(f"{path.name} holds no pair")
    return Paradigm(path.stem, phenomenon, tuple(pairs))


def _parse(path: Path, number: int, line: bytes) -> tuple[Pair, str | None]:
    try:
        entry = json.loads(line)
        pair = Pair(entry["sentence_good"], entry["sentence_bad"])
    except (ValueError, KeyError, TypeError) as error:
        raise EvaluationInvalid(
            f"{path.name}, line {number} is no JSON object with sentence_good and sentence_bad"
        ) from error
    if not isinstance(pair.good, str) or not isinstance(pair.bad, str):
        raise EvaluationInvalid(f"{path.name}, line {number}: a sentence must be a text")
    named = (entry.get(field) for field in PHENOMENON_FIELDS)
    return pair, next((each for each in named if isinstance(each, str)), None)
