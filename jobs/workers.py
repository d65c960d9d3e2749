"""The workers as the service knows them: each keeps a row about itself."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import func
from sqlmodel import Session, col, delete, select

from core.events.types import now
from jobs.database import upsert
from jobs.tables import WorkerRow

LIVE_SECONDS = 10.0
"""A worker that was seen within so long is shown as alive."""


def database_time(session: Session) -> datetime:
    """The time by the one clock that all hosts share: the database server's, if there is one."""
    if session.get_bind().dialect.name == "sqlite":
        return now()
    moment: datetime = session.exec(select(func.clock_timestamp())).one()
    return moment.astimezone(UTC)


def report_worker(session: Session, worker: WorkerRow) -> None:
    """Writes the row of a worker, with the time and one more heartbeat."""
    worker.heartbeat += 1
    worker.seen_at = database_time(session)
    upsert(session, WorkerRow, [worker.model_dump()], keys=("id",))


def remove_worker(session: Session, worker_id: str) -> None:
    """Removes the row of a worker that ends, or has ended long ago."""
    session.exec(delete(WorkerRow).where(col(WorkerRow.id) == worker_id))


def all_workers(session: Session) -> list[WorkerRow]:
    """Those that never said goodbye among them."""
    return list(session.exec(select(WorkerRow).order_by(col(WorkerRow.started_at))))


def live_workers(session: Session, *, at: datetime | None = None) -> list[WorkerRow]:
    """Those that were seen lately, oldest first."""
    since = (at or database_time(session)) - timedelta(seconds=LIVE_SECONDS)
    query = select(WorkerRow).where(WorkerRow.seen_at > since).order_by(col(WorkerRow.started_at))
    return list(session.exec(query))
