"""The worker for short tasks.

In tests with the fixture `stage`, a small program replaces the process that answers the tasks. In
the test that runs the program `WORKER`, the program replaces the worker.
"""

import os
import subprocess
import sys
import threading

import psutil
import pytest

from core.process.program import python_command
from jobs.notifier import JobNotifier
from jobs.short_tasks import MAX_ATTEMPTS, claim_short_task, create_short_task, get_short_task
from tests.waiting import DEADLINE, is_alive, wait_for
from worker.short import ShortRunner

DIES = "import os, signal, sys; sys.stdin.readline(); os.kill(os.getpid(), signal.SIGKILL)"
WAITS = "import sys, time; sys.stdin.readline(); time.sleep(600)"
EVALUATE = {"checkpoint": "last", "task": "pairs", "step": 1, "words_seen": 1}
WORKER = "import signal, subprocess, sys; subprocess.Popen(sys.argv[1:]); signal.pause()"


@pytest.mark.parametrize(
    ("kind", "request_of_task", "attempts"),
    [("evaluate", EVALUATE, MAX_ATTEMPTS), ("encode", {"text": "a"}, 1)],
)
def test_a_task_whose_process_dies_is_repeated_unless_a_user_waits_for_it(
    stage, kind, request_of_task, attempts
):
    play = stage()
    with play.database.write() as session:
        task_id = create_short_task(
            session, kind=kind, request=request_of_task, job_id=play.job_id
        ).id
    runner = ShortRunner(
        database=play.database,
        settings=play.settings,
        job_notifier=JobNotifier(None),
        command=[sys.executable, "-c", DIES],
        shutdown=play.shutdown,
    )
    for _ in range(attempts):
        with play.database.write() as session:
            task = claim_short_task(session, "short")
        assert task is not None
        runner.run(task)
    runner.close()
    with play.database.read() as session:
        found = get_short_task(session, task_id)
    assert (found.status, found.attempt) == ("failed", attempts)
    assert found.error["code"] == "process_died"


class CountingNotifier(JobNotifier):
    """Records the notifications instead of publishing them."""

    def __init__(self) -> None:
        super().__init__(None)
        self.notified: list[str] = []

    def notify(self, job_id: str) -> None:
        self.notified.append(job_id)


def test_heartbeats_of_a_task_wake_no_client(stage):
    """The status of a task is the same after a heartbeat, so clients have nothing to read."""
    play, notifier = stage(), CountingNotifier()
    with play.database.write() as session:
        create_short_task(session, kind="evaluate", request=EVALUATE, job_id=play.job_id)
        task = claim_short_task(session, "short")
    runner = ShortRunner(
        database=play.database,
        settings=play.settings,
        job_notifier=notifier,
        command=[sys.executable, "-c", WAITS],
        shutdown=play.shutdown,
    )
    thread = threading.Thread(target=runner.run, args=(task,))
    thread.start()

    def heartbeats() -> int:
        with play.database.read() as session:
            return get_short_task(session, task.id).heartbeat

    try:
        wait_for(lambda: heartbeats() >= task.heartbeat + 2, what="two heartbeats")
    finally:
        play.shutdown.set()
        thread.join()
        runner.close()
    assert notifier.notified == [play.job_id]  # only after the end of the task


def test_the_process_ends_with_its_worker_even_if_its_input_stays_open():
    command = [sys.executable, "-c", WORKER, *python_command("core.short")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        # The process inherits the worker's pipes. This test keeps their other ends open, so the
        # process sees no end of its input when the worker dies.
        worker.stdin.write(b"{}\n")
        worker.stdin.flush()
        assert b"request_invalid" in worker.stdout.readline()
        [child] = psutil.Process(worker.pid).children()
        worker.kill()
        wait_for(lambda: not is_alive(child), what="end of the process")


def test_the_process_ends_if_its_worker_died_before_it_started():
    command = [*python_command("core.short"), str(os.getppid())]  # not the parent of the process
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        assert process.wait(DEADLINE) == 1  # the input is still open
