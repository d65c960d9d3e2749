"""Placements: the attempts of jobs that were submitted to Slurm, and their state in Slurm.

A provisioner submits a Slurm job, called a pilot, for each placement. It writes the row of the
placement before it calls `sbatch`, and (job, attempt) is the key of the row, so several
provisioners never submit the same attempt twice. A later write of a provisioner changes a row only
if `tries`, the number of calls of `sbatch`, is unchanged. A pilot writes its Slurm id into the row
if the row has none, and ends if the row has another id. So if Slurm ever starts two pilots, only
one of them runs the job.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import String, and_
from sqlmodel import Session, col, select, update

from core.events.types import now
from jobs.clock import database_time
from jobs.database import insert
from jobs.expressions import SecondsAgo, is_one_of
from jobs.positions import QUEUE_ORDER
from jobs.tables import Job, Placement, WorkerRow

PREFIX = "babylm-"
QUEUE = "slurm"
"""The value of `queue` in the row of a provisioner, which is in the table of workers."""
PROVISIONER_SECONDS = 900.0
"""Seconds for which a provisioner counts as live after a report. A provisioner that cron starts
reports every few minutes."""
SUBMITTING, UNKNOWN, REFUSED, LOST = "submitting", "unknown", "refused", "lost"
"""The states that the service sets; all other states come from Slurm."""
ENDED = frozenset(
    (
        *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL"),
        *("OUT_OF_MEMORY", "PREEMPTED", "REVOKED", "TIMEOUT"),
    )
)
"""Slurm's states of a job that has ended."""
HELD_BACK = frozenset((REFUSED, LOST)) | ENDED
"""States of an open placement that is submitted again after a delay."""
IS_LIVE_PROVISIONER = and_(
    col(WorkerRow.queue) == QUEUE, col(WorkerRow.seen_at) > SecondsAgo(PROVISIONER_SECONDS)
)
LIVE_PROVISIONERS = select(WorkerRow).where(IS_LIVE_PROVISIONER)
OPEN = (
    select(Placement)
    .where(
        col(Placement.is_open).is_(True),
        is_one_of(col(Placement.job_id), "job_ids", String),
    )
    .order_by(col(Placement.attempt))
)
"""Statements are built once, because building one takes longer than the query."""


@dataclass(frozen=True)
class Pair:
    """A placement and its job."""

    placement: Placement
    job: Job


def placement_name(job_id: str, attempt: int) -> str:
    """The name of the Slurm job."""
    return f"{PREFIX}{job_id}-{attempt}"


def begin_placement(session: Session, job_id: str, attempt: int) -> Placement | None:
    """Reserves the submission of that attempt; None if another provisioner has it."""
    moment = database_time(session)
    row = Placement(
        job_id=job_id,
        attempt=attempt,
        name=placement_name(job_id, attempt),
        state=SUBMITTING,
        created_at=moment,
        changed_at=moment,
    )
    statement = insert(session, Placement).values(**row.model_dump()).on_conflict_do_nothing()
    inserted = session.exec(statement.returning(col(Placement.job_id))).one_or_none()
    before = find_placement(session, job_id, attempt)
    if inserted is not None or before is None:
        return before
    # The placement was closed when the queued job was paused. After the resume the next attempt has
    # the same number, so its placement is opened again.
    is_ours = _submit_again(session, before, col(Placement.is_open).is_(False))
    return find_placement(session, job_id, attempt) if is_ours else None


def find_placement(session: Session, job_id: str, attempt: int) -> Placement | None:
    """The placement of that attempt."""
    query = select(Placement).where(Placement.job_id == job_id, Placement.attempt == attempt)
    fresh = {"populate_existing": True}  # the row may have changed in this transaction
    return session.exec(query, execution_options=fresh).one_or_none()


def newest_placements(session: Session, job_ids: Sequence[str]) -> dict[str, Placement]:
    """The newest open placement of each of the jobs, if it has one."""
    found = session.exec(OPEN, params={"job_ids": list(job_ids)})
    return {placement.job_id: placement for placement in found}


def open_placements(session: Session) -> list[Pair]:
    """The placements that the provisioner must track, each with its job."""
    query = (
        select(Placement, Job)
        .join(Job, col(Job.id) == col(Placement.job_id))
        .where(col(Placement.is_open).is_(True))
        .order_by(col(Placement.created_at), col(Placement.job_id))
    )
    return [Pair(placement, job) for placement, job in session.exec(query)]


def unplaced_jobs(session: Session, *, limit: int) -> list[Job]:
    """Queued jobs that may run on Slurm and have no open placement for their next attempt."""
    placed = select(Placement.job_id).where(
        col(Placement.job_id) == col(Job.id),
        col(Placement.attempt) == Job.attempt + 1,
        col(Placement.is_open).is_(True),
    )
    query = (
        select(Job)
        .where(Job.status == "queued", col(Job.where_allowed).in_(("any", "slurm")))
        .where(~placed.exists())
        .order_by(*QUEUE_ORDER)
        .limit(limit)
    )
    return list(session.exec(query))


def update_placement(session: Session, placement: Placement, **values: Any) -> bool:
    """Changes a placement; False if another provisioner has changed it since it was read."""
    if {"state", "tries"} & values.keys():
        values = {"changed_at": database_time(session), **values}
    return _update(session, placement, col(Placement.tries) == placement.tries, **values)


def submit_again(session: Session, placement: Placement) -> bool:
    """Reserves another call of `sbatch` for that attempt; False if another provisioner has it."""
    return _submit_again(session, placement, col(Placement.state) == placement.state)


def enter_slurm_id(session: Session, placement: Placement, slurm_id: str) -> bool:
    """Records the Slurm id that `sbatch` or `squeue` returned; False if the row already has one."""
    return _update(
        session,
        placement,
        col(Placement.tries) == placement.tries,
        col(Placement.slurm_id).is_(None),
        slurm_id=slurm_id,
        state="PENDING",
        reason=None,
        missed=0,
        changed_at=database_time(session),
    )


def start_pilot(
    session: Session, job_id: str, attempt: int, *, slurm_id: str, worker_id: str
) -> bool:
    """Records the pilot; False if the placement belongs to another Slurm job or is closed."""
    statement = (
        update(Placement)
        .where(col(Placement.job_id) == job_id, col(Placement.attempt) == attempt)
        .where(col(Placement.is_open).is_(True))
        .where(col(Placement.slurm_id).is_(None) | (col(Placement.slurm_id) == slurm_id))
        .values(slurm_id=slurm_id, worker_id=worker_id, state="RUNNING", reason=None)
    )
    return bool(session.exec(statement, execution_options={"synchronize_session": False}).rowcount)


def live_provisioners(session: Session) -> list[WorkerRow]:
    """Provisioners that reported recently."""
    return list(session.exec(LIVE_PROVISIONERS))


def describe_placement(placement: Placement) -> str:
    """Describes the state of a placement for users."""
    reason = f": {placement.reason}" if placement.reason else ""
    if placement.state == SUBMITTING:
        return "being submitted to Slurm"
    if placement.state == UNKNOWN:
        return f"the answer of Slurm was unclear{reason}"
    if placement.state == REFUSED:
        return f"Slurm refused the job{reason}"
    number = f"Slurm job {placement.slurm_id}"
    if placement.state == LOST:
        return f"{number} is no longer listed and will be submitted again"
    if placement.state == "PENDING":
        words = f"{number}, waiting for {placement.reason or 'its turn'}"
        if placement.expected_start_at is not None:
            words += f", expected start {_clock(placement.expected_start_at)}"
        return words
    if placement.state in ENDED:
        return f"{number} ended as {placement.state}{reason} and will be submitted again"
    return f"{number} is {placement.state}"


def _clock(moment: datetime) -> str:
    """The time of day in UTC, with the date if it is not today."""
    same_day = moment.date() == now().date()
    return moment.strftime("%H:%M UTC" if same_day else "%Y-%m-%d %H:%M UTC")


def _submit_again(session: Session, placement: Placement, *guards: Any) -> bool:
    return _update(
        session,
        placement,
        col(Placement.tries) == placement.tries,
        *guards,
        tries=placement.tries + 1,
        is_open=True,
        state=SUBMITTING,
        reason=None,
        slurm_id=None,
        worker_id=None,
        expected_start_at=None,
        missed=0,
        changed_at=database_time(session),
    )


def _update(session: Session, placement: Placement, *guards: Any, **values: Any) -> bool:
    statement = (
        update(Placement)
        .where(
            col(Placement.job_id) == placement.job_id,
            col(Placement.attempt) == placement.attempt,
            *guards,
        )
        .values(**values)
    )
    return bool(session.exec(statement, execution_options={"synchronize_session": False}).rowcount)
