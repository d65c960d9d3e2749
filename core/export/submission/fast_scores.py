"""Scores the predictions for the fast tasks by subset, as the official `collate_preds.py` does.

The fast tasks are the tasks on which each milestone is evaluated. Most of them are small parts of
the tasks for the final model.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import EvaluationInvalid
from core.evaluation.aoa import Aoa
from core.evaluation.items import Item, ItemKind
from core.evaluation.reading import Reading, ReadingRow
from core.evaluation.registry import read_items, read_reading, recognise, task_files
from core.evaluation.statistics import spearman
from core.evaluation.summary import summarise_reading

Predictions = dict[str, dict[str, list[dict[str, Any]]]]
"""The predictions of a task by subset, in the format of `core.evaluation.predictions`."""


@dataclass(frozen=True)
class FastTask:
    """The parsed files of a fast task. They are the same for all checkpoints."""

    name: str
    kind: ItemKind | Reading
    subsets: dict[str, list[Item]]
    """The items by subset; empty for reading times."""
    rows: list[ReadingRow]
    """The rows of reading times; empty for the other kinds."""

    @classmethod
    def read(cls, folder: Path) -> "FastTask":
        """The task in a folder.

        Raises:
            EvaluationInvalid: If a file cannot be read.
        """
        kind, files = recognise(folder), task_files(folder)
        if isinstance(kind, Reading):
            return cls(folder.name, kind, {}, read_reading(files[0]))
        assert not isinstance(kind, Aoa)  # Aoa is no fast task
        subsets: dict[str, list[Item]] = {}
        for path in files:
            for item in read_items(kind, path):
                subsets.setdefault(item.subset, []).append(item)
        return cls(folder.name, kind, subsets, [])


def fast_scores(task: FastTask, predictions: Predictions) -> dict[str, float]:
    """The score of each subset.

    Args:
        task: The task.
        predictions: Predictions in the official format.

    Raises:
        EvaluationInvalid: If the predictions do not belong to the files of the task.
    """
    if isinstance(task.kind, Reading):
        return _reading_scores(task, predictions)
    scores = {}
    for name, entry in predictions.items():
        entries, items = entry["predictions"], task.subsets.get(name, [])
        if len(entries) != len(items):
            raise EvaluationInvalid(
                f"the predictions of {task.name} have {len(entries):,} items of {name}, and its "
                f"files have {len(items):,}: evaluate the checkpoint again"
            )
        if task.kind.metric == "spearman":
            ratios = [item.human_ratio or 0.0 for item in items]
            scores[name] = spearman([each["prob"] for each in entries], ratios)
        else:
            right = sum(
                each["pred"].strip() == item.candidates[0].prediction.strip()
                for each, item in zip(entries, items, strict=True)
            )
            scores[name] = right / len(items)
    return scores


def _reading_scores(task: FastTask, predictions: Predictions) -> dict[str, float]:
    rows = task.rows
    entries = predictions["reading"]["predictions"]
    if len(entries) != len(rows):
        raise EvaluationInvalid(
            f"the predictions of {task.name} have {len(entries):,} words, and its file has "
            f"{len(rows):,}: evaluate the checkpoint again"
        )
    previous = [math.nan if each["prev_pred"] is None else each["prev_pred"] for each in entries]
    result = summarise_reading(
        rows, [each["pred"] for each in entries], previous, seconds=0.0
    ).result
    by_name = {each.name: each.score for each in result.paradigms}
    return {"spr": by_name["self_paced_reading"], "rt": by_name["eye_tracking"]}
