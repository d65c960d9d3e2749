"""The order of the queue, and the positions of jobs in it."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, func, literal, tuple_
from sqlmodel import Session, col, select

from jobs.tables import Job, UtcDateTime

QUEUE_ORDER = (col(Job.priority).desc(), col(Job.queued_at), col(Job.id))
"""Highest priority first, then longest waiting; the index `ix_job_queue` has this order."""


def queue_positions(session: Session, jobs: Sequence[Job]) -> dict[str, int]:
    """The positions of the given queued jobs in the queue, counted from 1, read with one query.

    The query counts the index entries before the first given job, and numbers only the rows
    from the first to the last given job.
    """
    if not jobs:
        return {}
    ordered = sorted(jobs, key=lambda job: (-job.priority, job.queued_at, job.id))
    first, last = ordered[0], ordered[-1]
    is_queued, priority = col(Job.status) == "queued", col(Job.priority)
    moment = tuple_(col(Job.queued_at), col(Job.id))
    higher = select(func.count()).where(is_queued, priority > first.priority)
    ahead: ColumnElement[int] = higher.scalar_subquery()
    span = [is_queued, priority <= first.priority, priority >= last.priority]
    if first.priority == last.priority:
        same = (is_queued, priority == first.priority, moment < _moment(first))
        ahead = ahead + select(func.count()).where(*same).scalar_subquery()
        span += [moment >= _moment(first), moment <= _moment(last)]
    number = func.row_number().over(order_by=QUEUE_ORDER)
    numbered = select(col(Job.id), (ahead + number).label("position")).where(*span).subquery()
    job_id, position = numbered.c.id, numbered.c.position
    wanted = select(job_id, position).where(job_id.in_([job.id for job in jobs]))
    return {row.id: row.position for row in session.execute(wanted)}


def _moment(job: Job) -> ColumnElement[Any]:  # a tuple
    return tuple_(literal(job.queued_at, UtcDateTime()), literal(job.id))
