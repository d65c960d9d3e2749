"""What can be set from outside: environment variables that begin with `BABYLM_`, or `.env`.

Created at entry points only; everything else is handed the object.
"""

from pathlib import Path
from typing import Any, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

DATABASE_FILE = "babylm.sqlite3"
LEASE_HEARTBEATS = 5


def _database_url(values: dict[str, Any]) -> str:  # Any: the fields validated so far
    return f"sqlite:///{values.get('runs_dir', Path('runs')) / DATABASE_FILE}"


class Settings(BaseSettings):
    """The settings of the service."""

    model_config = SettingsConfigDict(
        env_prefix="BABYLM_",
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
    )

    data_dir: Path = Field(default=Path("data"), description="Folder of corpora.")
    runs_dir: Path = Field(default=Path("runs"), description="Folder of artifacts and caches.")
    database_url: str = Field(
        default_factory=_database_url,
        description="SQLAlchemy address of the database; SQLite below runs_dir unless set.",
    )
    redis_url: str | None = Field(
        default=None,
        description="Address of Redis, redis://host:port/0 or redis+socket:///path; without one "
        "the workers poll the database.",
    )
    api_key: SecretStr | None = Field(
        default=None, description="Key, or several separated by commas, that clients must send."
    )
    host: str = Field(default="127.0.0.1", description="Address the API listens on.")
    port: int = Field(default=8000, ge=0, le=65_535, description="Port the API listens on.")
    socket: Path | None = Field(
        default=None,
        description="Path of a Unix socket that the API listens on instead of a port; only your "
        "account can connect to it.",
    )
    umask: str = Field(
        default="077",
        pattern=r"^0?[0-7]{3}$",
        description="Umask of the service, octal: 077 makes its files readable by your account "
        "alone, 027 by your group too.",
    )
    num_slots: int | None = Field(
        default=None,
        ge=1,
        le=64,
        description="Jobs a worker runs at a time; null: one a GPU. Fewer share the GPUs evenly, "
        "for jobs with training.num_devices.",
    )
    lease_seconds: float = Field(
        default=15.0,
        ge=1.0,
        description="A job whose heartbeat stands still for so long is taken from its worker.",
    )
    heartbeat_seconds: float = Field(
        default=1.0, gt=0.0, description="Time between two heartbeats of a running job."
    )
    tick_seconds: float = Field(
        default=0.2, gt=0.0, description="Time between two looks at a training process."
    )
    copy_seconds: float = Field(
        default=0.4,
        ge=0.0,
        description="Time between two copies of a run's new events into the database.",
    )
    sweep_seconds: float = Field(
        default=2.0, gt=0.0, description="Time between two looks for lost and waiting jobs."
    )
    poll_seconds: float = Field(
        default=0.5, gt=0.0, description="Time between two looks for work where no broker is."
    )
    grace_seconds: float = Field(
        default=30.0,
        gt=0.0,
        description="Time a training process gets to checkpoint after a cancel or pause.",
    )
    shutdown_grace_seconds: float = Field(
        default=5.0,
        gt=0.0,
        description="The same when the worker is told to end; raise it with the time that "
        "`docker stop` or `systemd` gives.",
    )
    stall_seconds: float = Field(
        default=1800.0,
        gt=0.0,
        description="A training process that reports nothing for so long is ended as stuck.",
    )
    short_task_seconds: float = Field(
        default=120.0, gt=0.0, description="Time that one generation or other short task may take."
    )
    upload_bytes: int = Field(
        default=2 << 30, ge=1, description="Largest file or archive that may be uploaded."
    )
    cache_bytes: int | None = Field(
        default=None,
        ge=0,
        description="Results of stages that no run uses are dropped beyond this size, the least "
        "recently used first; null keeps all.",
    )
    max_attempts: int = Field(
        default=3,
        ge=1,
        description="Attempts in a row that may die without a new checkpoint before a job fails.",
    )

    slurm_template: Path | None = Field(
        default=None,
        description="Batch script of the jobs that `babylm provision slurm` submits, with the "
        "lines of your cluster; null: the one that comes with the program.",
    )
    slurm_max_pilots: int = Field(
        default=64, ge=1, le=10_000, description="Slurm jobs that are submitted at a time."
    )
    slurm_seconds: float = Field(
        default=10.0, gt=0.0, description="Time between two looks at Slurm's queue."
    )
    slurm_timeout_seconds: float = Field(
        default=30.0, gt=0.0, description="An answer of Slurm that takes longer is not awaited."
    )

    @field_validator("redis_url", "database_url")
    @classmethod
    def _has_scheme(cls, url: str | None) -> str | None:
        if url is not None and ":" not in url:
            raise ValueError("must be an address such as redis://localhost:6379/0 or sqlite:///f")
        return url

    @model_validator(mode="after")
    def _lease_outlasts_heartbeats(self) -> Self:
        if self.lease_seconds < LEASE_HEARTBEATS * self.heartbeat_seconds:
            raise ValueError(
                f"lease_seconds is {self.lease_seconds:g} and heartbeat_seconds "
                f"{self.heartbeat_seconds:g}: a lease must last {LEASE_HEARTBEATS} heartbeats or "
                "more, or living workers lose their jobs"
            )
        return self

    @property
    def api_keys(self) -> tuple[str, ...]:
        """The keys that clients may send; none where the API is open."""
        keys = self.api_key.get_secret_value().split(",") if self.api_key else []
        return tuple(key.strip() for key in keys if key.strip())

    @property
    def may_span_hosts(self) -> bool:
        """Whether workers of other hosts may take the same jobs; SQLite is for one host."""
        return not self.database_url.startswith("sqlite")

    @property
    def cache_folder(self) -> Path:
        """Results of stages, shared between jobs."""
        return self.runs_dir / "cache"

    @property
    def deleted_folder(self) -> Path:
        """Run folders that are being deleted."""
        return self.runs_dir / "deleted"

    @property
    def workers_folder(self) -> Path:
        """A folder for each machine, by its boot id, with a locked file for each live worker."""
        return self.runs_dir / "workers"

    @property
    def uploads_folder(self) -> Path:
        """What is being uploaded; beside the datasets, so that a file is published by renaming."""
        return self.data_dir / ".uploads"

    def job_folder(self, job_id: str) -> Path:
        """The run folder of a job."""
        if not job_id.isalnum():
            raise ValueError(f"not the id of a job: {job_id!r}")
        return self.runs_dir / "jobs" / job_id
