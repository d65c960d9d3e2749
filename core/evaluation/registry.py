"""Recognises the kind of a task by the content of its files. Imports neither torch nor numpy."""

import json
from collections.abc import Sequence
from pathlib import Path

from core.errors import EvaluationInvalid
from core.evaluation.aoa import Aoa, WordInContext
from core.evaluation.classification import classification_tasks
from core.evaluation.comps import Comps
from core.evaluation.entity_tracking import EntityTracking
from core.evaluation.ewok import Ewok
from core.evaluation.items import Item, ItemKind, Json
from core.evaluation.json_lines import json_lines
from core.evaluation.minimal_pairs import MinimalPairs
from core.evaluation.reading import Reading, ReadingRow
from core.evaluation.wug import Wug

ITEM_KINDS: tuple[ItemKind, ...] = (MinimalPairs(), Ewok(), EntityTracking(), Wug(), Comps())
READING = Reading()
AOA = Aoa()
SUFFIXES = (".jsonl", ".csv", ".json")
"""Suffixes of task files. All files of a task have the same suffix: the first of these suffixes
that occurs in the folder of the task."""

Kind = ItemKind | Reading | Aoa


def kind_names() -> list[str]:
    """The names of all kinds."""
    return [*(kind.name for kind in ITEM_KINDS), READING.name, AOA.name]


def task_files(folder: Path) -> list[Path]:
    """The files of a task, sorted by name."""
    for suffix in SUFFIXES:
        files = sorted(path for path in folder.glob(f"*{suffix}") if path.is_file())
        if files:
            return files
    return []


def recognise(folder: Path) -> Kind:
    """The kind of a task. For `.jsonl` files, the first line of each file determines the kind.

    Raises:
        EvaluationInvalid: If the folder has no task file or has classification tasks, if a line
            cannot be read or is of no known kind, or if the files are of different kinds. The
            message names the folder or the file, and what is expected.
    """
    files = task_files(folder)
    if names := classification_tasks(folder):
        raise EvaluationInvalid(
            f"{folder.name} contains classification tasks ({', '.join(names)}), which need "
            'fine-tuning: submit a job with "task": "finetune"'
        )
    if not files:
        raise EvaluationInvalid(
            f"the evaluation task {folder.name!r} does not exist or has no .jsonl, .csv or .json "
            "file"
        )
    if files[0].suffix != ".jsonl":
        _require_one(files)
    if files[0].suffix == ".csv":
        read_reading(files[0], limit=1)
        return READING
    if files[0].suffix == ".json":
        read_words(files[0])
        return AOA
    kinds = [_kind_of_file(path) for path in files]
    for path, kind in zip(files, kinds, strict=True):
        if kind is not kinds[0]:
            raise EvaluationInvalid(
                f"{path.name} is of the kind {kind.name} and {files[0].name} of the kind "
                f"{kinds[0].name}; put the files of different tasks into different folders"
            )
    return kinds[0]


def read_items(kind: ItemKind, path: Path) -> list[Item]:
    """All items of a file.

    Raises:
        EvaluationInvalid: If a file cannot be read; the message names the file and the line.
    """
    items = [_parse(kind, path, number, entry) for number, entry in json_lines(path)]
    if not items:
        raise _empty(path)
    return items


def read_reading(path: Path, *, limit: int | None = None) -> list[ReadingRow]:
    """The rows of a table of reading times.

    Raises:
        EvaluationInvalid: If a file cannot be read; the message names the file and the line.
    """
    try:
        missing = READING.missing_columns(path)
        rows = [] if missing else READING.read(path, limit=limit)
    except FileNotFoundError as error:
        raise EvaluationInvalid(f"the task file {path.name} was removed") from error
    except (UnicodeDecodeError, ValueError) as error:
        raise EvaluationInvalid(f"{path.name}, {error}; expected {READING.expected}") from error
    if missing:
        raise EvaluationInvalid(
            f"{path.name}, line 1 has no {', '.join(missing)}; expected {READING.expected}"
        )
    if not rows:
        raise _empty(path)
    return rows


def read_words(path: Path) -> list[WordInContext]:
    """The words of an age-of-acquisition file, each once per context.

    Raises:
        EvaluationInvalid: If the file cannot be read; the message names it and the word.
    """
    try:
        words = AOA.read(path)
    except FileNotFoundError as error:
        raise EvaluationInvalid(f"the task file {path.name} was removed") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise EvaluationInvalid(
            f"{path.name}, {where} is not JSON; expected {AOA.expected}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise EvaluationInvalid(f"{path.name}: {error}; expected {AOA.expected}") from error
    if not words:
        raise _empty(path)
    return words


def _require_one(files: Sequence[Path]) -> None:
    if len(files) > 1:
        names = ", ".join(path.name for path in files)
        raise EvaluationInvalid(
            f"a task must have one {files[0].suffix} file; this one has {names}"
        )


def _kind_of_file(path: Path) -> ItemKind:
    number, entry = next(json_lines(path), (0, {}))
    if not number:
        raise _empty(path)
    for kind in ITEM_KINDS:
        if all(field in entry for field in kind.fields):
            _parse(kind, path, number, entry)
            return kind
    known = "; ".join(f"{kind.name}: {kind.expected}" for kind in ITEM_KINDS)
    raise EvaluationInvalid(
        f"{path.name}, line {number} is of no known kind (its fields: "
        f"{', '.join(list(entry)[:20])[:200] or 'none'}); expected one of {known}"
    )


def _parse(kind: ItemKind, path: Path, number: int, entry: Json) -> Item:
    try:
        return kind.parse(entry, path.stem)
    except KeyError as error:
        reason = f"has no {error.args[0]}"
    except (TypeError, ValueError) as error:
        reason = f"is not an item of {kind.name}: {error}"
    raise EvaluationInvalid(f"{path.name}, line {number} {reason}; expected {kind.expected}")


def _empty(path: Path) -> EvaluationInvalid:
    return EvaluationInvalid(f"{path.name} contains no item")
