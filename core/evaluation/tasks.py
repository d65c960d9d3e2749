"""Evaluation tasks: the folders `evaluations/<task>` of the data directory. Imports no torch."""

from collections.abc import Sequence
from pathlib import Path

from core.errors import EvaluationInvalid
from core.evaluation.registry import recognise, task_files
from core.spec.evaluation import TASK_NAME
from core.storage.cache import fingerprint
from core.storage.file_hashes import hash_file

FOLDER = "evaluations"


def task_names(data_dir: Path) -> list[str]:
    """The names of the existing tasks."""
    folder = data_dir / FOLDER
    if not folder.is_dir():
        return []
    return sorted(
        path.name for path in folder.iterdir() if TASK_NAME.match(path.name) and task_files(path)
    )


def require_tasks(data_dir: Path, tasks: Sequence[str]) -> None:
    """Checks that all tasks exist and that each file begins with a valid line.

    Raises:
        EvaluationInvalid: If a task is missing or invalid. The message names the missing and the
            existing tasks, or the file, the line and the expected format.
    """
    names = task_names(data_dir)
    missing = [task for task in tasks if task not in names]
    if missing:
        known = ", ".join(names) or "none"
        raise EvaluationInvalid(
            f"the evaluation task {', '.join(map(repr, missing))} does not exist; "
            f"existing tasks: {known}"
        )
    for task in tasks:
        try:
            recognise(data_dir / FOLDER / task)
        except EvaluationInvalid as error:
            raise EvaluationInvalid(
                f"the evaluation task {task!r} cannot be read: {error.message}"
            ) from error


def task_content(data_dir: Path, task: str) -> str:
    """A hash of the names and contents of a task's files."""
    files = task_files(data_dir / FOLDER / task)
    return fingerprint(
        "evaluation",
        version=1,
        parameters=[path.name for path in files],
        inputs=[hash_file(path) for path in files],
    )
