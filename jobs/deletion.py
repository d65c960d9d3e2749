"""Deletes jobs together with their run folders, so that neither remains without the other."""

import logging
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from sqlmodel import Session

from jobs.database import Database
from jobs.errors import JobInUse
from jobs.settings import Settings
from jobs.store import delete_job, unfinished_jobs
from jobs.studies import delete_study
from jobs.tables import Job

log = logging.getLogger(__name__)


def delete_with_folder(database: Database, settings: Settings, job_id: str) -> None:
    """Removes an ended job, its rows and its files.

    Moves the folder into `deleted_folder` within the transaction that removes the rows. If the
    process dies during the deletion, `finish_deletions` completes or undoes it.

    Raises:
        JobNotFound: If there is no such job.
        InvalidTransition: If the job has not ended.
        JobInUse: If an unfinished job needs the tokenizer or a checkpoint of this job.
    """
    aside = settings.deleted_folder / job_id
    with database.write() as session:
        delete_job(session, job_id)
        _refuse_in_use(session, [job_id])
        _move(settings.job_folder(job_id), aside)
    shutil.rmtree(aside, ignore_errors=True)


def delete_study_with_folders(database: Database, settings: Settings, study_id: str) -> None:
    """Removes a study and all its members. If this is not possible, removes nothing.

    Raises:
        StudyNotFound: If there is no such study.
        StudyRefused: If a member has not ended.
        JobInUse: If an unfinished job needs the tokenizer or a checkpoint of a member.
    """
    with database.write() as session:
        job_ids = delete_study(session, study_id)
        _refuse_in_use(session, job_ids)
        for job_id in job_ids:
            _move(settings.job_folder(job_id), settings.deleted_folder / job_id)
    for job_id in job_ids:
        shutil.rmtree(settings.deleted_folder / job_id, ignore_errors=True)


def finish_deletions(database: Database, settings: Settings) -> None:
    """Completes each interrupted deletion, or undoes it if the row of the job still exists."""
    if not settings.deleted_folder.is_dir():
        return
    for aside in settings.deleted_folder.iterdir():
        with database.write() as session:
            # Waits for a deletion in progress: on SQLite for the write lock, on Postgres for the
            # lock of the row.
            remains = session.get(Job, aside.name, with_for_update=True) is not None
            if remains:
                _move(aside, settings.job_folder(aside.name))
        if not remains:
            shutil.rmtree(aside, ignore_errors=True)
        log.warning("job %s: its deletion was %s", aside.name, "undone" if remains else "finished")


def _refuse_in_use(session: Session, job_ids: Collection[str]) -> None:
    for job in unfinished_jobs(session):
        for named in _named_jobs(job.spec).intersection(job_ids):
            raise JobInUse(named, job.id, job.status)


def _named_jobs(spec: Mapping[str, Any]) -> set[str]:  # Any: JSON has values of any type
    """The ids of the jobs from which a spec needs the tokenizer or a checkpoint.

    A warm start needs no other job: it has a copy of the weights and the tokenizer.
    """
    named = [(spec.get("finetune") or {}).get("job")]
    if (spec.get("init_from") or {}).get("job") is None:
        named.append((spec.get("tokenizer") or {}).get("from_job"))
    return {job_id for job_id in named if job_id is not None}


def _move(folder: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.rename(target)
    except FileNotFoundError:
        log.info("%s has no files", folder)
