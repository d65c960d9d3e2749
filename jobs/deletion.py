"""Deletes a job together with its run folder, so that neither remains without the other."""

import logging
import shutil
from pathlib import Path

from sqlmodel import Session

from jobs.database import Database
from jobs.settings import Settings
from jobs.store import delete_job
from jobs.tables import Job

log = logging.getLogger(__name__)


def delete_with_folder(database: Database, settings: Settings, job_id: str) -> None:
    """Removes an ended job, its rows and its files.

    Moves the folder into `deleted_folder` within the transaction that removes the rows. After a
    crash in between, `finish_deletions` completes or undoes the deletion.

    Raises:
        JobNotFound: If there is no such job.
        InvalidTransition: If the job has not ended.
    """
    aside = settings.deleted_folder / job_id
    with database.write() as session:
        delete_job(session, job_id)
        _move(settings.job_folder(job_id), aside)
    shutil.rmtree(aside, ignore_errors=True)


def finish_deletions(database: Database, settings: Settings) -> None:
    """Completes interrupted deletions; undoes those whose row still exists."""
    if not settings.deleted_folder.is_dir():
        return
    for aside in settings.deleted_folder.iterdir():
        # The write lock is held, so no deletion of this job is in progress.
        with database.write() as session:
            remains = _row_exists(session, aside.name)
            if remains:
                _move(aside, settings.job_folder(aside.name))
        if not remains:
            shutil.rmtree(aside, ignore_errors=True)
        log.warning("job %s: its deletion was %s", aside.name, "undone" if remains else "finished")


def _row_exists(session: Session, job_id: str) -> bool:
    return session.get(Job, job_id) is not None


def _move(folder: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.rename(target)
    except FileNotFoundError:
        log.info("%s has no files", folder)
