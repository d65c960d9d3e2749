"""Short tasks: the API creates them, and the short worker (a process of its own) runs them.

A user waits for the result of a quick task (see `QUICK`), so quick tasks run without interruption.
The other tasks run in slices, each for a limited time. After a slice the task returns to the queue
with its state. So a quick task waits only for earlier quick tasks and for at most one slice of
another task, and a worker that dies loses at most one slice.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal

from sqlalchemy import ColumnElement, case, literal
from sqlmodel import Session, col, delete, func, select, update

from core.events.types import ErrorData, now
from jobs.errors import Fenced, ShortTaskNotFound
from jobs.store import require_job
from jobs.tables import Json, ShortTask, UtcDateTime
from jobs.transitions import FRESH

Kind = Literal["generate", "surprisal", "encode", "evaluate", "clean_report", "submission"]
QUICK: tuple[Kind, ...] = ("generate", "surprisal", "encode")
UNFINISHED = ("queued", "running")
KEEP_QUICK = timedelta(days=1)
"""Time for which a quick task is kept after its end."""
MAX_ATTEMPTS = 3
"""A task fails when this number of attempts in a row have died without finishing a slice."""
LOST = ErrorData(
    code="attempts_exhausted",
    message=f"the worker died {MAX_ATTEMPTS} times in a row without progress on this task",
    hint="See the log of the short worker.",
)
DEAD_ATTEMPTS = "dead_attempts"
"""Key in `ShortTask.state` for the number of attempts that had died when the last slice ended."""


def create_short_task(
    session: Session,
    *,
    kind: Kind,
    request: Json,
    job_id: str | None = None,
    dataset: str | None = None,
) -> ShortTask:
    """Creates a short task for a job or for a dataset.

    Raises:
        JobNotFound: If there is no such job.
    """
    assert (job_id is None) is not (dataset is None)
    if job_id is not None:
        require_job(session, job_id)
    task = ShortTask(kind=kind, job_id=job_id, dataset=dataset, request=request, created_at=now())
    return _add(session, [task])[0]


def create_short_tasks(
    session: Session, job_id: str, asked: Sequence[tuple[Kind, Json]]
) -> list[ShortTask]:
    """Creates short tasks for a job from pairs of kind and request; slow tasks run in this order.

    Raises:
        JobNotFound: If there is no such job.
    """
    require_job(session, job_id)
    tasks = [
        ShortTask(kind=kind, job_id=job_id, request=request, created_at=now())
        for kind, request in asked
    ]
    return _add(session, tasks)


def short_tasks_of_job(session: Session, job_id: str, kind: Kind) -> list[ShortTask]:
    """The tasks of this kind that belong to the job, oldest first."""
    query = (
        select(ShortTask)
        .where(ShortTask.job_id == job_id, ShortTask.kind == kind)
        .order_by(col(ShortTask.created_at), col(ShortTask.id))
    )
    return list(session.exec(query))


def unfinished_short_tasks(session: Session, job_id: str, kind: Kind) -> list[ShortTask]:
    """The queued and running tasks of this kind that belong to the job, oldest first."""
    query = (
        select(ShortTask)
        .where(*_unfinished(job_id, kind))
        .order_by(col(ShortTask.created_at), col(ShortTask.id))
    )
    return list(session.exec(query))


def count_unfinished_short_tasks(session: Session, job_id: str, kind: Kind) -> int:
    """The number of queued and running tasks of this kind that belong to the job."""
    query = select(func.count()).select_from(ShortTask).where(*_unfinished(job_id, kind))
    return session.exec(query).one()


def newest_short_task(session: Session, job_id: str, kind: Kind) -> ShortTask | None:
    """The newest task of this kind that belongs to the job; None if there is none."""
    query = (
        select(ShortTask)
        .where(ShortTask.job_id == job_id, ShortTask.kind == kind)
        .order_by(col(ShortTask.created_at).desc(), col(ShortTask.id).desc())
        .limit(1)
    )
    return session.exec(query).one_or_none()


def short_task_of_dataset(session: Session, dataset: str) -> ShortTask | None:
    """The newest task of a dataset."""
    query = (
        select(ShortTask)
        .where(ShortTask.dataset == dataset)
        .order_by(col(ShortTask.created_at).desc(), col(ShortTask.id))
        .limit(1)
    )
    return session.exec(query).one_or_none()


def forget_dataset(session: Session, dataset: str) -> None:
    """Removes the tasks of a dataset that was removed or replaced."""
    session.exec(delete(ShortTask).where(col(ShortTask.dataset) == dataset))


def get_short_task(session: Session, task_id: str) -> ShortTask:
    """The task of that id.

    Raises:
        ShortTaskNotFound: If there is no such task.
    """
    task = session.exec(select(ShortTask).where(ShortTask.id == task_id)).one_or_none()
    if task is None:
        raise ShortTaskNotFound(task_id)
    return task


def claim_short_task(session: Session, worker_id: str) -> ShortTask | None:
    """Assigns the oldest queued quick task to `worker_id`, or else the oldest other queued task.

    Returns None if no task is queued.
    """
    is_slow = case((col(ShortTask.kind).in_(QUICK), 0), else_=1)
    waiting = (
        select(ShortTask.id)
        .where(ShortTask.status == "queued")
        .order_by(is_slow, col(ShortTask.created_at), col(ShortTask.id))
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    task_id = session.exec(waiting).one_or_none()
    if task_id is None:
        return None
    values = {
        "status": "running",
        "worker_id": worker_id,
        "attempt": ShortTask.attempt + 1,
        "heartbeat": ShortTask.heartbeat + 1,
        "started_at": func.coalesce(ShortTask.started_at, literal(now(), UtcDateTime())),
    }
    return _update(session, task_id, col(ShortTask.status) == "queued", values=values)


def beat_short_task(session: Session, task_id: str, attempt: int) -> None:
    """Writes a heartbeat.

    Raises:
        Fenced: If the attempt no longer holds the task.
    """
    _update_held(session, task_id, attempt, {"heartbeat": ShortTask.heartbeat + 1})


def report_partial(session: Session, task_id: str, attempt: int, state: Json) -> None:
    """Stores a partial result, such as the text written so far; counts as a heartbeat.

    Raises:
        Fenced: If the attempt no longer holds the task.
    """
    values = {"heartbeat": ShortTask.heartbeat + 1, "state": state}
    _update_held(session, task_id, attempt, values)


def succeed_short_task(session: Session, task_id: str, attempt: int, result: Json) -> None:
    """Ends the task with its result.

    Raises:
        Fenced: If the attempt no longer holds the task.
    """
    values = {
        "status": "succeeded",
        "result": result,
        "progress": 1.0,
        "state": None,
        "finished_at": now(),
    }
    _update_held(session, task_id, attempt, values)


def fail_short_task(session: Session, task_id: str, attempt: int, error: ErrorData) -> None:
    """Ends the task with an error.

    Raises:
        Fenced: If the attempt no longer holds the task.
    """
    values = {"status": "failed", "error": error.model_dump(), "finished_at": now()}
    _update_held(session, task_id, attempt, values)


def requeue_short_task(session: Session, task_id: str, attempt: int) -> None:
    """Requeues the task without counting the attempt, such as when the worker shuts down.

    Raises:
        Fenced: If the attempt no longer holds the task.
    """
    values = {"status": "queued", "attempt": ShortTask.attempt - 1, "worker_id": None}
    _update_held(session, task_id, attempt, values)


def put_back_short_task(
    session: Session, task_id: str, attempt: int, *, state: Json, progress: float
) -> None:
    """Requeues the task after a slice without counting the attempt.

    Raises:
        Fenced: If the attempt no longer holds the task.
    """
    values = {
        "status": "queued",
        "attempt": ShortTask.attempt - 1,
        "worker_id": None,
        "state": state | {DEAD_ATTEMPTS: attempt - 1},
        "progress": progress,
    }
    _update_held(session, task_id, attempt, values)


def lose_short_task(session: Session, task: ShortTask, error: ErrorData) -> None:
    """Requeues a task whose process died and counts the attempt, or ends the task with `error`.

    A quick task fails at once, because a user waits for it. Any other task fails after
    `MAX_ATTEMPTS` attempts in a row without progress.

    Raises:
        Fenced: If the attempt no longer holds the task.
    """
    if task.kind in QUICK or _is_exhausted(task):
        fail_short_task(session, task.id, task.attempt, error)
    else:
        values = {"status": "queued", "worker_id": None}
        _update_held(session, task.id, task.attempt, values)


def running_short_tasks(session: Session) -> list[ShortTask]:
    """All tasks that a worker holds."""
    return list(session.exec(select(ShortTask).where(ShortTask.status == "running")))


def count_queued_short_tasks(session: Session) -> int:
    """The number of queued tasks."""
    query = select(func.count()).select_from(ShortTask).where(ShortTask.status == "queued")
    return session.exec(query).one()


def reap_short_task(session: Session, task_id: str, *, attempt: int, beat: int) -> ShortTask | None:
    """Takes the task from a lost worker; None if the attempt has a newer heartbeat or has ended."""
    guards = (
        col(ShortTask.status) == "running",
        col(ShortTask.attempt) == attempt,
        col(ShortTask.heartbeat) == beat,
    )
    task = session.exec(select(ShortTask).where(ShortTask.id == task_id)).one_or_none()
    if task is None:
        return None
    values: dict[str, Any] = {"status": "queued", "worker_id": None}  # values of any type
    if _is_exhausted(task):
        values = {"status": "failed", "error": LOST.model_dump(), "finished_at": now()}
    return _update(session, task_id, *guards, values=values)


def _is_exhausted(task: ShortTask) -> bool:
    """Whether `MAX_ATTEMPTS` attempts in a row have died without finishing a slice."""
    died_before = int((task.state or {}).get(DEAD_ATTEMPTS, 0))
    return task.attempt - died_before >= MAX_ATTEMPTS


def _add(session: Session, tasks: list[ShortTask]) -> list[ShortTask]:
    """Adds the tasks, and removes quick tasks that ended long ago."""
    old = delete(ShortTask).where(
        col(ShortTask.kind).in_(QUICK), col(ShortTask.finished_at) < now() - KEEP_QUICK
    )
    session.exec(old)
    session.add_all(tasks)
    session.flush()
    return tasks


def _unfinished(job_id: str, kind: Kind) -> tuple[ColumnElement[bool], ...]:
    return (
        col(ShortTask.job_id) == job_id,
        col(ShortTask.kind) == kind,
        col(ShortTask.status).in_(UNFINISHED),
    )


def _update_held(
    session: Session,
    task_id: str,
    attempt: int,
    values: Mapping[str, Any],  # values of any type by column name
) -> None:
    guards = (col(ShortTask.status) == "running", col(ShortTask.attempt) == attempt)
    if _update(session, task_id, *guards, values=values) is None:
        raise Fenced(task_id, attempt)


def _update(
    session: Session,
    task_id: str,
    *guards: ColumnElement[bool],
    values: Mapping[str, Any],  # values of any type by column name
) -> ShortTask | None:
    statement = (
        update(ShortTask)
        .where(col(ShortTask.id) == task_id, *guards)
        .values(**values)
        .returning(ShortTask)
    )
    return session.exec(statement, execution_options=FRESH).scalars().one_or_none()
