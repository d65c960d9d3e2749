"""What can be evaluated: folders `evaluations/<task>` of the data directory. No torch."""

from collections.abc import Sequence
from pathlib import Path

from core.errors import EvaluationInvalid
from core.evaluation.registry import recognise, task_files
from core.spec.evaluation import TASK_NAME
from core.storage.cache import fingerprint
from core.storage.file_hashes import hash_file

FOLDER = "evaluations"


def task_names(data_dir: Path) -> list[str]:
    """The tasks that are there, by name."""
    folder = data_dir / FOLDER
    if not folder.is_dir():
        return []
    return sorted(
        path.name for path in folder.iterdir() if TASK_NAME.match(path.name) and task_files(path)
    )


def require_tasks(data_dir: Path, tasks: Sequence[str]) -> None:
    """Refuses tasks that are not there, or of which a file does not begin with a line of a task.

    Raises:
        EvaluationInvalid: Naming them, and those that are; or the file, the line and what is
            expected.
    """
    names = task_names(data_dir)
    missing = [task for task in tasks if task not in names]
    if missing:
        known = ", ".join(names) if names else "none so far"
        raise EvaluationInvalid(
            f"there is no evaluation task {', '.join(missing)}; there are: {known}"
        )
    for task in tasks:
        try:
            recognise(data_dir / FOLDER / task)
        except EvaluationInvalid as error:
            raise EvaluationInvalid(f"task {task} cannot be read: {error.message}") from error


def task_content(data_dir: Path, task: str) -> str:
    """A hash of the names and contents of a task's files."""
    files = task_files(data_dir / FOLDER / task)
    return fingerprint(
        "evaluation",
        version=1,
        parameters=[path.name for path in files],
        inputs=[hash_file(path) for path in files],
    )
