"""Reads classification tasks for fine-tuning from the files of the official pipeline.

A folder such as `glue_filtered` has `TASK.train.jsonl` and `TASK.valid.jsonl` for each task. The
fields of the lines determine the format of a task. The text of an example is the same as in
`evaluation_pipeline/finetune/dataset.py` of babylm/evaluation-pipeline-2025. This module does not
import torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import EvaluationInvalid
from core.evaluation.items import Json, text_field
from core.evaluation.json_lines import json_lines
from core.spec.evaluation import TASK_NAME
from core.spec.finetune import FinetuneSpec

TRAIN, VALID = ".train.jsonl", ".valid.jsonl"
KIND = "classification"
MAX_LABELS = 1000


@dataclass(frozen=True)
class Format:
    """The rule that makes the text of an example from the fields of its line."""

    first: tuple[str, ...]
    """Names of the fields of the first text, which `template` joins."""
    second: tuple[str, ...] = ()
    """Names of the fields of the second text. If empty, the tokenizer receives only one text."""
    template: str | None = None
    """Template of the first text. If None, spaces join the fields."""

    @property
    def expected(self) -> str:
        """Description of a valid line, for error messages."""
        return f"a JSON object with {', '.join((*self.first, *self.second))} and an integer label"

    def text(self, entry: Json) -> tuple[str, ...]:
        """The one or two texts of a line."""
        parts = [text_field(entry, name) for name in self.first]
        first = " ".join(parts) if self.template is None else self.template.format(*parts)
        if not self.second:
            return (first,)
        return first, " ".join(text_field(entry, name) for name in self.second)


FORMATS: tuple[Format, ...] = (
    Format(("question", "answer"), ("paragraph",), "Question: {} Answer: {}"),  # MultiRC
    Format(
        ("span2_text", "span1_text"), ("text",), 'Does "{}" refer to "{}" in this passage?'
    ),  # WSC
    Format(("question",), ("passage",)),  # BoolQ
    Format(("question",), ("sentence",)),  # QNLI
    Format(("question1",), ("question2",)),  # QQP
    Format(("premise",), ("hypothesis",)),  # MNLI
    Format(("sentence1",), ("sentence2",)),  # MRPC, RTE
    Format(("sentence",)),  # CoLA, SST-2
)
"""Known formats. The format of a file is the first of them whose fields are all in the first line
of the file."""


@dataclass(frozen=True)
class Examples:
    """The examples of a file."""

    texts: list[tuple[str, ...]]
    labels: list[int]


@dataclass(frozen=True)
class ClassificationTask:
    """A task: the examples for training, and the examples for validation."""

    name: str
    train: Examples
    valid: Examples

    @property
    def num_labels(self) -> int:
        """Number of classes, at least two."""
        return max(1, *self.train.labels, *self.valid.labels) + 1


def classification_tasks(folder: Path) -> list[str]:
    """The names of the tasks in a folder that have training and validation examples."""
    names = [path.name.removesuffix(TRAIN) for path in folder.glob(f"*{TRAIN}") if path.is_file()]
    return sorted(
        name for name in names if TASK_NAME.match(name) and (folder / (name + VALID)).is_file()
    )


def choose_tasks(folder: Path, tasks: Sequence[str] | None) -> list[str]:
    """The tasks of a folder that `tasks` names, or all tasks if it names none.

    Raises:
        EvaluationInvalid: If a task does not exist; the message lists the existing tasks.
    """
    known = classification_tasks(folder)
    if not known:
        raise EvaluationInvalid(
            f"the folder evaluations/{folder.name} of the data directory does not exist or has no "
            f"classification task: put TASK{TRAIN} and TASK{VALID} into it"
        )
    missing = [task for task in tasks or () if task not in known]
    if missing:
        raise EvaluationInvalid(
            f"{folder.name} has no task {', '.join(missing)}; it has: {', '.join(known)}"
        )
    return list(tasks or known)


def read_task(folder: Path, name: str) -> ClassificationTask:
    """A task with all its examples.

    Raises:
        EvaluationInvalid: If a line cannot be read, or the two files differ in format. The message
            names the file, the line and what is expected.
    """
    paths = folder / (name + TRAIN), folder / (name + VALID)
    formats = [_format_of(path) for path in paths]
    if formats[0] is not formats[1]:
        raise EvaluationInvalid(
            f"{paths[0].name} begins with {formats[0].expected}, and {paths[1].name} begins with "
            f"{formats[1].expected}; both files of a task must have the same fields"
        )
    train, valid = (_read(path, formats[0]) for path in paths)
    return ClassificationTask(name, train, valid)


def require_trainable(spec: FinetuneSpec, task: ClassificationTask) -> None:
    """Checks that the settings of a spec fit the examples of a task.

    Raises:
        EvaluationInvalid: If they do not fit; the message names the field and the remedy.
    """
    settings, count = spec.settings_of(task.name), len(task.train.labels)
    if count < settings.batch_size:
        raise EvaluationInvalid(
            f"{task.name}{TRAIN} has {count} examples and finetune.batch_size is "
            f"{settings.batch_size}: an epoch would have no step; lower finetune.batch_size"
        )
    if settings.metric == "f1" and task.num_labels > 2:
        raise EvaluationInvalid(
            f"{task.name} has {task.num_labels} labels and finetune.metric is f1, which needs two; "
            "use accuracy or mcc"
        )


def _format_of(path: Path) -> Format:
    for number, entry in json_lines(path):
        found = next(
            (each for each in FORMATS if all(f in entry for f in (*each.first, *each.second))), None
        )
        if found is None:
            known = "; ".join(each.expected for each in FORMATS)
            raise EvaluationInvalid(
                f"{path.name}, line {number} is of no known format (its fields: "
                f"{', '.join(list(entry)[:20])[:200] or 'none'}); expected one of {known}"
            )
        return found
    raise EvaluationInvalid(f"{path.name} contains no example")


def _read(path: Path, form: Format) -> Examples:
    texts, labels = [], []
    for number, entry in json_lines(path):
        try:
            text = form.text(entry)
            if not any(text):
                raise ValueError("its text is empty")
            labels.append(_label(entry))
        except KeyError as error:
            reason = f"has no {error.args[0]}"
        except (TypeError, ValueError) as error:
            reason = f"is not an example: {error}"
        else:
            texts.append(text)
            continue
        raise EvaluationInvalid(f"{path.name}, line {number} {reason}; expected {form.expected}")
    return Examples(texts, labels)


def _label(entry: Json) -> int:
    value = entry["label"]
    if not isinstance(value, int):  # true and false count as 1 and 0
        raise TypeError(f"label is {str(value)[:50]!r} and must be an integer")
    if not 0 <= value < MAX_LABELS:
        raise ValueError(f"label is {value} and must be from 0 to {MAX_LABELS - 1}")
    return int(value)
