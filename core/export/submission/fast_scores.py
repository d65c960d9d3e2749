"""Scores predictions by subset, as `collate_preds.py` does for the fast tasks."""

import math
from pathlib import Path
from typing import Any

from core.errors import EvaluationInvalid
from core.evaluation.aoa import Aoa
from core.evaluation.items import Item
from core.evaluation.reading import Reading
from core.evaluation.registry import read_items, read_reading, recognise, task_files
from core.evaluation.statistics import spearman
from core.evaluation.summary import summarise_reading

Predictions = dict[str, dict[str, list[dict[str, Any]]]]
"""The predictions of a task by subset, in the format of `core.evaluation.predictions`."""


def fast_scores(task: Path, predictions: Predictions) -> dict[str, float]:
    """The score of each subset.

    Args:
        task: Folder with the files of the task.
        predictions: Predictions in the official format.

    Raises:
        EvaluationInvalid: If the predictions do not belong to these files.
    """
    kind = recognise(task)
    if isinstance(kind, Reading):
        return _reading_scores(task, predictions)
    assert not isinstance(kind, Aoa)  # Aoa is no fast task
    subsets: dict[str, list[Item]] = {}
    for path in task_files(task):
        for item in read_items(kind, path):
            subsets.setdefault(item.subset, []).append(item)
    scores = {}
    for name, entry in predictions.items():
        entries, items = entry["predictions"], subsets.get(name, [])
        if len(entries) != len(items):
            raise EvaluationInvalid(
                f"the predictions of {task.name} have {len(entries):,} items of {name}, and its "
                f"files have {len(items):,}: evaluate the checkpoint again"
            )
        if kind.metric == "spearman":
            ratios = [item.human_ratio or 0.0 for item in items]
            scores[name] = spearman([each["prob"] for each in entries], ratios)
        else:
            right = sum(
                each["pred"].strip() == item.candidates[0].prediction.strip()
                for each, item in zip(entries, items, strict=True)
            )
            scores[name] = right / len(items)
    return scores


def _reading_scores(task: Path, predictions: Predictions) -> dict[str, float]:
    rows = read_reading(task_files(task)[0])
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
