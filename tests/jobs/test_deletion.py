"""A job and its files are removed together, even after a crash in between."""

from threading import Thread

import pytest

from jobs.attempts import claim_next, finish
from jobs.deletion import delete_with_folder, finish_deletions
from jobs.errors import InvalidTransition, JobInUse, JobNotFound
from jobs.store import delete_job
from jobs.tables import Job


@pytest.fixture
def ended(database, new_job, settings):
    job_id = new_job()
    with database.write() as session:
        finish(session, job_id, claim_next(session, "worker").attempt, "succeeded")
    folder = settings.job_folder(job_id)
    folder.mkdir(parents=True)
    (folder / "weights").write_text("heavy")
    return job_id


def test_rows_and_files_are_removed(database, settings, ended, job_of):
    delete_with_folder(database, settings, ended)
    with pytest.raises(JobNotFound):
        job_of(ended)
    assert not settings.job_folder(ended).exists()
    assert list(settings.deleted_folder.iterdir()) == []


def test_a_job_that_has_not_ended_keeps_its_files(database, settings, new_job):
    job_id = new_job()
    settings.job_folder(job_id).mkdir(parents=True)
    with pytest.raises(InvalidTransition):
        delete_with_folder(database, settings, job_id)
    assert settings.job_folder(job_id).is_dir()


@pytest.mark.parametrize("section", ["tokenizer", "finetune"])
def test_a_job_that_a_queued_job_needs_is_kept(database, settings, ended, new_job, section):
    needs = {"tokenizer": "from_job"}.get(section, "job")
    with database.write() as session:
        user = session.get(Job, new_job())
        user.spec = user.spec | {section: {needs: ended}}
        session.add(user)
    with pytest.raises(JobInUse):
        delete_with_folder(database, settings, ended)
    assert (settings.job_folder(ended) / "weights").exists()


def test_a_deletion_interrupted_before_its_commit_is_undone(database, settings, ended):
    settings.deleted_folder.mkdir()
    settings.job_folder(ended).rename(settings.deleted_folder / ended)
    finish_deletions(database, settings)
    assert (settings.job_folder(ended) / "weights").read_text() == "heavy"


def test_a_deletion_interrupted_after_its_commit_is_finished(database, settings, ended):
    delete_with_folder(database, settings, ended)
    (settings.deleted_folder / ended).mkdir()
    finish_deletions(database, settings)
    assert list(settings.deleted_folder.iterdir()) == []


def test_a_deletion_in_progress_is_not_undone(database, settings, ended, job_of):
    """Another process, such as a second API, finishes deletions at this moment."""
    settings.deleted_folder.mkdir()
    other = Thread(target=finish_deletions, args=(database, settings))
    with database.write() as session:
        delete_job(session, ended)
        settings.job_folder(ended).rename(settings.deleted_folder / ended)
        other.start()
        other.join(0.3)  # without the lock, it would put the folder back now
    other.join()
    with pytest.raises(JobNotFound):
        job_of(ended)
    assert not settings.job_folder(ended).exists()
