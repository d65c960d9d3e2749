"""Short tasks: asked for by the API, done by the short worker, under the same rules as jobs."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement
from sqlmodel import Session, col, func, select, update

from core.events import ErrorData, now
from jobs.errors import Fenced, ShortTaskNotFound
from jobs.moves import FRESH
from jobs.store import get_job
from jobs.tables import Json, ShortTask

MAX_ATTEMPTS = 3
LOST = ErrorData(
    code="attempts_exhausted",
    message=f"the worker died {MAX_ATTEMPTS} times over this task",
    hint="See the log of the short worker.",
)


def create_short_task(session: Session, *, kind: str, job_id: str, request: Json) -> ShortTask:
    """Asks for short work on a job, such as generating text from a checkpoint.

    Raises:
        JobNotFound: If there is no such job.
    """
    get_job(session, job_id)
    task = ShortTask(kind=kind, job_id=job_id, request=request, created_at=now())
    session.add(task)
    session.flush()
    return task


def get_short_task(session: Session, task_id: str) -> ShortTask:
    """The task of that id.

    Raises:
        ShortTaskNotFound: If there is none.
    """
    task = session.exec(select(ShortTask).where(ShortTask.id == task_id)).one_or_none()
    if task is None:
        raise ShortTaskNotFound(task_id)
    return task


def claim_short_task(session: Session, owner: str) -> ShortTask | None:
    """Gives the oldest queued task to `owner`."""
    waiting = (
        select(ShortTask.id)
        .where(ShortTask.status == "queued")
        .order_by(col(ShortTask.created_at), col(ShortTask.id))
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    task_id = session.exec(waiting).one_or_none()
    if task_id is None:
        return None
    values = {
        "status": "running",
        "owner": owner,
        "attempt": ShortTask.attempt + 1,
        "heartbeat": ShortTask.heartbeat + 1,
        "started_at": now(),
    }
    return _update(session, task_id, col(ShortTask.status) == "queued", values=values)


def beat_short_task(session: Session, task_id: str, attempt: int) -> None:
    """Shows that the holder lives.

    Raises:
        Fenced: If the attempt no longer holds the task.
    """
    _update_held(session, task_id, attempt, {"heartbeat": ShortTask.heartbeat + 1})


def succeed_short_task(session: Session, task_id: str, attempt: int, result: Json) -> None:
    """Ends the task with its result.

    Raises:
        Fenced: If the attempt no longer holds the task.
    """
    values = {"status": "succeeded", "result": result, "finished_at": now()}
    _update_held(session, task_id, attempt, values)


def fail_short_task(session: Session, task_id: str, attempt: int, error: ErrorData) -> None:
    """Ends the task with an error.

    Raises:
        Fenced: If the attempt no longer holds the task.
    """
    values = {"status": "failed", "error": error.model_dump(), "finished_at": now()}
    _update_held(session, task_id, attempt, values)


def requeue_short_task(session: Session, task_id: str, attempt: int) -> None:
    """Puts the task back, for instance since the worker is told to end.

    Raises:
        Fenced: If the attempt no longer holds the task.
    """
    values = {"status": "queued", "attempt": ShortTask.attempt - 1, "owner": None}
    _update_held(session, task_id, attempt, values)


def running_short_tasks(session: Session) -> list[ShortTask]:
    """All that some worker holds."""
    return list(session.exec(select(ShortTask).where(ShortTask.status == "running")))


def count_queued_short_tasks(session: Session) -> int:
    """How many wait."""
    query = select(func.count()).select_from(ShortTask).where(ShortTask.status == "queued")
    return session.exec(query).one()


def reap_short_task(session: Session, task_id: str, *, attempt: int, beat: int) -> ShortTask | None:
    """Takes the task from a worker that is lost; None if it showed a sign of life after all."""
    guards = (
        col(ShortTask.status) == "running",
        col(ShortTask.attempt) == attempt,
        col(ShortTask.heartbeat) == beat,
    )
    if attempt < MAX_ATTEMPTS:
        return _update(session, task_id, *guards, values={"status": "queued", "owner": None})
    values = {"status": "failed", "error": LOST.model_dump(), "finished_at": now()}
    return _update(session, task_id, *guards, values=values)


def _update_held(
    session: Session,
    task_id: str,
    attempt: int,
    values: Mapping[str, Any],  # Any: columns by name
) -> None:
    guards = (col(ShortTask.status) == "running", col(ShortTask.attempt) == attempt)
    if _update(session, task_id, *guards, values=values) is None:
        raise Fenced(task_id, attempt)


def _update(
    session: Session,
    task_id: str,
    *guards: ColumnElement[bool],
    values: Mapping[str, Any],  # Any: columns by name
) -> ShortTask | None:
    statement = (
        update(ShortTask)
        .where(col(ShortTask.id) == task_id, *guards)
        .values(**values)
        .returning(ShortTask)
    )
    return session.exec(statement, execution_options=FRESH).scalars().one_or_none()
