"""Changes of a job's status: a guarded UPDATE and an event in the same transaction."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement
from sqlmodel import Session, col, update

from core.events.types import EventData, JournalEvent, StatusData, event_of
from jobs.database import insert
from jobs.states import TRANSITIONS, Status
from jobs.tables import Job, JobEvent
from jobs.webhooks import queue_messages

FRESH = {"synchronize_session": False, "populate_existing": True}
"""Execution options of an UPDATE ... RETURNING that refresh the loaded row."""


def update_job(
    session: Session,
    job_id: str,
    *guards: ColumnElement[bool],
    values: Mapping[str, Any],  # values of any type by column name
) -> Job | None:
    """Updates the job if all guards hold; otherwise changes nothing and returns None."""
    statement = update(Job).where(col(Job.id) == job_id, *guards).values(**values).returning(Job)
    return session.exec(statement, execution_options=FRESH).scalars().one_or_none()


def transition(
    session: Session,
    job_id: str,
    *guards: ColumnElement[bool],
    source: Sequence[Status],
    to: Status,
    reason: str | None,
    values: Mapping[str, Any],  # values of any type by column name
) -> Job | None:
    """Changes the status from one of `source` to `to`, and adds a `status` event.

    Changes nothing and returns None if the job has another status or a guard does not hold.
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
        event = add_event(session, job_id, seq=job.last_seq, data=data)
        queue_messages(session, job, [event])
    return job


def add_event(session: Session, job_id: str, *, seq: int, data: EventData) -> JournalEvent:
    """Adds an event with a number that the caller has reserved in the row; returns the event."""
    event = event_of(data)
    row = {"job_id": job_id, "seq": seq}
    row |= {"time": event.time, "type": event.type, "data": event.data}
    session.execute(insert(session, JobEvent), row)
    return event
