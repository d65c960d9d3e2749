"""Request and response bodies except the job spec. Database rows are never sent directly."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from core.events.types import StageName
from core.spec.text_requests import GenerateOptions
from jobs.history import Event
from jobs.states import Status
from jobs.tables import Checkpoint, Job, WorkerRow
from jobs.waiting import Queue, Waiting, waiting_for

Json = dict[str, Any]
"""A JSON object with values of any type."""
WITHOUT_NUL = r"^[^\x00]*$"
"""Pattern of text without the character NUL, which PostgreSQL can neither store nor search for."""


class Out(BaseModel):
    """Base class of response bodies."""

    model_config = ConfigDict(extra="forbid")


class FaultRead(Out):
    """An invalid part of a request."""

    field: str
    message: str
    given: str
    """Shortened JSON text of the given value."""


class ProblemRead(Out):
    """An error response: problem details (RFC 9457)."""

    type: str
    title: str
    status: int
    code: str
    """Stable machine-readable name."""
    detail: str
    errors: list[FaultRead] = Field(default_factory=list, max_length=20)
    """The first invalid parts of the request; `detail` gives the number of further ones."""


class ErrorRead(Out):
    """The error of a failed job or task."""

    code: str
    message: str
    hint: str


class SlurmRead(Out):
    """Slurm's state of a job that was submitted to Slurm."""

    job_id: str | None
    state: str
    reason: str | None
    expected_start_at: datetime | None


class WaitingRead(Out):
    """What a queued job waits for.

    `what` is `a worker` (no live worker can run the job), `its turn` (a live worker can run the job
    once it is free), or `slurm` (Slurm is to start a worker for the job). `position` is the place
    in the queue, 1 for the next job. `detail` is a text with the reason, or null.
    """

    what: str
    position: int
    detail: str | None
    slurm: SlurmRead | None


class JobRead(Out):
    """A job."""

    id: str
    name: str
    status: Status
    stage: StageName | None
    progress: float
    step: int | None
    max_steps: int | None
    spec: Json
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    cancel_requested_at: datetime | None
    pause_requested_at: datetime | None
    eta_seconds: float | None
    metrics: Json
    error: ErrorRead | None
    attempt: int
    tags: list[str]
    notes: str
    archived: bool
    pinned: bool
    study: str | None
    """Id of the study that the job belongs to."""
    condition: Json | None
    """The job's value for each field of the study's grid, by dotted field name."""
    worker: str | None
    waiting_for: WaitingRead | None
    last_seq: int


Tag = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$")]


class JobPatch(BaseModel):
    """New values for labels of a job. Omitted labels do not change. No label affects the run."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(default="", min_length=1, max_length=200)
    tags: list[Tag] = Field(default_factory=list, max_length=20)
    notes: str = Field(default="", max_length=20_000, pattern=WITHOUT_NUL)
    archived: bool = False
    pinned: bool = False


class JobPage(Out):
    """A page of jobs, by default newest first, and the cursor of the next page."""

    data: list[JobRead]
    next: str | None
    counts: dict[str, int]
    """Number of all jobs by status, including those on other pages."""


class EventRead(Out):
    """An event of a job."""

    seq: int
    time: datetime
    type: str
    data: Json


class EventPage(Out):
    """Events in order."""

    data: list[EventRead]


class SeriesRead(Out):
    """A metric by step. All lists have the same length. A value that is not finite is null."""

    step: list[int]
    value: list[float | None]
    epoch: list[float]
    tokens_seen: list[int]
    words_seen: list[int]
    time: list[datetime]


class MetricsRead(Out):
    """Series by name of the metric."""

    series: dict[str, SeriesRead]


class RunsMetricsRead(Out):
    """Series of several jobs: by id of the job, then by name of the metric."""

    jobs: dict[str, MetricsRead]


class FileRead(Out):
    """A file of a checkpoint."""

    path: str
    size: int
    sha256: str


class CheckpointRead(Out):
    """A checkpoint that can be downloaded."""

    name: str
    kind: str
    step: int
    tokens_seen: int
    words_seen: int
    validation_loss: float | None
    bytes: int
    files: list[FileRead]
    created_at: datetime


class CheckpointPage(Out):
    """The checkpoints of a job, by step."""

    data: list[CheckpointRead]


class GenerateBody(GenerateOptions):
    """A request to continue a text."""

    model_config = ConfigDict(strict=True)


class GenerateRead(Out):
    """The prompt with its continuation."""

    text: str
    checkpoint: str


class WorkerRead(Out):
    """A live worker."""

    id: str
    hostname: str
    pid: int
    queue: str
    slots: int
    devices: list[Json]
    """The devices, each with index, kind (cuda or cpu), name, memory_bytes and, once measured,
    flops_per_second. A GPU also has memory_used_bytes, utilization (0 to 1) and
    temperature_celsius."""
    jobs: list[str]
    started_at: datetime
    seen_at: datetime


class WorkerPage(Out):
    """The live workers, oldest first."""

    data: list[WorkerRead]


class DiskRead(Out):
    """The disk that holds a folder of the service."""

    total_bytes: int
    free_bytes: int


class QueueRead(Out):
    """Number of jobs by status.

    `short` is the number of waiting tasks for the short worker, such as evaluations.
    """

    queued: int
    running: int
    paused: int
    short: int


class CacheRead(Out):
    """The cache of stage results, which jobs share; see `babylm cache`."""

    entries: int
    bytes: int
    limit_bytes: int | None


class ReadyRead(Out):
    """Whether the service can run jobs, and the result of the check of each part."""

    status: str
    checks: dict[str, str]


class SystemRead(Out):
    """The machine that the API runs on."""

    versions: dict[str, str]
    platform: str
    disks: dict[str, DiskRead]
    queue: QueueRead
    cache: CacheRead
    upload_limit_bytes: int


def read_job(job: Job, queue: Queue) -> JobRead:
    """The response body for the row of a job."""
    error = None
    if job.error_code is not None:
        error = ErrorRead(
            code=job.error_code, message=job.error_message or "", hint=job.error_hint or ""
        )
    return JobRead(
        id=job.id,
        name=job.name,
        status=job.status,
        stage=job.stage,
        progress=job.progress,
        step=job.step,
        max_steps=job.max_steps,
        spec=job.spec,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        cancel_requested_at=job.cancel_requested_at,
        pause_requested_at=job.pause_requested_at,
        eta_seconds=job.eta_seconds,
        metrics=job.latest_metrics,
        error=error,
        attempt=job.attempt,
        tags=job.tags,
        notes=job.notes,
        archived=job.archived,
        pinned=job.pinned,
        study=job.study_id,
        condition=job.condition,
        worker=job.worker_id,
        waiting_for=_read_waiting(waiting_for(job, queue)),
        last_seq=job.last_seq,
    )


def _read_waiting(waiting: Waiting | None) -> WaitingRead | None:
    if waiting is None:
        return None
    return WaitingRead(
        what=waiting.what,
        position=waiting.position,
        detail=waiting.detail,
        slurm=SlurmRead(**waiting.slurm) if waiting.slurm else None,
    )


def read_event(event: Event) -> EventRead:
    """The response body for an event."""
    return EventRead(seq=event.seq, time=event.time, type=event.type, data=event.data)


def read_checkpoint(checkpoint: Checkpoint) -> CheckpointRead:
    """The response body for the row of a checkpoint."""
    return CheckpointRead(
        name=checkpoint.name,
        kind=checkpoint.kind,
        step=checkpoint.step,
        tokens_seen=checkpoint.tokens_seen,
        words_seen=checkpoint.words_seen,
        validation_loss=checkpoint.validation_loss,
        bytes=checkpoint.bytes,
        files=[FileRead(**file) for file in checkpoint.files],
        created_at=checkpoint.created_at,
    )


def read_worker(worker: WorkerRow) -> WorkerRead:
    """The response body for the row of a worker."""
    return WorkerRead(
        id=worker.id,
        hostname=worker.hostname,
        pid=worker.pid,
        queue=worker.queue,
        slots=worker.slots,
        devices=worker.devices,
        jobs=worker.job_ids,
        started_at=worker.started_at,
        seen_at=worker.seen_at,
    )
