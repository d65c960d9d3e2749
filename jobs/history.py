"""The events and checkpoints of a job."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import String, bindparam
from sqlmodel import Session, col, select

from core.events.types import StageData, StageName
from jobs.errors import CheckpointNotFound
from jobs.expressions import is_one_of
from jobs.store import require_job
from jobs.tables import Checkpoint, JobEvent, Json

EVENTS_PAGE = 1000
ALIASES = ("best", "last")
STAGE_EVENTS = 7
"""Number of `stage` events up to the start of training: the start and end of clean, tokenizer and
tokenize, and the start of training. A search for more would read all events of a job."""
EVENTS = (
    # Columns, not entities: building ORM objects takes longer than the query.
    select(JobEvent.seq, JobEvent.time, JobEvent.type, JobEvent.data)
    .where(col(JobEvent.job_id) == bindparam("job_id"), col(JobEvent.seq) > bindparam("after"))
    .order_by(col(JobEvent.seq))
    .limit(bindparam("limit"))
)
"""Statements are built once, because building one takes longer than the query."""
OF_TYPES = EVENTS.where(is_one_of(col(JobEvent.type), "types", String))


class Event(NamedTuple):
    """An event of a job."""

    seq: int
    time: datetime
    type: str
    data: Json


def events_after(
    session: Session,
    job_id: str,
    after: int = 0,
    *,
    limit: int = EVENTS_PAGE,
    types: Sequence[str] = (),
) -> list[Event]:
    """The events that follow number `after`, in order; only events of `types` if any are given."""
    query = OF_TYPES if types else EVENTS
    values: dict[str, Any] = {"job_id": job_id, "after": after, "limit": limit}
    if types:
        values["types"] = list(types)
    return [Event(*row) for row in session.execute(query, values)]


def last_warning(session: Session, job_id: str, code: str) -> str | None:
    """The message of the newest `warning` event with that code."""
    query = (
        select(JobEvent)
        .where(JobEvent.job_id == job_id, JobEvent.type == "warning")
        .order_by(col(JobEvent.seq).desc())
    )
    for event in session.exec(query):
        if event.data["code"] == code:
            return str(event.data["message"])
    return None


def finished_stage(session: Session, job_id: str, stage: StageName) -> StageData | None:
    """The data of the first event that ends a stage; None if the stage has not ended.

    Reads only the first `STAGE_EVENTS` stage events, which include all stages before training.
    """
    query = (
        select(JobEvent)
        .where(JobEvent.job_id == job_id, JobEvent.type == "stage")
        .order_by(col(JobEvent.seq))
        .limit(STAGE_EVENTS)
    )
    for event in session.exec(query):
        data = StageData.model_validate(event.data)
        if data.stage == stage and data.state == "finished":
            return data
    return None


def list_checkpoints(session: Session, job_id: str) -> list[Checkpoint]:
    """The checkpoints that still have their files, by step.

    Raises:
        JobNotFound: If there is no such job.
    """
    require_job(session, job_id)
    query = (
        select(Checkpoint)
        .where(Checkpoint.job_id == job_id, col(Checkpoint.removed_at).is_(None))
        .order_by(col(Checkpoint.step), col(Checkpoint.created_at), col(Checkpoint.name))
    )
    return list(session.exec(query))


def find_checkpoint(session: Session, job_id: str, name: str) -> Checkpoint:
    """The checkpoint of that name; `best` and `last` also mean the newest checkpoint of that kind.

    A job has no checkpoint of the kind `last` before its training is finished. Until then, the name
    `last` means the newest checkpoint of any kind.

    Raises:
        JobNotFound: If there is no such job.
        CheckpointNotFound: If the job has no such checkpoint.
    """
    checkpoints = list_checkpoints(session, job_id)
    for checkpoint in checkpoints:
        if checkpoint.name == name:
            return checkpoint
    found: Sequence[Checkpoint] = []
    if name in ALIASES:
        found = [checkpoint for checkpoint in checkpoints if checkpoint.kind == name]
    if name == "last" and not found:
        found = checkpoints
    if not found:
        raise CheckpointNotFound(job_id, name, [checkpoint.name for checkpoint in checkpoints])
    return found[-1]
