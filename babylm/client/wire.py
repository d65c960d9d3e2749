"""Types of the responses of the service, with the fields that the client reads."""

from typing import Any, Literal, TypedDict

Body = dict[str, Any]
"""A JSON object that is passed on unchanged; the service checks its keys."""

FINAL_STATUSES = frozenset({"succeeded", "failed", "cancelled"})
"""The same statuses as in `jobs.states.FINAL`; this package must not import `jobs`."""


class JobError(TypedDict):
    """Why a job failed."""

    code: str
    message: str
    hint: str


class Job(TypedDict, total=False):
    """A job. The service may send further fields."""

    id: str
    name: str
    status: Literal["queued", "running", "paused", "succeeded", "failed", "cancelled"]
    stage: str | None
    progress: float
    step: int | None
    max_steps: int | None
    created_at: str
    started_at: str | None
    finished_at: str | None
    eta_seconds: float | None
    attempt: int
    worker: str | None
    waiting_for: Any  # a text, or an object with a position; the client only shows it
    metrics: dict[str, Any] | None  # the latest value of each metric by name
    error: JobError | None
    spec: Body


class Event(TypedDict, total=False):
    """An event of a job; an event that is read from a journal has no `seq`."""

    seq: int
    time: str
    type: str
    data: Body


class Series(TypedDict):
    """The values of a metric: each list has one entry for each logged step."""

    step: list[int]
    value: list[float | None]
    epoch: list[float]
    tokens_seen: list[int]
    words_seen: list[int]
    time: list[str]


class CheckpointFile(TypedDict):
    """A file of a checkpoint; the path is relative to the folder of the checkpoint."""

    path: str
    size: int
    sha256: str


class Checkpoint(TypedDict, total=False):
    """A checkpoint that can be downloaded."""

    name: str
    kind: str
    step: int
    tokens_seen: int
    words_seen: int
    validation_loss: float | None
    files: list[CheckpointFile]
