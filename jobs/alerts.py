"""Alerts: failed jobs, and warnings of jobs. Archived jobs cause no alerts."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import literal_column
from sqlmodel import Session, col, select

from core.events.types import WarningData, WarningLevel
from jobs.tables import Job, JobEvent

MAX_EVENTS = 1000
"""Maximum number of warning events that one request reads; it reads the newest ones."""


@dataclass(frozen=True)
class Alert:
    """A failed job, or all warnings of a job with the same code."""

    job_id: str
    job_name: str
    kind: Literal["failure", "warning"]
    level: WarningLevel
    code: str
    message: str
    hint: str | None
    """How to fix a failure."""
    time: datetime
    """Time of the failure or of the newest warning."""
    times: int
    """Number of warnings with this code, among the warnings that were read; 1 for a failure."""


def newest_alerts(session: Session, *, limit: int) -> list[Alert]:
    """The newest alerts. A failed job that was retried is no longer an alert."""
    alerts = [*_failures(session, limit), *_warnings(session)]
    alerts.sort(key=lambda alert: (alert.time, alert.job_id, alert.code), reverse=True)
    return alerts[:limit]


def _failures(session: Session, limit: int) -> Iterable[Alert]:
    query = (
        select(Job)
        .where(Job.status == "failed", col(Job.archived).is_(False))
        .order_by(col(Job.finished_at).desc())
        .limit(limit)
    )
    for job in session.exec(query):
        yield Alert(
            job_id=job.id,
            job_name=job.name,
            kind="failure",
            level="error",
            code=job.error_code or "failed",
            message=job.error_message or "The job failed.",
            hint=job.error_hint,
            time=job.finished_at or job.created_at,
            times=1,
        )


def _warnings(session: Session) -> Iterable[Alert]:
    """One alert for each job and code, with the newest message."""
    query = (
        select(JobEvent, Job.name)
        .join(Job, col(Job.id) == col(JobEvent.job_id))
        # A literal, not a parameter: a database uses a partial index only if the query contains the
        # condition of the index literally.
        .where(col(JobEvent.type) == literal_column("'warning'"), col(Job.archived).is_(False))
        .order_by(col(JobEvent.time).desc())
        .limit(MAX_EVENTS)
    )
    groups: dict[tuple[str, str], list[tuple[JobEvent, str, WarningData]]] = {}
    for event, name in session.exec(query):
        data = WarningData.model_validate(event.data)
        groups.setdefault((event.job_id, data.code), []).append((event, name, data))
    for equal in groups.values():
        event, name, data = equal[0]
        yield Alert(
            job_id=event.job_id,
            job_name=name,
            kind="warning",
            level=data.level,
            code=data.code,
            message=data.message,
            hint=None,
            time=event.time,
            times=len(equal),
        )
