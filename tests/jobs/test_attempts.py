"""Claims and fenced writes, with threads that race on one database."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from core.events.types import (
    CheckpointData,
    CheckpointFile,
    ErrorData,
    EvaluationData,
    MetricsData,
    ProgressData,
    WarningData,
    event_of,
)
from jobs.attempts import (
    claim_next,
    finish,
    heartbeat,
    mark_paused,
    reap,
    record_events,
    requeue,
    requeue_counted,
)
from jobs.errors import CheckpointNotFound, Fenced
from jobs.history import events_after, find_checkpoint, list_checkpoints
from jobs.series import metric_series
from jobs.short_tasks import short_tasks_of_job
from jobs.store import request_cancel


def claim(database, worker_id="worker"):
    with database.write() as session:
        return claim_next(session, worker_id)


def record(database, job, data, *, offset=0):
    with database.write() as session:
        return record_events(
            session, job.id, job.attempt, [event_of(one) for one in data], journal_offset=offset
        )


def loss(step: int, value: float) -> MetricsData:
    return MetricsData(
        step=step, epoch=0.0, tokens_seen=step, words_seen=step, values={"train/loss": value}
    )


def saved(name: str, kind: str, step: int, action: str = "saved") -> CheckpointData:
    files = [CheckpointFile(path="model.safetensors", size=10, sha256="0" * 64)]
    return CheckpointData(
        action=action, name=name, kind=kind, step=step, tokens_seen=0, words_seen=0, files=files
    )


def test_eight_workers_racing_take_each_job_once(database, new_job):
    jobs = {new_job() for _ in range(24)}
    with ThreadPoolExecutor(8) as pool:
        claimed = [job for job in pool.map(lambda n: claim(database, f"w{n}"), range(40)) if job]
    assert sorted(job.id for job in claimed) == sorted(jobs)
    assert {job.attempt for job in claimed} == {1}


def test_writers_racing_on_one_job_leave_no_gap_and_no_repeat(database, new_job):
    new_job()
    job = claim(database)
    with ThreadPoolExecutor(8) as pool:
        list(
            pool.map(
                lambda n: record(database, job, [WarningData(code="n", message=str(n))] * 3),
                range(40),
            )
        )
    with database.read() as session:
        seqs = [event.seq for event in events_after(session, job.id)]
    assert seqs == list(range(1, 2 + 1 + 120))


@pytest.mark.parametrize(
    "write",
    [
        lambda session, job: heartbeat(session, job.id, job.attempt),
        lambda session, job: record_events(session, job.id, job.attempt, [], journal_offset=9),
        lambda session, job: finish(session, job.id, job.attempt, "succeeded"),
        lambda session, job: mark_paused(session, job.id, job.attempt),
        lambda session, job: requeue(session, job.id, job.attempt, reason="test"),
    ],
)
def test_a_write_of_an_attempt_that_lost_the_job_is_fenced(database, new_job, job_of, write):
    new_job()
    stale = claim(database, "frozen")
    with database.write() as session:
        assert reap(session, stale.id, attempt=1, beat=stale.heartbeat) is not None
    fresh = claim(database, "other")
    before = job_of(fresh.id)
    with pytest.raises(Fenced), database.write() as session:
        write(session, stale)
    assert job_of(fresh.id) == before
    assert before.attempt == 2


def test_a_heartbeat_saves_a_job_from_being_reaped(database, new_job, job_of):
    new_job()
    job = claim(database)
    with database.write() as session:
        heartbeat(session, job.id, job.attempt)
    with database.write() as session:
        assert reap(session, job.id, attempt=1, beat=job.heartbeat) is None
    assert job_of(job.id).status == "running"


def test_reaping_carries_out_a_cancel_request(database, new_job, job_of):
    new_job()
    job = claim(database)
    with database.write() as session:
        request_cancel(session, job.id)
    with database.write() as session:
        reap(session, job.id, attempt=1, beat=job.heartbeat)
    assert job_of(job.id).status == "cancelled"


def test_died_attempts_count_until_there_is_a_new_checkpoint(database, new_job, job_of):
    job_id = new_job()
    for number in (1, 2):
        job = claim(database)
        with database.write() as session:
            requeue_counted(session, job.id, job.attempt, reason="died")
        assert job_of(job_id).attempts_without_checkpoint == number
    job = claim(database)
    record(database, job, [saved("step-000005", "rolling", 5)])
    assert job_of(job_id).attempts_without_checkpoint == 0
    with database.write() as session:
        requeue_counted(session, job.id, job.attempt, reason="died")
    job = claim(database)
    record(database, job, [saved("step-000005", "rolling", 5)])  # no further than before
    assert job_of(job_id).attempts_without_checkpoint == 1


def test_events_move_the_offset_and_the_row_in_one_transaction(database, new_job, job_of):
    new_job()
    job = claim(database)
    progress = ProgressData(
        stage="train", progress=0.5, stage_progress=0.4, eta_seconds=3.0, step=7, max_steps=9
    )
    record(database, job, [progress, loss(7, 2.5)], offset=123)
    row = job_of(job.id)
    assert (row.journal_offset, row.progress, row.step, row.max_steps) == (123, 0.5, 7, 9)
    assert row.latest_metrics["values"] == {"train/loss": 2.5}


def test_latest_metrics_say_at_which_step_each_was_measured(database, new_job, job_of):
    new_job()
    job = claim(database)
    validation = loss(0, 7.63).model_copy(update={"values": {"validation/loss": 7.63}})
    record(database, job, [validation])
    record(database, job, [loss(20, 5.0)])
    latest = job_of(job.id).latest_metrics
    assert latest["step"] == 20
    assert latest["values"] == {"validation/loss": 7.63, "train/loss": 5.0}
    assert latest["steps"] == {"validation/loss": 0, "train/loss": 20}


def test_a_repeated_step_has_the_later_value(database, new_job):
    new_job()
    job = claim(database)
    record(database, job, [loss(1, 5.0), loss(2, 4.0)])
    record(database, job, [loss(2, 3.0), loss(3, float("nan"))])
    with database.read() as session:
        series = metric_series(session, job.id, ["train/loss"])["train/loss"]
    assert (series.step, series.value) == ([1, 2, 3], [5.0, 3.0, None])


def test_a_long_series_keeps_its_ends_and_its_peaks(database, new_job):
    new_job()
    job = claim(database)
    values = [1.0] * 2000
    values[700], values[1300] = 9.0, -9.0
    record(database, job, [loss(step, value) for step, value in enumerate(values, 1)])
    with database.read() as session:
        series = metric_series(session, job.id, ["train/loss"], max_points=100)["train/loss"]
    assert len(series.step) <= 100
    assert (series.step[0], series.step[-1]) == (1, 2000)
    assert {701, 1301} <= set(series.step)


def test_checkpoints_are_added_removed_and_found_by_kind(database, new_job):
    new_job()
    job = claim(database)
    record(database, job, [saved("step-000001", "rolling", 1), saved("best-000001", "best", 1)])
    with database.read() as session:
        assert find_checkpoint(session, job.id, "last").step == 1
        assert find_checkpoint(session, job.id, "best").name == "best-000001"
    record(
        database,
        job,
        [saved("step-000001", "rolling", 1, action="removed"), saved("last", "last", 9)],
    )
    with database.read() as session:
        names = [checkpoint.name for checkpoint in list_checkpoints(session, job.id)]
        assert names == ["best-000001", "last"]
        assert find_checkpoint(session, job.id, "last").kind == "last"
        with pytest.raises(CheckpointNotFound, match="best-000001"):
            find_checkpoint(session, job.id, "step-000001")


def test_the_evaluation_of_a_checkpoint_removed_in_the_same_batch_is_listed(database, new_job):
    new_job()
    job = claim(database)
    name = "step-000003"
    score = EvaluationData(step=3, checkpoint=name, task="blimp", scores={"score": 0.5})
    removed = saved(name, "rolling", 3, action="removed")
    record(database, job, [saved(name, "rolling", 3), score, removed])
    with database.read() as session:
        assert list_checkpoints(session, job.id) == []
        (listed,) = short_tasks_of_job(session, job.id, "evaluate")
        series = metric_series(session, job.id, ["evaluation/blimp"])["evaluation/blimp"]
    assert (listed.request["checkpoint"], listed.request["step"]) == (name, 3)
    assert (series.step, series.value) == ([3], [0.5])
    # A checkpoint that is saved again under the name is not removed.
    record(database, job, [removed, saved(name, "rolling", 3)])
    with database.read() as session:
        assert [each.name for each in list_checkpoints(session, job.id)] == [name]


def test_a_failed_job_has_code_message_and_hint(database, new_job, job_of):
    new_job()
    job = claim(database)
    error = ErrorData(code="disk_full", message="no space", hint="free some")
    with database.write() as session:
        finish(session, job.id, job.attempt, "failed", error=error)
    row = job_of(job.id)
    assert (row.error_code, row.error_message, row.error_hint) == (
        "disk_full",
        "no space",
        "free some",
    )
