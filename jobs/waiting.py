"""The reason why a job is queued: no worker, other jobs, or Slurm."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from sqlalchemy import or_
from sqlmodel import Session, col, select

from core.spec.job import JobSpec
from jobs.placements import (
    IS_LIVE_PROVISIONER,
    describe_placement,
    live_provisioners,
    newest_placements,
)
from jobs.placements import QUEUE as SLURM
from jobs.positions import queue_positions
from jobs.resources import Offer, needs_of, offer_of, serves, unserved_reason
from jobs.tables import Job, Placement, WorkerRow
from jobs.workers import IS_LIVE_TRAIN, live_train_workers

LIVE_FOR_QUEUE = (
    select(WorkerRow)
    .where(or_(IS_LIVE_TRAIN, IS_LIVE_PROVISIONER))
    .order_by(col(WorkerRow.started_at))
)
"""Built once, because building a statement takes longer than the query."""


@dataclass(frozen=True)
class Waiting:
    """The reason why a job is queued."""

    what: Literal["a worker", "its turn", "slurm"]
    position: int
    """Position in the queue, counted from 1."""
    detail: str | None = None
    """Details for users, if any."""
    slurm: dict[str, Any] | None = None  # any JSON value
    """job_id, state, reason and expected_start_at of the Slurm job."""


@dataclass(frozen=True)
class Queue:
    """The state of the queue and of the workers that `waiting_for` needs."""

    positions: dict[str, int]
    offers: tuple[Offer, ...]
    """The distinct offers of the live train workers, and of pilots of the queued jobs. A pilot is a
    worker that Slurm starts for one job."""
    has_provisioner: bool
    placements: dict[str, Placement]
    """The newest open placement of each queued job."""


def read_queue(session: Session, jobs: Sequence[Job]) -> Queue:
    """Reads the state that `waiting_for` needs for the jobs that are queued; ignores other jobs."""
    queued = [job for job in jobs if job.status == "queued"]
    if not queued:
        return Queue({}, (), False, {})
    ids = [job.id for job in queued]
    workers = session.exec(LIVE_FOR_QUEUE, params={"pilots_of": ids}).all()
    return Queue(
        positions=queue_positions(session, queued),
        offers=_offers(each for each in workers if each.queue != SLURM),
        has_provisioner=any(each.queue == SLURM for each in workers),
        placements=newest_placements(session, ids),
    )


def waiting_for(job: Job, queue: Queue) -> Waiting | None:
    """The reason why the job is queued; None if it is not queued."""
    if job.status != "queued":
        return None
    position = queue.positions.get(job.id, 1)
    is_served = any(serves(offer, job) for offer in queue.offers)
    placement = queue.placements.get(job.id)
    if placement is not None and placement.attempt == job.attempt + 1:
        return Waiting("slurm", position, describe_placement(placement), _details(placement))
    if is_served:
        return Waiting("its turn", position)
    offers = [offer for offer in queue.offers if offer.job_id is None]
    if job.where_allowed != "local" and queue.has_provisioner:
        return Waiting("slurm", position, "not submitted to Slurm yet")
    if not offers and job.where_allowed != "slurm":
        return Waiting("a worker", position, "no worker is alive")
    reason = unserved_reason(job, offers)
    if job.where_allowed != "local":
        reason += "; no provisioner (babylm provision slurm) has reported in the last 15 minutes"
    return Waiting("a worker", position, reason)


def unserved_now(session: Session, spec: JobSpec) -> str | None:
    """The reason why a job of this spec would wait; None if a live worker can run the job.

    Also returns None if no worker is alive or if Slurm may start one, because then the resources
    of the future workers are unknown.
    """
    job = Job(id="", name="", status="queued", spec={}, **asdict(needs_of(spec)))
    offers = _offers(live_train_workers(session))
    if not offers or any(serves(offer, job) for offer in offers):
        return None
    if job.where_allowed != "local" and live_provisioners(session):
        return None
    return unserved_reason(job, offers)


def _offers(workers: Iterable[WorkerRow]) -> tuple[Offer, ...]:
    """The distinct offers of the workers."""
    return tuple(dict.fromkeys(offer_of(worker) for worker in workers))


def _details(placement: Placement) -> dict[str, Any]:  # any JSON value
    return {
        "job_id": placement.slurm_id,
        "state": placement.state,
        "reason": placement.reason,
        "expected_start_at": placement.expected_start_at,
    }
