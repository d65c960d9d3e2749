"""The outcome of a job when its training process ends, dies, hangs or is stopped."""

import os
import signal
import sqlite3
import time

import psutil
import pytest

from core.events.types import ErrorData
from jobs.attempts import reap, requeue_counted
from jobs.store import request_cancel, request_pause, retry
from tests.waiting import DEADLINE, wait_for
from worker.attempt import NO_STOP_REQUEST
from worker.outcome import judge


def until(condition, what: str):
    return wait_for(condition, what=what)


def runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_what_a_run_reports_is_rows_when_the_job_has_succeeded(stage):
    play = stage()
    play.play("[loss(step) for step in range(1, 501)]; saved(500)")
    assert play.job.status == "succeeded"
    assert play.steps() == list(range(1, 501))
    assert play.job.checkpoint_step == 500


def test_metrics_that_a_dead_supervisor_did_not_copy_are_copied_by_the_next(stage):
    play = stage()
    play.claim("killed")
    play.play_alone("[loss(step) for step in range(1, 101)]; saved(100)")
    with play.database.write() as session:
        requeue_counted(session, play.job_id, 1, reason="worker_lost")
    play.play("loss(101)")
    assert play.job.status == "succeeded"
    assert play.steps() == list(range(1, 102))
    assert play.job.attempts_without_checkpoint == 0


def test_three_attempts_without_a_new_checkpoint_fail_the_job_with_a_named_error(stage):
    play = stage()
    for _ in range(3):
        play.play("loss(1); os.kill(os.getpid(), signal.SIGSEGV)")
        assert play.job.status == "queued"
    lines = (play.folder / "run.log").read_text().splitlines()
    ends = [line.partition(" ERROR ")[2] for line in lines if " ERROR attempt " in line]
    assert [end.partition(";")[0] for end in ends] == [
        f"attempt {number}: the training process was ended by SIGSEGV" for number in (1, 2, 3)
    ]
    assert "returns to the queue and continues from its newest checkpoint" in ends[0]
    play.play("raise SystemExit('is never started')")
    assert (play.job.status, play.job.error_code) == ("failed", "attempts_exhausted")
    assert "SIGSEGV" in play.job.error_message
    assert play.job.error_hint
    with play.database.write() as session:
        retry(session, play.job_id)
    play.play("loss(1)")
    assert play.job.status == "succeeded"


def test_a_new_checkpoint_resets_the_count(stage):
    play = stage()
    for step in range(1, 7):
        play.play(f"saved({step}); os._exit(1)")
        assert play.job.attempts_without_checkpoint == 1
    assert play.job.status == "queued"


def test_all_processes_of_a_cancelled_run_have_ended_before_the_status_changes(stage):
    play = stage()
    thread = play.in_background(
        """
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(600)
        (folder / "pids").write_text(f"{os.getpid()} {child}")
        signal.signal(signal.SIGTERM, lambda *_: (saved(7), os._exit(75)))
        loss(1)
        time.sleep(600)
        """
    )
    until(play.steps, "the first step")
    pids = [int(word) for word in (play.folder / "pids").read_text().split()]
    with play.database.write() as session:
        request_cancel(session, play.job_id)
    until(lambda: play.job.status == "cancelled", "cancelled")
    assert not [pid for pid in pids if runs(pid)]
    assert play.job.checkpoint_step == 7
    thread.join()


def test_a_stop_request_is_read_between_two_copies_of_the_journal(stage):
    play = stage(copy_seconds=3600.0)
    thread = play.in_background(
        """
        signal.signal(signal.SIGTERM, lambda *_: (loss(2), os._exit(75)))
        for _ in range(2):  # two heartbeats; the supervisor copies before the second
            os.read(0, 1)
        loss(1)
        (folder / "started").touch()
        time.sleep(600)
        """
    )
    until((play.folder / "started").exists, "the first step")
    with play.database.write() as session:
        request_cancel(session, play.job_id)
    until(lambda: play.job.status == "cancelled", "cancelled")
    thread.join()
    assert play.steps() == [1, 2]  # the end of the run copies both


@pytest.mark.parametrize("stop", ["cancel", "pause", "shutdown"])
def test_a_run_that_does_not_stop_is_killed_after_the_grace_period(stage, stop):
    # During a shutdown of the worker its shorter grace period applies, also to a cancel.
    long = {"grace_seconds": 600.0, "shutdown_grace_seconds": 0.2}
    play = stage(**(long if stop == "shutdown" else {"grace_seconds": 0.2}))
    thread = play.in_background(
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); loss(1); time.sleep(600)"
    )
    until(play.steps, "the first step")
    with play.database.write() as session:
        (request_pause if stop == "pause" else request_cancel)(session, play.job_id)
    if stop == "shutdown":
        play.shutdown.set()
    thread.join(DEADLINE)
    assert play.job.status == ("paused" if stop == "pause" else "cancelled")
    said = f"was ended by SIGKILL; the job is {play.job.status}\n"
    assert (play.folder / "run.log").read_text().endswith(said)


def test_a_worker_that_shuts_down_requeues_its_job_at_its_position(stage):
    play = stage()
    queued_at = play.job.queued_at
    thread = play.in_background(
        """
        signal.signal(signal.SIGTERM, lambda *_: (saved(3), os._exit(75)))
        loss(3)
        time.sleep(600)
        """
    )
    until(play.steps, "a step")
    play.shutdown.set()
    thread.join(DEADLINE)
    assert (play.job.status, play.job.checkpoint_step) == ("queued", 3)
    assert play.job.attempts_without_checkpoint == 0
    assert play.job.queued_at == queued_at


def test_a_stalled_run_is_ended_with_an_error(stage):
    play = stage(stall_seconds=3.0)
    play.play("import faulthandler; faulthandler.enable(); loss(1); time.sleep(600)")
    assert play.job.status == "queued"
    (warning,) = play.events("warning")
    assert warning.data["code"] == "attempt_died"
    assert "reported nothing" in warning.data["message"]
    assert "Fatal Python error: Aborted" in (play.folder / "run.log").read_text()


def test_a_supervisor_that_was_fenced_ends_its_own_run_and_writes_nothing(stage):
    play = stage()
    job = play.claim()
    script = "(folder / 'pid').write_text(str(os.getpid())); loss(1); time.sleep(600)"
    thread = play.in_background(script, job=job)
    until(play.steps, "the first step")
    pid = int((play.folder / "pid").read_text())

    def taken() -> bool:
        with play.database.write() as session:
            return reap(session, job.id, attempt=1, beat=play.job.heartbeat) is not None

    until(taken, "reaped between two heartbeats")
    thread.join(DEADLINE)
    assert not runs(pid)
    assert play.job.status == "queued"
    assert play.events()[-1].data["reason"] == "worker_lost"


def test_a_long_lock_of_the_database_ends_no_run(stage):
    """The script of this test ends with status 77 after six seconds without a heartbeat."""
    play = stage()
    thread = play.in_background(
        """
        import select
        loss(1)
        deadline = time.monotonic() + 8.0
        while time.monotonic() < deadline:
            if not select.select([sys.stdin], [], [], 6.0)[0] or not os.read(0, 4096):
                os._exit(77)
        loss(2)
        """
    )
    until(play.steps, "the first step")
    path = play.settings.database_url.removeprefix("sqlite:///")
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    time.sleep(7.0)  # the lock is kept for longer than the run waits
    writer.execute("COMMIT")
    writer.close()
    thread.join(DEADLINE)
    assert (play.job.status, play.job.attempt) == ("succeeded", 1)
    assert play.steps() == [1, 2]


def test_on_several_hosts_a_run_without_database_ends_before_its_lease(stage):
    """Other hosts may not see the lock on the run folder, so it cannot prevent a second run."""
    play = stage(lease_seconds=10.0)
    play.settings = play.settings.model_copy(update={"database_url": "postgresql+psycopg://db/x"})
    assert play.settings.may_span_hosts
    thread = play.in_background(
        """
        from core.process.stop import StopSignal
        stop = StopSignal(leave=lambda: os._exit(75))
        stop.watch_supervisor(silence_seconds=10.0 * 0.55, deadline_seconds=10.0 * 0.3)
        (folder / "pid").write_text(str(os.getpid()))
        loss(1)
        time.sleep(600)
        """
    )
    until(play.steps, "the first step")
    pid = int((play.folder / "pid").read_text())
    writer = sqlite3.connect(play.database.engine.url.database, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    until(lambda: not runs(pid), "the end of the run while the database is locked")
    writer.execute("COMMIT")
    writer.close()
    thread.join(DEADLINE)
    assert (play.job.status, play.job.attempts_without_checkpoint) == ("queued", 0)


def test_a_damaged_line_of_the_journal_is_reported_and_skipped(stage):
    play = stage()
    play.play(
        """
        loss(1)
        journal.write(bytes(100) + bytes([10]))
        tell("metrics", nonsense=1)
        tell("status", status="succeeded", attempt=1)
        loss(2)
        """
    )
    assert play.job.status == "succeeded"
    assert play.steps() == [1, 2]
    assert [event.data["code"] for event in play.events("warning")] == ["journal_damaged"] * 3


def test_a_journal_cut_within_a_line_is_read_from_a_whole_line(stage):
    play = stage()
    play.play("[loss(step) for step in (1, 2, 3)]; os._exit(75)")
    journal = play.folder / "events.jsonl"
    os.truncate(journal, journal.stat().st_size - 10)
    # As core.events.journal does, the next run cuts off the torn line before it writes.
    play.play(
        """
        whole = (folder / "events.jsonl").read_bytes().rpartition(bytes([10]))[0]
        os.truncate(folder / "events.jsonl", len(whole) + 1)
        loss(3)
        loss(4)
        """
    )
    assert play.job.status == "succeeded"
    assert play.steps() == [1, 2, 3, 3, 4]
    assert play.events("warning") == []


def test_a_run_folder_that_cannot_be_created_does_not_end_the_worker(stage):
    play = stage()
    play.folder.parent.mkdir(parents=True)
    play.folder.write_text("a file where the folder should be")
    play.play("loss(1)")
    assert play.job.status == "queued"
    assert play.events("warning")[0].data["message"].startswith("the run cannot start")


@pytest.mark.parametrize(
    ("status", "memory", "verdict", "code"),
    [
        (28, False, "failed", "disk_full"),
        (-signal.SIGKILL, True, "died", "out_of_memory"),
        (-signal.SIGKILL, False, "died", "process_died"),
        (77, False, "again", None),
        (75, False, "again", None),
        (76, False, "again_later", None),
    ],
)
def test_each_end_of_a_process_has_an_outcome(status, memory, verdict, code):
    outcome = judge(
        status,
        stop_request=NO_STOP_REQUEST,
        is_shutting_down=False,
        ran_out_of_memory=memory,
        last_error=None,
    )
    assert outcome.verdict == verdict
    assert (outcome.error.code if outcome.error else None) == code


@pytest.mark.parametrize(("memory", "code"), [(True, "out_of_memory"), (False, "rank_died")])
def test_a_rank_that_the_kernel_killed_has_the_same_outcome(memory, code):
    last_error = ErrorData(
        code="rank_died", message="device 1 was ended by SIGKILL", hint="See the log."
    )
    outcome = judge(
        1,
        stop_request=NO_STOP_REQUEST,
        is_shutting_down=False,
        ran_out_of_memory=memory,
        last_error=last_error,
    )
    assert outcome.verdict == "died"
    assert outcome.error.code == code
