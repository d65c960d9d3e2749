"""What can be evaluated: folders `evaluations/<task>` of the data directory. No torch."""

import re
from collections.abc import Sequence
from pathlib import Path

from core.errors import EvaluationInvalid
from core.evaluation.registry import recognise, task_files

FOLDER = "evaluations"
TASK_NAME = re.compile(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,39}\Z")
"""A folder name; short enough for `evaluation/<task>` to be the name of a metric."""


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
