"""Points, samples and checkpoint references for trackers, computed from journal events."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from core.events.types import (
    CheckpointData,
    ErrorData,
    EvaluationData,
    JournalEvent,
    MetricsData,
    SampleData,
)

Status = Literal["running", "finished", "failed"]
EMA = "ema"
"""The checkpoint of averaged weights has the same step as `last`, so its scores get other names."""


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
    """A checkpoint that was saved or removed; trackers store its place, not its files."""

    time: datetime
    step: int
    name: str
    kind: str
    action: Literal["saved", "removed"]
    files: dict[str, str]
    """SHA-256 by path relative to the checkpoint's folder."""


Entry = Point | Sample | CheckpointReference


def entries_of(event: JournalEvent, last_steps: dict[str, int]) -> Iterator[Entry]:
    """The entries of an event; each step of a metric once.

    A run that was killed repeats the steps after its last resume point. The first value of a step
    counts, because most trackers cannot replace one. Which values are sent therefore depends on the
    journal alone, not on the moment of the replay.

    Args:
        event: The event.
        last_steps: The last step of each metric that was sent; updated.
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
    """Scores by metric name; the official score has the name that the service's metric has."""
    prefix = "evaluation_ema" if evaluation.checkpoint == EMA else "evaluation"
    name = f"{prefix}/{evaluation.task}"
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
