"""Computes how a batch of events changes the rows of a job, without accessing the database."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from core.events.types import (
    CheckpointData,
    JournalEvent,
    MetricsData,
    ProgressData,
    StageData,
    StatusData,
)

FINETUNE = "finetune/"
"""Prefix of the names of the metrics that a fine-tuning job reports."""

Row = dict[str, Any]  # values of any type by column name


@dataclass
class Projection:
    """The changes that a batch of events makes."""

    job: Row = field(default_factory=dict)
    metric_steps: dict[int, Row] = field(default_factory=dict)
    metrics: dict[tuple[str, int], Row] = field(default_factory=dict)
    checkpoints: dict[str, Row] = field(default_factory=dict)
    """For each checkpoint that the batch saved: all columns of its row. If the batch also removed
    it, the row stays, with the time of the removal, because evaluations refer to it."""
    removed: dict[str, Row] = field(default_factory=dict)
    """Changed columns of the checkpoints that an earlier batch saved and this batch removed."""


def project(
    job_id: str,
    events: Sequence[JournalEvent],
    *,
    latest_metrics: Row,
    checkpoint_step: int | None,
) -> Projection:
    """How `events` change a job that has these latest metrics and this largest checkpoint step.

    Raises:
        ValueError: If the data of an event does not match the event's type, or if an event has the
            type `status`, which only the service may write.
    """
    result = Projection()
    for event in events:
        match event.payload():
            case StageData(stage=stage):
                result.job["stage"] = stage
            case ProgressData() as progress:
                result.job |= _progress(progress)
            case MetricsData() as metrics:
                latest_metrics = _latest(latest_metrics, metrics)
                result.job |= {"latest_metrics": latest_metrics, "step": metrics.step}
                if any(name.startswith(FINETUNE) for name in metrics.values) and (
                    checkpoint_step is None or metrics.step > checkpoint_step
                ):
                    # Fine-tuning publishes no checkpoints. Instead, an attempt makes progress if it
                    # reaches a later step than all earlier attempts.
                    checkpoint_step = metrics.step
                    result.job |= {"checkpoint_step": metrics.step}
                    result.job |= {"attempts_without_checkpoint": 0}
                _add_metrics(result, job_id, event, metrics)
            case CheckpointData(action="saved") as saved:
                result.checkpoints[saved.name] = _checkpoint(job_id, event, saved)
                result.removed.pop(saved.name, None)
                if checkpoint_step is None or saved.step > checkpoint_step:
                    checkpoint_step = saved.step
                    result.job |= {"checkpoint_step": saved.step, "attempts_without_checkpoint": 0}
            case CheckpointData(action="removed") as removed:
                if removed.name in result.checkpoints:  # the batch also contains its creation
                    result.checkpoints[removed.name]["removed_at"] = event.time
                else:
                    result.removed[removed.name] = {"removed_at": event.time}
            case StatusData():
                raise ValueError("a run reported a `status` event, which only the service writes")
            case _:
                pass
    return result


def finite(value: Any) -> Any:  # any JSON value
    """The JSON value with every non-finite number replaced by null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    return value


def _progress(progress: ProgressData) -> Row:
    columns: Row = {
        "stage": progress.stage,
        "progress": progress.progress,
        "eta_seconds": finite(progress.eta_seconds),
    }
    if progress.step is not None:
        columns["step"] = progress.step
    if progress.max_steps is not None:
        columns["max_steps"] = progress.max_steps
    return columns


def _latest(before: Row, metrics: MetricsData) -> Row:
    """The newest value of each metric, and in `steps` the step at which each was measured."""
    return {
        "step": metrics.step,
        "epoch": finite(metrics.epoch),
        "tokens_seen": metrics.tokens_seen,
        "words_seen": metrics.words_seen,
        "values": before.get("values", {}) | finite(metrics.values),
        "steps": before.get("steps", {}) | dict.fromkeys(metrics.values, metrics.step),
    }


def _add_metrics(
    result: Projection, job_id: str, event: JournalEvent, metrics: MetricsData
) -> None:
    result.metric_steps[metrics.step] = {
        "job_id": job_id,
        "step": metrics.step,
        "time": event.time,
        "epoch": metrics.epoch,
        "tokens_seen": metrics.tokens_seen,
        "words_seen": metrics.words_seen,
    }
    for name, value in metrics.values.items():
        result.metrics[name, metrics.step] = {
            "job_id": job_id,
            "name": name,
            "step": metrics.step,
            "value": finite(value),
        }


def _checkpoint(job_id: str, event: JournalEvent, saved: CheckpointData) -> Row:
    return {
        "job_id": job_id,
        "name": saved.name,
        "kind": saved.kind,
        "step": saved.step,
        "tokens_seen": saved.tokens_seen,
        "words_seen": saved.words_seen,
        "validation_loss": finite(saved.validation_loss),
        "files": [file.model_dump() for file in saved.files],
        "bytes": sum(file.size for file in saved.files),
        "created_at": event.time,
        "removed_at": None,
    }
