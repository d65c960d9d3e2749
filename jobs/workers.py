"""The rows of the workers. Each worker updates its own row."""

from sqlalchemy import String, and_, or_
from sqlmodel import Session, col, delete, select

from jobs.clock import database_time
from jobs.database import upsert
from jobs.expressions import SecondsAgo, is_one_of
from jobs.tables import WorkerRow

REPORT_SECONDS = 2.0
"""Seconds between two reports of a worker or provisioner."""
LIVE_SECONDS = 10.0
"""Seconds after its last report for which a worker counts as alive."""
PILOT_OF = col(WorkerRow.offer)["job_id"].as_string()
IS_LIVE = col(WorkerRow.seen_at) > SecondsAgo(LIVE_SECONDS)
IS_LIVE_TRAIN = and_(
    IS_LIVE,
    col(WorkerRow.queue) == "train",
    or_(PILOT_OF.is_(None), is_one_of(PILOT_OF, "pilots_of", String)),
)
"""Selects live workers for training, and the pilots of the jobs `pilots_of`. A pilot is a worker
that Slurm starts for one job. A cluster may have a thousand, so those of other jobs are not read.
"""
LIVE = select(WorkerRow).where(IS_LIVE).order_by(col(WorkerRow.started_at))
"""Statements are built once, because building one takes longer than the query."""
LIVE_TRAIN = select(WorkerRow).where(IS_LIVE_TRAIN).order_by(col(WorkerRow.started_at))


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


def live_workers(session: Session) -> list[WorkerRow]:
    """The workers that reported recently, oldest first."""
    return list(session.exec(LIVE))


def live_train_workers(session: Session) -> list[WorkerRow]:
    """Live workers for training, without pilots."""
    return list(session.exec(LIVE_TRAIN, params={"pilots_of": []}))
