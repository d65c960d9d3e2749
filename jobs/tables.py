"""The tables. The API has its own schemas and does not send rows."""

from datetime import UTC, datetime
from typing import Any, ClassVar
from uuid import uuid4

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    Index,
    MetaData,
    String,
    Text,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.types import TypeDecorator
from sqlmodel import Field, SQLModel

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
ID_LENGTH = 32
Json = dict[str, Any]
"""A JSON object, validated before it is stored."""


class UtcDateTime(TypeDecorator[datetime]):
    """A time in UTC. SQLite stores no zone, so a write removes the zone and a read restores it."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Converts to UTC; raises ValueError for a time without a zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"the time {value} has no zone: use an aware datetime")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Returns an aware time in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


def new_id() -> str:
    """A random id that is also a valid folder name."""
    return uuid4().hex


def _id(**options: Any) -> Any:  # as in sqlmodel.Field
    return Field(sa_type=String(ID_LENGTH), **options)


def _job_id() -> Any:  # as in sqlmodel.Field
    return Field(
        sa_type=String(ID_LENGTH), foreign_key="job.id", primary_key=True, ondelete="CASCADE"
    )


def _time(**options: Any) -> Any:  # as in sqlmodel.Field
    return Field(sa_type=UtcDateTime, **options)


def _short(**options: Any) -> Any:  # as in sqlmodel.Field
    return Field(sa_type=String(64), **options)


def _bytes_needed() -> Any:  # as in sqlmodel.Field
    return Field(default=0, sa_type=BigInteger, sa_column_kwargs={"server_default": text("0")})


class Table(SQLModel):
    """Base class of the tables."""

    metadata: ClassVar[MetaData] = MetaData(naming_convention=NAMING)


class Study(Table, table=True):
    """A group of jobs: conditions of a grid, each with the same seeds."""

    __tablename__ = "study"
    __table_args__ = (Index(None, "created_at", "id"),)

    id: str = _id(primary_key=True, default_factory=new_id)
    name: str = Field(sa_type=Text)
    base: Json = Field(sa_type=JSON)
    """The spec that all members share, as it was submitted."""
    grid: Json = Field(sa_type=JSON)
    """Lists of values by dotted field; the baseline has the first value of each list."""
    seeds: list[int] = Field(sa_type=JSON)
    idempotency_key: str | None = Field(default=None, sa_type=Text, unique=True)
    request_hash: str = _short()
    created_at: datetime = _time()


class Job(Table, table=True):
    """A job that a user submitted, and its current state."""

    __tablename__ = "job"
    __table_args__ = (
        Index("ix_job_queue", "status", text("priority DESC"), "queued_at", "id"),
        Index(None, "created_at", "id"),
        Index(None, "study_id", "condition_number", "study_seed", unique=True),
    )

    id: str = _id(primary_key=True, default_factory=new_id)
    name: str = Field(sa_type=Text)
    status: str = _short(default="queued")
    spec: Json = Field(sa_type=JSON)
    """The resolved spec, so that a later change of a default does not affect the job."""
    priority: int = 0
    """Jobs with a higher value start first."""
    where_allowed: str = _short(default="any", sa_column_kwargs={"server_default": "any"})
    """any, local or slurm. For this and the five columns below see `jobs.resources.Needs`."""
    num_gpus: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})
    needs_gpu: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    min_memory_bytes: int = _bytes_needed()
    min_device_memory_bytes: int = _bytes_needed()
    device_bytes: int | None = Field(default=None, sa_type=BigInteger)
    """Expected peak of device memory; if unknown, it is null and the job shares no device."""
    study_id: str | None = Field(
        default=None, sa_type=String(ID_LENGTH), foreign_key="study.id", ondelete="SET NULL"
    )
    condition_number: int | None = None
    """Number of the condition in the study's grid, counted from 0; 0 is the baseline."""
    study_seed: int | None = None
    condition: Json | None = Field(default=None, sa_type=JSON(none_as_null=True))
    """The values of the condition, by dotted field."""
    tags: list[str] = Field(
        default_factory=list, sa_type=JSON, sa_column_kwargs={"server_default": text("'[]'")}
    )
    notes: str = Field(default="", sa_type=Text, sa_column_kwargs={"server_default": text("''")})
    archived: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    pinned: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    idempotency_key: str | None = Field(default=None, sa_type=Text, unique=True)
    request_hash: str | None = _short(default=None)

    created_at: datetime = _time()
    queued_at: datetime = _time()
    started_at: datetime | None = _time(default=None)
    finished_at: datetime | None = _time(default=None)
    cancel_requested_at: datetime | None = _time(default=None)
    pause_requested_at: datetime | None = _time(default=None)

    attempt: int = 0
    """Number of starts; the fencing token of every write of a run."""
    attempts_without_checkpoint: int = 0
    worker_id: str | None = Field(default=None, sa_type=Text)
    """The worker that holds the job, or held it last."""
    heartbeat: int = Field(default=0, sa_type=BigInteger)
    """Counter that a live worker increases. If it stops changing, the sweep requeues the job."""

    stage: str | None = _short(default=None)
    progress: float = 0.0
    eta_seconds: float | None = None
    step: int | None = None
    max_steps: int | None = None
    checkpoint_step: int | None = None
    """The largest step of any saved checkpoint."""
    latest_metrics: Json = Field(default_factory=dict, sa_type=JSON)
    last_seq: int = 0
    journal_offset: int = Field(default=0, sa_type=BigInteger)
    """Number of bytes of the journal that were copied into rows."""

    error_code: str | None = _short(default=None)
    error_message: str | None = Field(default=None, sa_type=Text)
    error_hint: str | None = Field(default=None, sa_type=Text)


class JobEvent(Table, table=True):
    """An event of a job; `seq` counts from 1 without gaps."""

    __tablename__ = "job_event"
    __table_args__ = (
        Index(
            "ix_job_event_warnings",
            "time",
            sqlite_where=text("type = 'warning'"),
            postgresql_where=text("type = 'warning'"),
        ),
    )

    job_id: str = _job_id()
    seq: int = Field(primary_key=True)
    time: datetime = _time()
    type: str = _short()
    data: Json = Field(sa_type=JSON)


class MetricStep(Table, table=True):
    """Time, epoch, tokens and words of a run at a step that has metrics."""

    __tablename__ = "metric_step"
    __table_args__: ClassVar[Any] = {"sqlite_with_rowid": False}  # Any, as in SQLAlchemy itself

    job_id: str = _job_id()
    step: int = Field(primary_key=True)
    time: datetime = _time()
    epoch: float
    tokens_seen: int = Field(sa_type=BigInteger)
    words_seen: int = Field(sa_type=BigInteger)


class Metric(Table, table=True):
    """A measured value. A series is a range of the primary key."""

    __tablename__ = "metric"
    __table_args__: ClassVar[Any] = {"sqlite_with_rowid": False}  # Any, as in SQLAlchemy itself

    job_id: str = _job_id()
    name: str = Field(sa_type=String(64), primary_key=True)
    step: int = Field(primary_key=True)
    value: float | None = None
    """null if the value was not finite."""


class Checkpoint(Table, table=True):
    """A checkpoint in the run folder."""

    __tablename__ = "checkpoint"

    job_id: str = _job_id()
    name: str = Field(sa_type=String(64), primary_key=True)
    kind: str = _short()
    step: int
    tokens_seen: int = Field(sa_type=BigInteger)
    words_seen: int = Field(sa_type=BigInteger)
    validation_loss: float | None = None
    files: list[Json] = Field(sa_type=JSON)
    """path, size and sha256 of each file."""
    bytes: int = Field(sa_type=BigInteger)
    created_at: datetime = _time()
    removed_at: datetime | None = _time(default=None)


class ShortTask(Table, table=True):
    """Work that does not wait for training jobs: generating text, evaluating a checkpoint.

    Quick tasks (`jobs.short_tasks.QUICK`) run without interruption. The others run in slices of
    limited time, so that quick tasks can run between two slices.
    """

    __tablename__ = "short_task"
    __table_args__ = (Index(None, "status", "created_at"),)

    id: str = _id(primary_key=True, default_factory=new_id)
    kind: str = _short()
    job_id: str | None = Field(
        default=None,
        sa_type=String(ID_LENGTH),
        foreign_key="job.id",
        ondelete="CASCADE",
        index=True,
    )
    dataset: str | None = _short(default=None, index=True)
    """The dataset of the task, if it has no job."""
    request: Json = Field(sa_type=JSON)
    status: str = _short(default="queued")
    progress: float = Field(default=0.0, sa_column_kwargs={"server_default": text("0")})
    state: Json | None = Field(default=None, sa_type=JSON(none_as_null=True))
    """The state after the last slice."""
    result: Json | None = Field(default=None, sa_type=JSON(none_as_null=True))
    error: Json | None = Field(default=None, sa_type=JSON(none_as_null=True))
    """code, message and hint."""
    attempt: int = 0
    worker_id: str | None = Field(default=None, sa_type=Text)
    heartbeat: int = Field(default=0, sa_type=BigInteger)
    created_at: datetime = _time()
    started_at: datetime | None = _time(default=None)
    finished_at: datetime | None = _time(default=None)


class WorkerRow(Table, table=True):
    """A worker, or a provisioner of Slurm, that is alive or was recently."""

    __tablename__ = "worker"

    id: str = Field(sa_type=String(200), primary_key=True)
    hostname: str = Field(sa_type=Text)
    machine: str = _short()
    """Boot id of the worker's kernel. Only processes on this kernel see the worker's file locks."""
    pid: int
    queue: str = _short()
    slots: int
    devices: list[Json] = Field(sa_type=JSON)
    job_ids: list[str] = Field(sa_type=JSON)
    offer: Json | None = Field(default=None, sa_type=JSON(none_as_null=True))
    """The resources of each slot, see `jobs.resources.Offer`."""
    started_at: datetime = _time()
    seen_at: datetime = _time()
    heartbeat: int = Field(default=0, sa_type=BigInteger)


class Placement(Table, table=True):
    """An attempt of a job that was submitted to Slurm; Slurm's state never ends the job."""

    __tablename__ = "placement"
    __table_args__ = (UniqueConstraint("name"), Index(None, "is_open"))

    job_id: str = _job_id()
    attempt: int = Field(primary_key=True)
    """The attempt that the pilot (a Slurm job that runs a worker for this job) will claim."""
    name: str = Field(sa_type=String(100))
    """Name of the Slurm job. It identifies the Slurm job if the provisioner crashes before it has
    recorded the id that `sbatch` returns."""
    is_open: bool = True
    """False if the provisioner no longer tracks the placement."""
    tries: int = 1
    """Number of calls of `sbatch`. A provisioner's write changes nothing if `tries` has changed."""
    state: str = _short()
    """submitting, unknown, refused, lost, or a state of Slurm, such as PENDING."""
    reason: str | None = Field(default=None, sa_type=Text)
    """Slurm's reason or error message."""
    slurm_id: str | None = _short(default=None)
    worker_id: str | None = Field(default=None, sa_type=String(200))
    """The worker id of the pilot, once it has started."""
    expected_start_at: datetime | None = _time(default=None)
    created_at: datetime = _time()
    changed_at: datetime = _time()
    """Last change of `tries` or `state`."""
    missed: int = 0
    """Number of consecutive complete listings of Slurm without the Slurm job."""


class Webhook(Table, table=True):
    """An address to which the service sends signed messages about jobs."""

    __tablename__ = "webhook"

    id: str = _id(primary_key=True, default_factory=new_id)
    url: str = Field(sa_type=Text)
    secret: str = Field(sa_type=Text)
    """`whsec_...`; stored in plain text, because signing needs it."""
    events: list[str] = Field(sa_type=JSON)
    """Names of `jobs.webhooks.WebhookEvent`."""
    created_at: datetime = _time()
    disabled_at: datetime | None = _time(default=None)
    """Time at which the receiver answered 410 Gone; null if the webhook is enabled."""


class WebhookDelivery(Table, table=True):
    """A message for a webhook: a row of the outbox, written in the transaction of its event."""

    __tablename__ = "webhook_delivery"
    __table_args__ = (
        UniqueConstraint("webhook_id", "message_id"),
        Index(None, "status", "next_attempt_at"),
    )

    id: str = _id(primary_key=True, default_factory=new_id)
    webhook_id: str = Field(sa_type=String(ID_LENGTH), foreign_key="webhook.id", ondelete="CASCADE")
    message_id: str = _short()
    """The header `webhook-id`: a hash of the event, so all attempts to send it have the same id. A
    test message has a random id."""
    event: str = _short()
    body: str = Field(sa_type=Text)
    """The bytes that are signed and sent."""
    status: str = _short(default="pending")
    """`pending`, `delivered`, or, if no attempt is left, `failed`."""
    attempts: int = 0
    """Number of attempts. A sender's write changes nothing if `attempts` has changed."""
    created_at: datetime = _time()
    next_attempt_at: datetime = _time()
    last_attempt_at: datetime | None = _time(default=None)
    delivered_at: datetime | None = _time(default=None)
    last_status: int | None = None
    last_error: str | None = Field(default=None, sa_type=Text)
