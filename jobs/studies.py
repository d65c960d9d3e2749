"""Studies: a study is a group of jobs, with one job for each condition and each seed.

A condition is a combination of values of the study's grid. The jobs of a study are called its
members and are ordinary jobs. A unique index on study, condition and seed prevents duplicate
members. The functions never commit, as in `jobs.store`.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from sqlalchemy import func
from sqlmodel import Session, col, delete, select

from core.events.types import now
from core.spec.grid import (
    Condition,
    ConditionInvalid,
    Member,
    conditions_of,
    describe,
    member_name,
)
from core.spec.job import JobSpec
from core.spec.stored import read_stored_spec
from jobs.cursors import make_cursor, read_cursor, rows_after
from jobs.database import insert
from jobs.errors import IdempotencyConflict, StudyNotFound, StudyRefused
from jobs.states import FINAL
from jobs.store import (
    Membership,
    create_job,
    request_cancel,
    resume,
    retry,
)
from jobs.study_table import MemberRow, compared_values
from jobs.tables import Job, Study, new_id

RESUMED = ("paused", "failed", "cancelled")


def create_study(
    session: Session,
    *,
    name: str,
    base: Mapping[str, Any],
    grid: Mapping[str, Sequence[Any]],
    seeds: Sequence[int],
    members: Sequence[Member],
    idempotency_key: str | None = None,
) -> tuple[Study, dict[str, JobSpec]]:
    """Creates a study and all its members; returns it, and the specs of its new jobs by id.

    There are no new jobs if the key was used before for the same request.

    Args:
        session: A session in a write transaction, so that a study never exists with only some of
            its members.
        name: Display name.
        base: The spec that the members share.
        grid: Lists of JSON values by dotted field, such as `training.learning_rate`.
        seeds: Seeds of each condition.
        members: See `core.spec.grid.make_members`.
        idempotency_key: A repeated key with the same request returns the existing study.

    Raises:
        IdempotencyConflict: If the key was used for another request.
    """
    request = json.dumps([name, base, grid, list(seeds)])
    study = Study(
        id=new_id(),
        name=name,
        base=dict(base),
        grid=dict(grid),
        seeds=list(seeds),
        idempotency_key=idempotency_key,
        request_hash=hashlib.sha256(request.encode()).hexdigest(),
        created_at=now(),
    )
    statement = insert(session, Study).values(**study.model_dump()).on_conflict_do_nothing()
    if session.exec(statement.returning(col(Study.id))).one_or_none() is None:
        first = session.exec(select(Study).where(Study.idempotency_key == idempotency_key)).one()
        if first.request_hash != study.request_hash:
            raise IdempotencyConflict(str(idempotency_key), first.id, kind="study")
        return first, {}
    created = add_members(session, study.id, members)
    return get_study(session, study.id), created


def add_members(session: Session, study_id: str, members: Sequence[Member]) -> dict[str, JobSpec]:
    """Creates the jobs of members that the study does not have; returns their specs by id."""
    created = {}
    known = {(row.condition_number, row.seed) for row in read_members(session, study_id)}
    for member in members:
        if (member.condition_number, member.seed) not in known:
            place = Membership(study_id, member.condition_number, member.seed, member.condition)
            job, _ = create_job(session, member.spec, membership=place)
            created[job.id] = member.spec
    return created


def add_seeds(
    session: Session, study_id: str, seeds: Sequence[int], added: Sequence[Member]
) -> dict[str, JobSpec]:
    """Adds seeds to a study and creates their members; returns the specs of new jobs by id.

    Args:
        session: A session in a write transaction that has locked the study, see `get_study`.
        study_id: The study.
        seeds: All seeds of the study from now on.
        added: Members of all conditions with the new seeds.
    """
    study = get_study(session, study_id)
    study.seeds = list(seeds)
    session.add(study)
    return add_members(session, study_id, added)


def further_members(session: Session, study: Study, seeds: Sequence[int]) -> list[Member] | None:
    """The members for additional seeds. Their specs are copies of the specs of existing members.

    So a default that changed after the study was created does not affect the new members. Returns
    None if all members of a condition were deleted.

    Raises:
        ConditionInvalid: If a seed is out of range.
    """
    query = select(Job.condition_number, Job.spec).where(Job.study_id == study.id)
    specs = dict(session.exec(query).all())
    conditions = list(enumerate(conditions_of(study.grid)))
    if any(number not in specs for number, _ in conditions):
        return None
    return [
        Member(number, condition, seed, _sibling(study.name, specs[number], condition, seed))
        for seed in seeds
        for number, condition in conditions
    ]


def _sibling(study: str, spec: Mapping[str, Any], condition: Condition, seed: int) -> JobSpec:
    body = {**spec, "name": member_name(study, condition, seed)}
    body["training"] = {**spec["training"], "seed": seed}
    try:
        return read_stored_spec(body)
    except ValidationError as error:
        raise ConditionInvalid(describe(condition), error) from error


def get_study(session: Session, study_id: str, *, lock: bool = False) -> Study:
    """The study of that id; `lock` locks its row until the transaction ends.

    Raises:
        StudyNotFound: If there is no such study.
    """
    query = select(Study).where(Study.id == study_id)
    study = session.exec(query.with_for_update() if lock else query).one_or_none()
    if study is None:
        raise StudyNotFound(study_id)
    return study


def list_studies(
    session: Session, *, limit: int, after: str | None = None
) -> tuple[list[Study], str | None]:
    """A page of studies, newest first, and the cursor of the next page, if any.

    Raises:
        CursorInvalid: If `after` is not a cursor of this function.
    """
    query = select(Study).order_by(col(Study.created_at).desc(), col(Study.id).desc())
    if after is not None:
        query = query.where(rows_after(Study, *read_cursor(after)))
    studies = list(session.exec(query.limit(limit + 1)))
    more = len(studies) > limit
    last = studies[limit - 1] if more else None
    return studies[:limit], make_cursor(last.created_at, last.id) if last else None


def count_members(session: Session, study_ids: Sequence[str]) -> dict[str, dict[str, int]]:
    """For each study that has members, their number by status."""
    query = (
        select(Job.study_id, Job.status, func.count())
        .where(col(Job.study_id).in_(study_ids))
        .group_by(col(Job.study_id), col(Job.status))
    )
    counts: dict[str, dict[str, int]] = {}
    for study_id, status, count in session.exec(query):
        counts.setdefault(str(study_id), {})[status] = count
    return counts


def read_members(session: Session, study_id: str) -> list[MemberRow]:
    """The members with their latest values, ordered by condition and seed.

    Runs a single query and reads no events.
    """
    columns = (
        *(Job.id, Job.name, Job.status, Job.condition_number, Job.condition, Job.study_seed),
        *(Job.progress, Job.latest_metrics, Job.error_code),
    )
    query = (
        select(*columns)  # type: ignore[call-overload]  # sqlmodel types up to four columns
        .where(Job.study_id == study_id)
        .order_by(col(Job.condition_number), col(Job.study_seed))
    )
    return [
        MemberRow(
            job_id=job_id,
            name=name,
            status=status,
            condition_number=number,
            condition=condition or {},
            seed=seed,
            progress=progress,
            values=compared_values(latest),
            error_code=error,
        )
        for job_id, name, status, number, condition, seed, progress, latest, error in session.exec(
            query
        )
    ]


def cancel_study(session: Session, study_id: str) -> None:
    """Cancels all members that have not ended, as `request_cancel` does.

    Raises:
        StudyNotFound: If there is no such study.
        StudyRefused: If all members have ended.
    """
    members = _locked_members(session, study_id)
    open_members = [job_id for job_id, status in members if status not in FINAL]
    if not open_members:
        raise StudyRefused(f"cannot cancel study {study_id}: all its jobs have ended")
    for job_id in open_members:
        request_cancel(session, job_id)


def resume_study(session: Session, study_id: str) -> None:
    """Requeues paused, failed and cancelled members, which continue from their checkpoints.

    Raises:
        StudyNotFound: If there is no such study.
        StudyRefused: If no member is in one of these states.
    """
    members = _locked_members(session, study_id)
    stopped = [(job_id, status) for job_id, status in members if status in RESUMED]
    if not stopped:
        raise StudyRefused(
            f"cannot resume study {study_id}: none of its jobs is {', '.join(RESUMED[:-1])} or "
            f"{RESUMED[-1]}"
        )
    for job_id, status in stopped:
        (resume if status == "paused" else retry)(session, job_id)


def delete_study(session: Session, study_id: str) -> list[str]:
    """Removes a study with all members; returns the ids of the jobs.

    The caller removes the folders of these jobs.

    Raises:
        StudyNotFound: If there is no such study.
        StudyRefused: If a member has not ended.
    """
    rows = _locked_members(session, study_id)
    unfinished = [status for _, status in rows if status not in FINAL]
    if unfinished:
        raise StudyRefused(
            f"cannot delete study {study_id}: {len(unfinished)} of its {len(rows)} jobs have not "
            "ended; cancel it first"
        )
    session.exec(delete(Job).where(col(Job.study_id) == study_id))
    session.exec(delete(Study).where(col(Study.id) == study_id))
    return [job_id for job_id, _ in rows]


def _locked_members(session: Session, study_id: str) -> list[tuple[str, str]]:
    """Ids and statuses of the members, which no other transaction changes until this one ends.

    Without the lock, a worker could end a job between the read of its status and the write.

    Raises:
        StudyNotFound: If there is no such study.
    """
    get_study(session, study_id, lock=True)
    members = select(Job.id, Job.status).where(Job.study_id == study_id)
    return list(session.exec(members.order_by(col(Job.id)).with_for_update()))
