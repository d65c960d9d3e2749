"""Actions of users on jobs."""

import pytest

from core.spec.job import JobSpec
from jobs.attempts import claim_next, finish
from jobs.errors import CursorInvalid, IdempotencyConflict, InvalidTransition, JobNotFound
from jobs.history import events_after
from jobs.store import (
    create_job,
    delete_job,
    get_job,
    list_jobs,
    request_cancel,
    request_pause,
    resume,
    retry,
)
from tests.jobs.conftest import SPEC


def statuses(database, job_id) -> list[tuple[int, str]]:
    with database.read() as session:
        return [
            (event.seq, event.data["status"])
            for event in events_after(session, job_id)
            if event.type == "status"
        ]


def test_a_new_job_is_queued_and_its_first_event_has_this_status(database, new_job, job_of):
    job_id = new_job()
    assert job_of(job_id).status == "queued"
    assert statuses(database, job_id) == [(1, "queued")]


def test_an_idempotency_key_makes_one_job_and_is_refused_for_a_different_request(database):
    other = JobSpec.model_validate({"preset": "olmo2-10m"}).resolve()
    with database.write() as session:
        first, is_new = create_job(session, SPEC, idempotency_key="key")
    with database.write() as session:
        second, is_new_too = create_job(session, SPEC, idempotency_key="key")
    assert (is_new, is_new_too, second.id) == (True, False, first.id)
    with pytest.raises(IdempotencyConflict, match="key"), database.write() as session:
        create_job(session, other, idempotency_key="key")


def test_pages_are_newest_first_and_contain_every_job_once(database, new_job):
    created = [new_job() for _ in range(7)]
    seen, cursor = [], None
    while True:
        with database.read() as session:
            page, cursor = list_jobs(session, limit=3, after=cursor)
        seen += [job.id for job in page]
        if cursor is None:
            break
    assert seen == created[::-1]
    with pytest.raises(CursorInvalid), database.read() as session:
        list_jobs(session, after="nonsense")


def test_cancel_of_a_queued_job_never_starts_it(database, new_job, job_of):
    job_id = new_job()
    with database.write() as session:
        request_cancel(session, job_id)
    with database.write() as session:
        assert claim_next(session, "worker") is None
    assert job_of(job_id).status == "cancelled"
    assert statuses(database, job_id) == [(1, "queued"), (2, "cancelled")]


def test_a_cancel_or_pause_of_a_running_job_records_the_time_of_the_request(
    database, new_job, job_of
):
    job_id = new_job()
    with database.write() as session:
        claim_next(session, "worker")
    with database.write() as session:
        request_pause(session, job_id)
        request_cancel(session, job_id)
    job = job_of(job_id)
    assert job.status == "running"
    assert job.cancel_requested_at is not None
    assert job.pause_requested_at is not None


def test_an_invalid_transition_is_refused_and_changes_nothing(database, new_job, job_of):
    job_id = new_job()
    for action in (resume, retry, delete_job):
        with pytest.raises(InvalidTransition), database.write() as session:
            action(session, job_id)
    with database.write() as session:
        claim_next(session, "worker")
    with database.write() as session:
        finish(session, job_id, 1, "succeeded")
    for action in (request_cancel, request_pause, resume, retry):
        with pytest.raises(InvalidTransition, match="succeeded"), database.write() as session:
            action(session, job_id)
    assert job_of(job_id).status == "succeeded"


def test_pause_resume_and_retry_requeue_a_job(database, new_job, job_of):
    job_id = new_job()
    for action, status in (
        (request_pause, "paused"),
        (resume, "queued"),
        (request_cancel, "cancelled"),
        (retry, "queued"),
    ):
        with database.write() as session:
            action(session, job_id)
        assert job_of(job_id).status == status
    seqs = [seq for seq, _ in statuses(database, job_id)]
    assert seqs == list(range(1, 6))


def test_the_queue_is_in_order_of_priority_and_then_of_waiting(database, new_job):
    low, high, later = new_job(), new_job(priority=5), new_job()
    claimed = []
    for _ in range(3):
        with database.write() as session:
            claimed.append(claim_next(session, "worker").id)
    assert claimed == [high, low, later]


def test_deleting_a_job_removes_all_its_rows(database, new_job):
    job_id = new_job()
    with database.write() as session:
        request_cancel(session, job_id)
    with database.write() as session:
        delete_job(session, job_id)
    with pytest.raises(JobNotFound), database.read() as session:
        get_job(session, job_id)
    with database.read() as session:
        assert events_after(session, job_id) == []
