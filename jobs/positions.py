"""The order of the queue, and the positions of jobs in it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, String, bindparam, func, tuple_
from sqlmodel import Session, col, select

from jobs.expressions import is_one_of
from jobs.tables import Job, UtcDateTime

QUEUE_ORDER = (col(Job.priority).desc(), col(Job.queued_at), col(Job.id))
"""Highest priority first, then longest waiting; the index `ix_job_queue` has this order."""


def queue_positions(session: Session, jobs: Sequence[Job]) -> dict[str, int]:
    """The positions of the given queued jobs in the queue, counted from 1, read with one query.

    If the given jobs have one priority, the query counts the index entries before the first of them
    and numbers only the rows from the first to the last. Otherwise it counts the entries of higher
    priorities and numbers all rows from the highest to the lowest priority of the given jobs.
    """
    if not jobs:
        return {}
    ordered = sorted(jobs, key=lambda job: (-job.priority, job.queued_at, job.id))
    first, last = ordered[0], ordered[-1]
    values: dict[str, Any] = {"ids": [job.id for job in jobs]}
    for name, job in (("first", first), ("last", last)):
        values |= {f"{name}_priority": job.priority, f"{name}_id": job.id}
        values |= {f"{name}_queued_at": job.queued_at}
    query = ONE_PRIORITY if first.priority == last.priority else SEVERAL_PRIORITIES
    return {row.id: row.position for row in session.execute(query, values)}


def _positions(*, has_one_priority: bool) -> Select[tuple[str, int]]:
    """The query of `queue_positions`."""
    is_queued, priority = col(Job.status) == "queued", col(Job.priority)
    highest: ColumnElement[int] = bindparam("first_priority")
    lowest: ColumnElement[int] = bindparam("last_priority")
    moment = tuple_(col(Job.queued_at), col(Job.id))
    first = tuple_(_time("first_queued_at"), bindparam("first_id"))
    last = tuple_(_time("last_queued_at"), bindparam("last_id"))
    higher = select(func.count()).where(is_queued, priority > highest)
    ahead: ColumnElement[int] = higher.scalar_subquery()
    span = [is_queued, priority <= highest, priority >= lowest]
    if has_one_priority:
        same = (is_queued, priority == highest, moment < first)
        ahead = ahead + select(func.count()).where(*same).scalar_subquery()
        span += [moment >= first, moment <= last]
    number = func.row_number().over(order_by=QUEUE_ORDER)
    numbered = select(col(Job.id), (ahead + number).label("position")).where(*span).subquery()
    job_id, position = numbered.c.id, numbered.c.position
    return select(job_id, position).where(is_one_of(job_id, "ids", String))


def _time(name: str) -> ColumnElement[datetime]:
    return bindparam(name, type_=UtcDateTime())


ONE_PRIORITY = _positions(has_one_priority=True)
SEVERAL_PRIORITIES = _positions(has_one_priority=False)
"""Statements are built once, because building one takes longer than the query."""
