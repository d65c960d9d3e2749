"""A pilot: a worker for one job, started by Slurm. It claims only that job and ends when idle."""

import os
import threading
import time
from dataclasses import dataclass

from jobs.database import Database
from jobs.placements import start_pilot
from jobs.resources import Where
from jobs.states import FINAL
from jobs.tables import Job

LOOK_SECONDS = 0.5
SLURM_ID = "SLURM_JOB_ID"


@dataclass(frozen=True)
class Pilot:
    """The arguments of a pilot."""

    job_id: str
    exit_when_idle_seconds: float
    attempt: int | None = None
    """The attempt for which Slurm started the pilot; None if a person started the pilot."""
    slurm_id: str | None = None

    @property
    def where(self) -> Where:
        """The value of `resources.where` that the pilot offers."""
        return "slurm" if self.slurm_id else "local"


def slurm_id_from_environment() -> str | None:
    """The id of the Slurm job of this process, or None."""
    return os.environ.get(SLURM_ID) or None


def enter_pilot(database: Database, pilot: Pilot, worker_id: str) -> bool:
    """Records the pilot in its placement; False if the placement belongs to another Slurm job.

    A placement is the record that a job was submitted to Slurm. If a submission wrongly counts as
    refused or lost, it is repeated, and the placement has two Slurm jobs. The second pilot then
    ends before it claims the job.
    """
    if pilot.attempt is None or pilot.slurm_id is None:
        return True
    with database.write() as session:
        return start_pilot(
            session, pilot.job_id, pilot.attempt, slurm_id=pilot.slurm_id, worker_id=worker_id
        )


def is_needed(database: Database, job_id: str) -> bool:
    """Whether the pilot may still get work; False once the job has ended or was deleted."""
    with database.read() as session:
        job = session.get(Job, job_id)
        return job is not None and job.status not in FINAL


class IdleWatch:
    """Measures how long a worker has been idle."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._busy = 0
        self._idle_since = time.monotonic()

    def __enter__(self) -> None:
        with self._lock:
            self._busy += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._busy -= 1
            self._idle_since = time.monotonic()

    def is_over(self) -> bool:
        """True if the worker has been idle for the given number of seconds."""
        with self._lock:
            return not self._busy and time.monotonic() - self._idle_since >= self._seconds

    def is_idle(self) -> bool:
        """True while the worker does nothing."""
        with self._lock:
            return not self._busy
