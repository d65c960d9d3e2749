"""The one way in which the status of a job changes: a guarded UPDATE with an event beside it."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement
from sqlmodel import Session, col, update

from core.events.types import EventData, StatusData, event_of
from jobs.states import TRANSITIONS, Status
from jobs.tables import Job, JobEvent

FRESH = {"synchronize_session": False, "populate_existing": True}
"""What an UPDATE returns is the row as it is now."""


def update_job(
    session: Session,
    job_id: str,
    *guards: ColumnElement[bool],
    values: Mapping[str, Any],  # Any: columns by name
) -> Job | None:
    """Sets columns where the guards hold; None, and nothing changed, where they do not."""
    statement = update(Job).where(col(Job.id) == job_id, *guards).values(**values).returning(Job)
    return session.exec(statement, execution_options=FRESH).scalars().one_or_none()


def transition(
    session: Session,
    job_id: str,
    *guards: ColumnElement[bool],
    source: Sequence[Status],
    to: Status,
    reason: str | None,
    values: Mapping[str, Any],  # Any: columns by name
) -> Job | None:
    """Changes the status from one of `source`, and says so in the history of the job.

    Returns None, and changes nothing, if the status is another or a guard does not hold.
    """
    assert all((status, to) in TRANSITIONS for status in source), (source, to)
    job = update_job(
        session,
        job_id,
        col(Job.status).in_(source),
        *guards,
        values={"status": to, "last_seq": Job.last_seq + 1, **values},
    )
    if job is not None:
        data = StatusData(status=to, attempt=job.attempt, reason=reason)
        add_event(session, job_id, seq=job.last_seq, data=data)
    return job


def add_event(session: Session, job_id: str, *, seq: int, data: EventData) -> None:
    """Writes an event under a number that the caller has taken from the row."""
    event = event_of(data)
    row = JobEvent(job_id=job_id, seq=seq, time=event.time, type=event.type, data=event.data)
    session.add(row)
    session.flush()
