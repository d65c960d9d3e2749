"""Settings from environment variables that begin with `BABYLM_`, or from `.env`.

Only entry points create a `Settings` object; all other code receives it as an argument.
"""

from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from core.spec.tracking import TRACKERS, TrackerName

DATABASE_FILE = "babylm.sqlite3"
LEASE_HEARTBEATS = 5


def _database_url(values: dict[str, Any]) -> str:  # the fields validated so far
    # SQLAlchemy decodes the path of a URL, so "%" and "?" must be encoded.
    return f"sqlite:///{quote(str(values.get('runs_dir', Path('runs')) / DATABASE_FILE))}"


class Settings(BaseSettings):
    """The settings of the service."""

    model_config = SettingsConfigDict(
        env_prefix="BABYLM_",
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
    )

    data_dir: Path = Field(
        default=Path("data"), description="Folder of corpora, evaluation tasks and tokenizers."
    )
    runs_dir: Path = Field(default=Path("runs"), description="Folder of artifacts and caches.")
    database_url: str = Field(
        default_factory=_database_url,
        description="SQLAlchemy URL of the database; default: an SQLite file in runs_dir.",
    )
    redis_url: str | None = Field(
        default=None,
        description="URL of Redis, redis://host:port/0 or redis+socket:///path; without it the "
        "workers poll the database.",
    )
    api_key: SecretStr | None = Field(
        default=None, description="Key that clients must send; separate several keys by commas."
    )
    host: str = Field(default="127.0.0.1", description="Address on which the API listens.")
    port: int = Field(default=8000, ge=0, le=65_535, description="Port on which the API listens.")
    socket: Path | None = Field(
        default=None,
        description="Path of a Unix socket that the API listens on instead of a port; only your "
        "account can connect to it.",
    )
    umask: str = Field(
        default="077",
        pattern=r"^0?[0-7]{3}$",
        description="Umask of the service, `babylm train` and `babylm lr-find`, octal: with 077 "
        "only your account can read their files, with 027 also your group.",
    )
    num_slots: int | None = Field(
        default=None,
        ge=1,
        le=64,
        description="Number of slots of a worker, each of which runs one job at a time; null means "
        "one slot per GPU, or one slot without a GPU. With fewer slots than GPUs, the GPUs are "
        "divided evenly among the slots, so that a slot can run jobs whose training.num_devices is "
        "above 1. With more slots than GPUs, slots share a GPU: a job starts next to others if the "
        "memory estimates of all these jobs together fit into the GPU.",
    )
    lease_seconds: float = Field(
        default=15.0,
        ge=1.0,
        description="Time without a heartbeat after which a job is taken from its worker.",
    )
    heartbeat_seconds: float = Field(
        default=1.0, gt=0.0, description="Time between two heartbeats of a running job."
    )
    tick_seconds: float = Field(
        default=0.2, gt=0.0, description="Time between two checks of a training process."
    )
    copy_seconds: float = Field(
        default=0.4,
        ge=0.0,
        description="Minimum time between two copies of new events of a run to the database.",
    )
    sweep_seconds: float = Field(
        default=2.0,
        gt=0.0,
        description="Time between two sweeps. A sweep takes jobs from lost workers and, if there "
        "is a broker, notifies workers of queued jobs.",
    )
    poll_seconds: float = Field(
        default=0.5,
        gt=0.0,
        description="Time between two polls of a worker for jobs if there is no broker.",
    )
    grace_seconds: float = Field(
        default=30.0,
        gt=0.0,
        description="Time that a training process has to save a checkpoint after cancel or pause.",
    )
    shutdown_grace_seconds: float = Field(
        default=5.0,
        gt=0.0,
        description="Time that a training process has to save a checkpoint when the worker shuts "
        "down; it must be shorter than the stop timeout of `docker stop` or `systemd`.",
    )
    stall_seconds: float = Field(
        default=1800.0,
        gt=0.0,
        description="Time without a report after which a training process counts as stalled and is "
        "ended.",
    )
    short_task_seconds: float = Field(
        default=120.0, gt=0.0, description="Time limit of a short task, such as generating text."
    )
    upload_bytes: int = Field(
        default=2 << 30, ge=1, description="Maximum size of an uploaded file or archive."
    )
    cache_bytes: int | None = Field(
        default=None,
        ge=0,
        description="Maximum size of the stage cache. If the cache is larger, the service removes "
        "the least recently used results that no run uses. null means no limit.",
    )
    max_attempts: int = Field(
        default=3,
        ge=1,
        description="A job fails after this number of consecutive attempts that die without a new "
        "checkpoint.",
    )

    tracking: str = Field(
        default="",
        description="Experiment trackers that get a copy of every run, separated by commas: "
        "tensorboard, wandb, mlflow.",
    )
    mlflow_uri: str | None = Field(
        default=None,
        description="MLflow's tracking URI, such as http://host:port or sqlite:///FILE; null means "
        "the variable MLFLOW_TRACKING_URI, or else the file mlflow.sqlite3 in runs_dir.",
    )

    webhook_networks: str = Field(
        default="",
        description="Private networks that webhooks may be sent to, separated by commas, such as "
        "10.0.0.0/8. All other receivers must have a public address and use https.",
    )

    slurm_template: Path | None = Field(
        default=None,
        description="Batch script of the jobs that `babylm provision slurm` submits, with the "
        "options of your cluster; null means the built-in script.",
    )
    slurm_max_pilots: int = Field(
        default=64,
        ge=1,
        le=10_000,
        description="Maximum number of Slurm jobs that are queued or running at the same time.",
    )
    slurm_max_time_seconds: float = Field(
        default=86_400.0,
        ge=600.0,
        description="Maximum of the time limit that is estimated for a Slurm job; set it to the "
        "limit of your partition or less. A longer run continues in further Slurm jobs.",
    )
    slurm_seconds: float = Field(
        default=10.0, gt=0.0, description="Time between two reads of Slurm's queue."
    )
    slurm_timeout_seconds: float = Field(
        default=30.0, gt=0.0, description="Time limit of a call of a Slurm command."
    )

    @field_validator("redis_url", "database_url")
    @classmethod
    def _has_scheme(cls, url: str | None) -> str | None:
        if url is not None and ":" not in url:
            raise ValueError("must be a URL such as redis://localhost:6379/0 or sqlite:///f")
        return url

    @field_validator("tracking")
    @classmethod
    def _trackers_exist(cls, names: str) -> str:
        unknown = [name for name in _split(names) if name not in TRACKERS]
        if unknown:
            known = ", ".join(TRACKERS)
            raise ValueError(f"unknown: {', '.join(unknown)}; the trackers are {known}")
        return names

    @field_validator("webhook_networks")
    @classmethod
    def _networks_are_networks(cls, networks: str) -> str:
        for part in _split(networks):
            ip_network(part)
        return networks

    @model_validator(mode="after")
    def _lease_outlasts_heartbeats(self) -> Self:
        if self.lease_seconds < LEASE_HEARTBEATS * self.heartbeat_seconds:
            raise ValueError(
                f"lease_seconds is {self.lease_seconds:g} and heartbeat_seconds "
                f"{self.heartbeat_seconds:g}: a lease must last {LEASE_HEARTBEATS} heartbeats or "
                "more, or live workers lose their jobs"
            )
        return self

    @property
    def api_keys(self) -> tuple[str, ...]:
        """The accepted API keys; empty if the API needs none."""
        return _split(self.api_key.get_secret_value()) if self.api_key else ()

    @property
    def trackers(self) -> tuple[TrackerName, ...]:
        """The trackers of every run."""
        given = _split(self.tracking)
        return tuple(name for name in TRACKERS if name in given)

    @property
    def allowed_networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """The private networks that webhooks may be sent to."""
        return tuple(ip_network(part) for part in _split(self.webhook_networks))

    @property
    def default_mlflow_uri(self) -> str:
        """MLflow's tracking URI if no setting or environment variable names another."""
        return f"sqlite:///{quote(str(self.runs_dir.resolve() / 'mlflow.sqlite3'))}"

    @property
    def may_span_hosts(self) -> bool:
        """Whether workers of other hosts may claim the same jobs; SQLite serves one host."""
        return not self.database_url.startswith("sqlite")

    @property
    def cache_folder(self) -> Path:
        """Folder with the results of stages, which jobs share."""
        return self.runs_dir / "cache"

    @property
    def deleted_folder(self) -> Path:
        """Folder of the run folders that are being deleted."""
        return self.runs_dir / "deleted"

    @property
    def workers_folder(self) -> Path:
        """Folder with a subfolder for each machine, named by its boot id.

        A subfolder has a locked file for each live worker.
        """
        return self.runs_dir / "workers"

    @property
    def uploads_folder(self) -> Path:
        """Folder of uploads in progress.

        It is on the file system of the datasets, so that a rename publishes an upload.
        """
        return self.data_dir / ".uploads"

    def job_folder(self, job_id: str) -> Path:
        """The run folder of a job."""
        if not job_id.isalnum():
            raise ValueError(f"{job_id!r} is not a job id")
        return self.runs_dir / "jobs" / job_id


def _split(text: str) -> tuple[str, ...]:
    """The parts between commas, without spaces and empty parts."""
    return tuple(part.strip() for part in text.split(",") if part.strip())
