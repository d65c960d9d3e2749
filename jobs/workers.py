"""The rows of the workers. Each worker updates its own row."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import bindparam, func, or_
from sqlmodel import Session, col, delete, select

from core.events.types import now
from jobs.database import upsert
from jobs.tables import WorkerRow

REPORT_SECONDS = 2.0
"""Seconds between two reports of a worker or provisioner."""
LIVE_SECONDS = 10.0
"""Seconds after its last report for which a worker counts as alive."""
PILOT_OF = col(WorkerRow.offer)["job_id"].as_string()
LIVE = (
    select(WorkerRow)
    .where(col(WorkerRow.seen_at) > bindparam("since"))
    .order_by(col(WorkerRow.started_at))
)
"""Statements are built once, because building one takes longer than the query."""
LIVE_TRAIN = LIVE.where(
    WorkerRow.queue == "train",
    or_(PILOT_OF.is_(None), PILOT_OF.in_(bindparam("pilots_of", expanding=True))),
)


def database_time(session: Session) -> datetime:
    """The time of the database server, which all hosts share. With SQLite, the time of the host."""
    if session.get_bind().dialect.name == "sqlite":
        return now()
    moment: datetime = session.exec(select(func.clock_timestamp())).one()
    return moment.astimezone(UTC)


def report_worker(session: Session, worker: WorkerRow) -> None:
    """Writes the row of a worker with the current time and a heartbeat counter increased by 1."""
    worker.heartbeat += 1
    worker.seen_at = database_time(session)
    upsert(session, WorkerRow, [worker.model_dump()], keys=("id",))


def remove_worker(session: Session, worker_id: str) -> None:
    """Removes the row of a worker that has ended."""
    session.exec(delete(WorkerRow).where(col(WorkerRow.id) == worker_id))


def worker_heartbeats(session: Session) -> list[tuple[str, int]]:
    """Id and heartbeat of all rows, including the rows of workers that died."""
    return list(session.exec(select(WorkerRow.id, WorkerRow.heartbeat)))


def live_workers(session: Session, *, at: datetime | None = None) -> list[WorkerRow]:
    """The workers that reported recently, oldest first."""
    since = (at or database_time(session)) - timedelta(seconds=LIVE_SECONDS)
    return list(session.exec(LIVE, params={"since": since}))


def live_train_workers(session: Session, *, pilots_of: Sequence[str] = ()) -> list[WorkerRow]:
    """Live workers for training, and the pilots of the given jobs.

    A pilot is a worker that Slurm starts for one job. A cluster may have a thousand pilots, so
    pilots of other jobs are not read.
    """
    since = database_time(session) - timedelta(seconds=LIVE_SECONDS)
    values = {"since": since, "pilots_of": list(pilots_of)}
    return list(session.exec(LIVE_TRAIN, params=values))
