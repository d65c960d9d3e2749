"""The types of events that a run reports, and their payloads.

The run writes an event into its journal after the reported change has happened. The service copies
events into database rows and assigns their sequence numbers.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter

from core.events.paths import shorten_paths
from core.events.results import EvaluationResult

StageName = Literal[
    "clean", "tokenizer", "tokenize", "compile", "train", "evaluate", "export", "finetune"
]
WarningLevel = Literal["info", "warn", "error"]
CheckpointKind = Literal["milestone", "rolling", "best", "last", "error", "interrupted", "ema"]

Text = Annotated[str, AfterValidator(shorten_paths)]
"""A message for clients, without absolute paths of the server."""


class EventData(BaseModel):
    """Base of the payloads of events."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class StatusData(EventData):
    """The status of the job changed. The service writes this event, never the run."""

    status: str
    attempt: int
    reason: str | None = None


class StageData(EventData):
    """A stage began or ended."""

    stage: StageName
    state: Literal["started", "finished"]
    seconds: float | None = None
    cached: bool = False
    counts: dict[str, Any] = Field(default_factory=dict)  # each stage has its own counts


class ProgressData(EventData):
    """Progress of the run and of the current stage, and the estimated remaining seconds.

    `progress` and `stage_progress` range from 0 to 1.
    """

    stage: StageName
    progress: float
    stage_progress: float
    eta_seconds: float | None = None
    step: int | None = None
    max_steps: int | None = None


class MetricsData(EventData):
    """Measurements at a step. A non-finite value is null and accompanied by a warning event."""

    step: int
    epoch: float
    tokens_seen: int
    words_seen: int
    values: dict[str, float | None]


class CheckpointFile(EventData):
    """One file of a checkpoint; the path is relative to the checkpoint's folder."""

    path: str
    size: int
    sha256: str


class CheckpointData(EventData):
    """A checkpoint was published, or removed by the retention rules."""

    action: Literal["saved", "removed"]
    name: str
    kind: CheckpointKind
    step: int
    tokens_seen: int
    words_seen: int
    validation_loss: float | None = None
    files: list[CheckpointFile] = Field(default_factory=list)


class SampleData(EventData):
    """A text that the model generated."""

    step: int
    prompt: str
    text: str


class EvaluationData(EventData):
    """The result of an evaluation: scores by name, and the detailed result."""

    step: int | None
    checkpoint: str | None
    task: str
    scores: dict[str, float]
    result: EvaluationResult | None = None


class WarningData(EventData):
    """A problem that does not stop the run.

    `level` is `error` if the result is useless, for example because the loss diverges, and `info`
    if the finding may be intended, for example a plateau.
    """

    code: str
    message: Text
    level: WarningLevel = "warn"


class ErrorData(EventData):
    """Why the run failed."""

    code: str
    message: Text
    hint: Text


PAYLOADS: dict[str, type[EventData]] = {
    "status": StatusData,
    "stage": StageData,
    "progress": ProgressData,
    "metrics": MetricsData,
    "checkpoint": CheckpointData,
    "sample": SampleData,
    "evaluation": EvaluationData,
    "warning": WarningData,
    "error": ErrorData,
}
"""Payload classes by the name of the event type in JSON."""

TYPE_NAMES: dict[type[EventData], str] = {payload: name for name, payload in PAYLOADS.items()}

EventType = Annotated[str, Field(pattern="^(" + "|".join(PAYLOADS) + ")$")]


class JournalEvent(BaseModel):
    """A line of the journal."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    time: datetime
    type: EventType
    data: dict[str, Any]  # `payload` checks the fields against PAYLOADS[type]

    def payload(self) -> EventData:
        """The data, validated as the payload of its type."""
        return PAYLOADS[self.type].model_validate(self.data)


LINE: TypeAdapter[JournalEvent] = TypeAdapter(JournalEvent)


def now() -> datetime:
    """The current time in UTC."""
    return datetime.now(UTC)


def event_of(data: EventData) -> JournalEvent:
    """An event with `data` and the current time."""
    return JournalEvent(time=now(), type=TYPE_NAMES[type(data)], data=data.model_dump(mode="json"))
