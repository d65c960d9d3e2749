"""Reads files with one JSON object per line. Imports neither torch nor numpy."""

import json
from collections.abc import Iterator
from pathlib import Path

from core.errors import EvaluationInvalid
from core.evaluation.items import Json


def json_lines(path: Path) -> Iterator[tuple[int, Json]]:
    """Line numbers and JSON objects of the lines that are not blank.

    Raises:
        EvaluationInvalid: If the file does not exist, or a line is no JSON object. The message
            names the file and the line.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, _entry(path, number, line)
    except FileNotFoundError as error:
        raise EvaluationInvalid(f"the task file {path.name} was removed") from error


def _entry(path: Path, number: int, line: bytes) -> Json:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise EvaluationInvalid(
            f"{path.name}, line {number} is not JSON; expected a JSON object in each line"
        ) from error
    if not isinstance(entry, dict):
        raise EvaluationInvalid(
            f"{path.name}, line {number} is not a JSON object; expected one in each line"
        )
    return entry
