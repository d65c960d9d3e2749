"""The writes of a worker: the claim of a job, and the writes that need a valid claim.

The number of the attempt is the fencing token, and every write names it. If the job has a newer
attempt or is no longer running, the write changes nothing and raises `Fenced`. The worker then ends
its training process.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import func, literal
from sqlmodel import Session, col, select, update

from core.events.types import ErrorData, EvaluationData, JournalEvent, event_of, now
from jobs.database import insert, upsert
from jobs.errors import Fenced
from jobs.evaluations import list_evaluation, list_finetuned
from jobs.positions import QUEUE_ORDER
from jobs.projection import Projection, finite, project
from jobs.resources import Offer, can_run
from jobs.states import FinalStatus
from jobs.tables import Checkpoint, Job, JobEvent, Metric, MetricStep, UtcDateTime
from jobs.transitions import transition, update_job
from jobs.webhooks import queue_messages


@dataclass(frozen=True)
class StopRequest:
    """Whether the user requested to cancel or pause a running job."""

    cancel: bool
    pause: bool


def claim_next(
    session: Session,
    worker_id: str,
    offer: Offer | None = None,
    *,
    free_bytes: int | None = None,
) -> Job | None:
    """Assigns the next queued job to `worker_id`: highest priority first, then longest waiting.

    Args:
        session: A session in a write transaction.
        worker_id: The id of the worker.
        offer: The resources of the slot; jobs that need more are skipped. None means no limit.
        free_bytes: Free memory of the slot's device if other jobs run on it, or None if no other
            job runs on it. If the next job needs more memory, or an unknown amount, the function
            returns None. It does not claim a later job instead, because otherwise later, smaller
            jobs could keep a large job waiting forever.
    """
    waiting = (
        select(Job.id, Job.device_bytes)
        .where(Job.status == "queued", *([] if offer is None else [can_run(offer)]))
        .order_by(*QUEUE_ORDER)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    found = session.exec(waiting).one_or_none()
    if found is None:
        return None
    job_id, device_bytes = found
    if free_bytes is not None and (device_bytes is None or device_bytes > free_bytes):
        return None
    return transition(
        session,
        job_id,
        source=("queued",),
        to="running",
        reason=None,
        values={
            "attempt": Job.attempt + 1,
            "worker_id": worker_id,
            "heartbeat": Job.heartbeat + 1,
            "started_at": func.coalesce(Job.started_at, literal(now(), UtcDateTime())),
            "finished_at": None,
            "error_code": None,
            "error_message": None,
            "error_hint": None,
        },
    )


def heartbeat(session: Session, job_id: str, attempt: int) -> StopRequest:
    """Writes a heartbeat; returns the stop request of the user.

    Raises:
        Fenced: If the attempt no longer holds the job.
    """
    return _stop_request(_update_held(session, job_id, attempt, {}))


def read_stop_request(session: Session, job_id: str, attempt: int) -> StopRequest:
    """Returns the stop request of the user without writing a heartbeat.

    Raises:
        Fenced: If the attempt no longer holds the job.
    """
    held = select(Job).where(Job.id == job_id, Job.attempt == attempt, Job.status == "running")
    return _stop_request(_held(session.exec(held).one_or_none(), job_id, attempt))


def record_events(
    session: Session,
    job_id: str,
    attempt: int,
    events: Sequence[JournalEvent],
    *,
    journal_offset: int,
) -> StopRequest:
    """Copies events into rows, numbers them, and updates the journal offset and the heartbeat.

    Raises:
        Fenced: If the attempt no longer holds the job.
        ValueError: If the data of an event does not match the event's type, or if an event has the
            type `status`, which only the service may write.
    """
    values = {"last_seq": Job.last_seq + len(events), "journal_offset": journal_offset}
    job = _update_held(session, job_id, attempt, values)
    projection = project(
        job_id, events, latest_metrics=job.latest_metrics, checkpoint_step=job.checkpoint_step
    )
    first_seq = job.last_seq - len(events) + 1
    rows = [
        {
            "job_id": job_id,
            "seq": seq,
            "time": event.time,
            "type": event.type,
            "data": finite(event.data),
        }
        for seq, event in enumerate(events, first_seq)
    ]
    if rows:
        session.execute(insert(session, JobEvent), rows)
    _apply(session, job_id, projection)
    for event in events:
        if event.type == "evaluation":
            evaluation = EvaluationData.model_validate(event.data)
            if job.spec.get("task") == "finetune":
                list_finetuned(session, job, evaluation)
            else:
                list_evaluation(session, job_id, evaluation)
    queue_messages(session, job, events)
    return _stop_request(job)


def record_error(session: Session, job_id: str, attempt: int, error: ErrorData) -> None:
    """Adds an `error` event for a failure that the run could not report itself.

    Raises:
        Fenced: If the attempt no longer holds the job.
    """
    job = _update_held(session, job_id, attempt, {})
    record_events(session, job_id, attempt, [event_of(error)], journal_offset=job.journal_offset)


def finish(
    session: Session,
    job_id: str,
    attempt: int,
    status: FinalStatus,
    *,
    error: ErrorData | None = None,
    reason: str | None = None,
) -> Job:
    """Ends the job. Call this function after the job's process group has ended.

    Raises:
        Fenced: If the attempt no longer holds the job.
    """
    values: dict[str, object] = {
        "finished_at": now(),
        "eta_seconds": None,
        "error_code": error.code if error else None,
        "error_message": error.message if error else None,
        "error_hint": error.hint if error else None,
    }
    if status == "succeeded":
        values["progress"] = 1.0
    job = transition(
        session,
        job_id,
        col(Job.attempt) == attempt,
        source=("running",),
        to=status,
        reason=reason or (error.code if error else None),
        values=values,
    )
    return _held(job, job_id, attempt)


def mark_paused(session: Session, job_id: str, attempt: int, *, reason: str | None = None) -> Job:
    """Marks the job as paused. Call this function after the job's process group has ended.

    Raises:
        Fenced: If the attempt no longer holds the job.
    """
    job = transition(
        session,
        job_id,
        col(Job.attempt) == attempt,
        source=("running",),
        to="paused",
        reason=reason,
        values={"eta_seconds": None, "pause_requested_at": None},
    )
    return _held(job, job_id, attempt)


def requeue(session: Session, job_id: str, attempt: int, *, reason: str) -> Job:
    """Requeues the job at its previous position, without counting the attempt as failed.

    Raises:
        Fenced: If the attempt no longer holds the job.
    """
    return _requeue(session, job_id, attempt, reason, {})


def requeue_last(session: Session, job_id: str, attempt: int, *, reason: str) -> Job:
    """Requeues the job after all other queued jobs, because it cannot run at the moment.

    Raises:
        Fenced: If the attempt no longer holds the job.
    """
    return _requeue(session, job_id, attempt, reason, {"queued_at": now()})


def requeue_counted(session: Session, job_id: str, attempt: int, *, reason: str) -> Job:
    """Requeues the job after an attempt that died, and adds 1 to `attempts_without_checkpoint`.

    A new checkpoint resets this count to 0.

    Raises:
        Fenced: If the attempt no longer holds the job.
    """
    count = {"attempts_without_checkpoint": Job.attempts_without_checkpoint + 1}
    return _requeue(session, job_id, attempt, reason, count)


def running_jobs(session: Session) -> list[Job]:
    """All jobs that a worker holds."""
    return list(session.exec(select(Job).where(Job.status == "running")))


def running_heartbeats(session: Session) -> list[tuple[str, int, int]]:
    """Id, attempt and heartbeat of all running jobs, without their specs, for frequent reads."""
    query = select(Job.id, Job.attempt, Job.heartbeat).where(Job.status == "running")
    return list(session.exec(query))


def reap(session: Session, job_id: str, *, attempt: int, beat: int) -> Job | None:
    """Takes the job from a lost worker; None if the attempt has a newer heartbeat or has ended.

    `beat` is the last heartbeat that the caller has read. If the user requested to cancel or pause
    the job, the function applies this request; otherwise it requeues the job. It does not check the
    limit `max_attempts`. The next worker checks the limit, because that worker can read in the
    journal whether the lost attempt saved a checkpoint.
    """
    # Reading before writing is safe here: SQLite's write lock or Postgres's row lock is held.
    unchanged = (
        select(Job)
        .where(Job.id == job_id, Job.attempt == attempt, Job.heartbeat == beat)
        .where(Job.status == "running")
        .with_for_update()
    )
    held = session.exec(unchanged).one_or_none()
    if held is None:
        return None
    reason = "worker_lost"
    if held.cancel_requested_at is not None:
        return finish(session, job_id, attempt, "cancelled", reason=reason)
    if held.pause_requested_at is not None:
        return mark_paused(session, job_id, attempt, reason=reason)
    return requeue_counted(session, job_id, attempt, reason=reason)


def _requeue(
    session: Session, job_id: str, attempt: int, reason: str, values: Mapping[str, object]
) -> Job:
    job = transition(
        session,
        job_id,
        col(Job.attempt) == attempt,
        source=("running",),
        to="queued",
        reason=reason,
        values={"eta_seconds": None, **values},
    )
    return _held(job, job_id, attempt)


def _update_held(session: Session, job_id: str, attempt: int, values: Mapping[str, object]) -> Job:
    job = update_job(
        session,
        job_id,
        col(Job.attempt) == attempt,
        col(Job.status) == "running",
        values={"heartbeat": Job.heartbeat + 1, **values},
    )
    return _held(job, job_id, attempt)


def _held(job: Job | None, job_id: str, attempt: int) -> Job:
    if job is None:
        raise Fenced(job_id, attempt)
    return job


def _stop_request(job: Job) -> StopRequest:
    return StopRequest(
        cancel=job.cancel_requested_at is not None, pause=job.pause_requested_at is not None
    )


def _apply(session: Session, job_id: str, projection: Projection) -> None:
    if projection.job:
        update_job(session, job_id, values=projection.job)
    steps = list(projection.metric_steps.values())
    upsert(session, MetricStep, steps, keys=("job_id", "step"))
    metrics = list(projection.metrics.values())
    upsert(session, Metric, metrics, keys=("job_id", "name", "step"))
    saved = list(projection.checkpoints.values())
    upsert(session, Checkpoint, saved, keys=("job_id", "name"))
    for name, values in projection.removed.items():
        session.exec(
            update(Checkpoint)
            .where(col(Checkpoint.job_id) == job_id, col(Checkpoint.name) == name)
            .values(**values),
            execution_options={"synchronize_session": False},
        )
