"""Converts journal events to points, samples and checkpoint references for trackers."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from core.events.metrics import score_metric
from core.events.types import (
    CheckpointData,
    ErrorData,
    EvaluationData,
    JournalEvent,
    MetricsData,
    SampleData,
)

Status = Literal["running", "finished", "failed"]


@dataclass(frozen=True)
class Point:
    """Values by metric name at a step."""

    time: datetime
    step: int
    values: dict[str, float]


@dataclass(frozen=True)
class Sample:
    """A text that the model generated."""

    time: datetime
    step: int
    prompt: str
    text: str


@dataclass(frozen=True)
class CheckpointReference:
    """A checkpoint that was saved or removed. Trackers store its location, not its files."""

    time: datetime
    step: int
    name: str
    kind: str
    action: Literal["saved", "removed"]
    files: dict[str, str]
    """SHA-256 of each file by its path relative to the checkpoint's folder."""


Entry = Point | Sample | CheckpointReference


def entries_of(event: JournalEvent, last_steps: dict[str, int]) -> Iterator[Entry]:
    """The entries of an event; no metric has two values for one step.

    After a kill, a run repeats the steps after its last resume point. Only the first value of a
    step is sent, because most trackers cannot replace a value. The values that are sent therefore
    depend only on the journal, not on the time of the replay.

    Args:
        event: The event.
        last_steps: The last step that was sent, by metric; this function updates it.
    """
    match event.payload():
        case MetricsData() as metrics:
            position = {
                "progress/epoch": metrics.epoch,
                "progress/tokens_seen": float(metrics.tokens_seen),
                "progress/words_seen": float(metrics.words_seen),
            }
            values = {k: v for k, v in metrics.values.items() if v is not None} | position
            yield from _new(event.time, metrics.step, values, last_steps)
        case EvaluationData(step=int() as step) as evaluation:
            values = _scores(evaluation)
            yield from _new(event.time, step, values, last_steps)
        case SampleData() as sample:
            key = f"sample {sample.prompt}"
            if sample.step > last_steps.get(key, -1):
                last_steps[key] = sample.step
                yield Sample(event.time, sample.step, sample.prompt, sample.text)
        case CheckpointData() as saved:
            files = {file.path: file.sha256 for file in saved.files}
            yield CheckpointReference(
                event.time, saved.step, saved.name, saved.kind, saved.action, files
            )


def status_after(event: JournalEvent, before: Status) -> Status:
    """The status of the run after an event."""
    match event.payload():
        case ErrorData():
            return "failed"
        case CheckpointData(kind="last", action="saved"):
            return "finished"
        case MetricsData():
            return "running"
    return before


def _scores(evaluation: EvaluationData) -> dict[str, float]:
    """Scores by metric name. Names of other scores begin with the name of the official score."""
    name = score_metric(evaluation.task, evaluation.checkpoint)
    others = {f"{name}/{key}": score for key, score in evaluation.scores.items() if key != "score"}
    official = evaluation.scores.get("score")
    return others if official is None else {name: official} | others


def _new(
    time: datetime, step: int, values: dict[str, float], last_steps: dict[str, int]
) -> Iterator[Point]:
    new = {name: value for name, value in values.items() if step > last_steps.get(name, -1)}
    last_steps |= dict.fromkeys(new, step)
    if new:
        yield Point(time, step, new)
