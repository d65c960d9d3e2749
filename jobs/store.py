"""The actions of users on jobs: submit, list, cancel, pause, resume, retry, delete.

Functions take a session and never commit; the caller runs one transaction per request.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import ColumnElement, String, bindparam, func, or_
from sqlmodel import Session, col, delete, select

from core.events.types import StatusData, now
from core.spec.job import JobSpec
from jobs.cursors import make_cursor, read_cursor, rows_after
from jobs.database import insert
from jobs.errors import IdempotencyConflict, InvalidTransition, JobNotFound
from jobs.expressions import is_one_of
from jobs.orders import CREATED, NEWEST_FIRST, Order, sorted_page
from jobs.resources import needs_of
from jobs.states import ACTIONS, FINAL, Action, Status, allowed
from jobs.tables import Job, new_id
from jobs.transitions import add_event, transition, update_job

PAGE = 50
MAX_PAGE = 1000
COUNTS = select(Job.status, func.count()).group_by(Job.status)
JOB = select(Job).where(col(Job.id) == bindparam("job_id"))
JOB_ID = select(Job.id).where(col(Job.id) == bindparam("job_id"))
EXISTING = select(Job.id).where(is_one_of(col(Job.id), "job_ids", String))
LIMITED = select(Job).limit(bindparam("limit"))
OLDEST = LIMITED.order_by(col(Job.created_at), col(Job.id))
NEWEST = LIMITED.order_by(col(Job.created_at).desc(), col(Job.id).desc())
"""Statements of frequent reads are built once, because building one takes longer than the query."""


@dataclass(frozen=True)
class Membership:
    """The place of a job in a study, as columns of the job's row."""

    study_id: str
    condition_number: int
    study_seed: int
    condition: dict[str, Any]  # JSON values by dotted field


def hash_request(spec: JobSpec) -> str:
    """A hash that distinguishes different requests with the same idempotency key."""
    return hashlib.sha256(spec.model_dump_json().encode()).hexdigest()


def create_job(
    session: Session,
    spec: JobSpec,
    *,
    idempotency_key: str | None = None,
    request_hash: str | None = None,
    priority: int = 0,
    membership: Membership | None = None,
) -> tuple[Job, bool]:
    """Creates a queued job; returns it, and whether it is new.

    Args:
        session: A session in a write transaction.
        spec: The resolved spec.
        idempotency_key: A repeated key with the same hash returns the existing job.
        request_hash: See `hash_request`; default: the hash of the spec.
        priority: Jobs with a higher value start first.
        membership: The place of the job in a study.

    Raises:
        IdempotencyConflict: If the key was used for another request.
    """
    moment, digest = now(), request_hash or hash_request(spec)
    job_id = new_id()
    job = Job(
        id=job_id,
        name=spec.name or job_id,
        spec=spec.model_dump(mode="json"),
        priority=priority,
        **asdict(needs_of(spec)),
        **(asdict(membership) if membership is not None else {}),
        idempotency_key=idempotency_key,
        request_hash=digest,
        created_at=moment,
        queued_at=moment,
        last_seq=1,
    )
    statement = insert(session, Job).on_conflict_do_nothing().returning(col(Job.id))
    inserted = session.execute(statement, job.model_dump()).one_or_none()
    if inserted is None:
        assert idempotency_key is not None  # nothing else in the row can conflict
        return _first_of_key(session, idempotency_key, digest), False
    add_event(session, job_id, seq=1, data=StatusData(status="queued", attempt=0))
    return get_job(session, job_id), True


def _first_of_key(session: Session, key: str, digest: str) -> Job:
    job = session.exec(select(Job).where(Job.idempotency_key == key)).one()
    if job.request_hash != digest:
        raise IdempotencyConflict(key, job.id)
    return job


def get_job(session: Session, job_id: str) -> Job:
    """The job of that id.

    Raises:
        JobNotFound: If there is no such job.
    """
    job = session.exec(JOB, params={"job_id": job_id}).one_or_none()
    if job is None:
        raise JobNotFound(job_id)
    return job


def require_job(session: Session, job_id: str) -> None:
    """Checks that there is a job of that id. This takes less time than to read the job.

    Raises:
        JobNotFound: If there is no such job.
    """
    if session.exec(JOB_ID, params={"job_id": job_id}).one_or_none() is None:
        raise JobNotFound(job_id)


def existing(session: Session, job_ids: Sequence[str]) -> list[str]:
    """The ids that belong to a job, without duplicates, in the given order."""
    found = set(session.exec(EXISTING, params={"job_ids": list(job_ids)}))
    return [job_id for job_id in dict.fromkeys(job_ids) if job_id in found]


def list_jobs(
    session: Session,
    *,
    statuses: Iterable[Status] = (),
    search: str | None = None,
    where: Iterable[ColumnElement[bool]] = (),
    order: Order = NEWEST_FIRST,
    limit: int = PAGE,
    after: str | None = None,
) -> tuple[list[Job], str | None]:
    """A page of jobs and the cursor of the next page, if any.

    Args:
        session: A read session.
        statuses: Statuses of the jobs; if empty, jobs of all statuses.
        search: A text that a job's name contains, ignoring case, or with which its id begins.
        where: Further conditions on the rows.
        order: The order of the jobs.
        limit: Maximum number of jobs on a page.
        after: The cursor of this page; None means the first page.

    Raises:
        CursorInvalid: If `after` is not a cursor of this function.
    """
    assert 1 <= limit <= MAX_PAGE
    conditions = list(where)
    wanted = list(statuses)
    if wanted:
        conditions.append(col(Job.status).in_(wanted))
    if search:
        named = col(Job.name).icontains(search, autoescape=True)
        conditions.append(or_(named, col(Job.id).startswith(search.lower(), autoescape=True)))
    if order.name != CREATED:
        return sorted_page(session, order, where=conditions, limit=limit, after=after)
    if after is not None:
        conditions.append(rows_after(Job, *read_cursor(after), is_descending=order.is_descending))
    page = NEWEST if order.is_descending else OLDEST
    if conditions:
        page = page.where(*conditions)
    jobs = list(session.exec(page, params={"limit": limit + 1}))
    more = len(jobs) > limit
    last = jobs[limit - 1] if more else None
    return jobs[:limit], make_cursor(last.created_at, last.id) if last else None


def count_jobs(session: Session) -> dict[str, int]:
    """The number of jobs of each status that occurs."""
    return dict(session.exec(COUNTS).all())


def unfinished_jobs(session: Session) -> list[Job]:
    """All jobs that have not ended."""
    return list(session.exec(select(Job).where(col(Job.status).not_in(FINAL))))


def request_cancel(session: Session, job_id: str) -> Job:
    """Cancels a queued or paused job at once; requests the cancel of a running job.

    Raises:
        JobNotFound: If there is no such job.
        InvalidTransition: If the job has ended.
    """
    moment = now()
    job = transition(
        session,
        job_id,
        source=("queued", "paused"),
        to="cancelled",
        reason="cancelled by the user",
        values={"cancel_requested_at": moment, "finished_at": moment},
    ) or update_job(
        session,
        job_id,
        col(Job.status) == "running",
        values={"cancel_requested_at": func.coalesce(Job.cancel_requested_at, moment)},
    )
    return job or _refuse(session, job_id, "cancel")


def request_pause(session: Session, job_id: str) -> Job:
    """Pauses a queued job at once; requests the pause of a running job.

    Raises:
        JobNotFound: If there is no such job.
        InvalidTransition: If the job's status does not allow a pause, or a cancel is pending.
    """
    job = transition(
        session,
        job_id,
        source=("queued",),
        to="paused",
        reason="paused by the user",
        values={},
    ) or update_job(
        session,
        job_id,
        col(Job.status) == "running",
        col(Job.cancel_requested_at).is_(None),
        values={"pause_requested_at": func.coalesce(Job.pause_requested_at, now())},
    )
    return job or _refuse(session, job_id, "pause")


def resume(session: Session, job_id: str) -> Job:
    """Requeues a paused job, or withdraws the pause request of a running job.

    Raises:
        JobNotFound: If there is no such job.
        InvalidTransition: If the job is neither paused nor running, or if it is running without a
            pause request.
    """
    job = transition(
        session,
        job_id,
        source=("paused",),
        to="queued",
        reason="resumed by the user",
        values={"queued_at": now(), "pause_requested_at": None},
    ) or update_job(
        session,
        job_id,
        col(Job.status) == "running",
        col(Job.pause_requested_at).is_not(None),
        values={"pause_requested_at": None},
    )
    return job or _refuse(session, job_id, "resume")


def retry(session: Session, job_id: str) -> Job:
    """Requeues a failed or cancelled job, which continues from its newest checkpoint.

    Raises:
        JobNotFound: If there is no such job.
        InvalidTransition: If the job is neither failed nor cancelled.
    """
    values = {
        "queued_at": now(),
        "finished_at": None,
        "cancel_requested_at": None,
        "pause_requested_at": None,
        "attempts_without_checkpoint": 0,
        "error_code": None,
        "error_message": None,
        "error_hint": None,
    }
    job = transition(
        session,
        job_id,
        source=ACTIONS["retry"],
        to="queued",
        reason="retried by the user",
        values=values,
    )
    return job or _refuse(session, job_id, "retry")


def delete_job(session: Session, job_id: str) -> None:
    """Removes an ended job and all its rows; the caller then removes its run folder.

    Raises:
        JobNotFound: If there is no such job.
        InvalidTransition: If the job has not ended.
    """
    statement = delete(Job).where(col(Job.id) == job_id, col(Job.status).in_(FINAL))
    if not session.exec(statement).rowcount:
        _refuse(session, job_id, "delete")


def _refuse(session: Session, job_id: str, action: Action) -> Job:
    job = get_job(session, job_id)
    reason = None
    if job.status in ACTIONS[action]:
        reason = "a cancel is pending" if action == "pause" else "no pause was requested"
    raise InvalidTransition(
        action=action, status=job.status, allowed=allowed(action), reason=reason
    )
