"""Runs short tasks in one child process that stays alive and keeps models loaded.

Short tasks are requests, such as generating text, that must not wait for a training job. Quick
tasks (`generate`, `surprisal`, `encode`) run without interruption. The other tasks run in slices: a
task that needs longer than SLICE_SECONDS stops and returns to the queue with its state, from which
the next slice continues.
"""

import json
import logging
import os
import queue
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from threading import Event
from typing import Any

from core.evaluation.tasks import FOLDER as EVALUATIONS
from core.events.types import ErrorData
from core.storage.rundir import RunDir
from jobs.database import Database
from jobs.errors import Fenced
from jobs.evaluations import record_evaluation, scores_of_checkpoint
from jobs.notifier import JobNotifier
from jobs.settings import Settings
from jobs.short_tasks import (
    beat_short_task,
    fail_short_task,
    lose_short_task,
    put_back_short_task,
    report_partial,
    requeue_short_task,
    succeed_short_task,
)
from jobs.tables import ShortTask
from worker.child import child_environment

log = logging.getLogger(__name__)

WAIT_SECONDS = 0.2
SLICE_SECONDS = 1.0
"""Length of a slice in seconds. A quick task waits for a slow task for about this time at most."""
TOO_SLOW = ErrorData(
    code="time_limit",
    message="the short task did not finish within BABYLM_SHORT_TASK_SECONDS",
    hint="Ask for less in one request, or raise BABYLM_SHORT_TASK_SECONDS.",
)
DIED = ErrorData(
    code="process_died",
    message="the process that answers short tasks died",
    hint="See the log of the short worker.",
)


class ShortRunner:
    """Runs one short task at a time in a persistent child process."""

    def __init__(
        self,
        *,
        database: Database,
        settings: Settings,
        job_notifier: JobNotifier,
        command: Sequence[str],
        shutdown: Event,
    ) -> None:
        self._database = database
        self._settings = settings
        self._job_notifier = job_notifier
        self._command = command
        self._shutdown = shutdown
        self._child: _ShortTaskProcess | None = None

    def run(self, task: ShortTask) -> None:
        """Runs a claimed task and records its result."""
        try:
            answer = self._answer(task)
            with self._database.write() as session:
                if answer is None:
                    requeue_short_task(session, task.id, task.attempt)
                elif answer is DIED:
                    lose_short_task(session, task, DIED)
                elif isinstance(answer, ErrorData):
                    fail_short_task(session, task.id, task.attempt, answer)
                elif "state" in answer:
                    put_back_short_task(session, task.id, task.attempt, **answer)
                else:
                    succeed_short_task(session, task.id, task.attempt, answer)
                    if task.kind == "evaluate":
                        record_evaluation(session, task, answer)
        except Fenced as error:
            log.warning("%s", error)
        self._job_notifier.notify(
            task.job_id if task.kind == "evaluate" and task.job_id else task.id
        )

    def close(self) -> None:
        """Ends the child."""
        if self._child is not None:
            self._child.close()
            self._child = None

    def _answer(self, task: ShortTask) -> dict[str, Any] | ErrorData | None:  # any JSON value
        """The result or the error of a task; None if the worker shuts down first."""
        if self._child is None or not self._child.is_alive():
            self.close()
            self._child = _ShortTaskProcess(self._command)
        self._child.ask(self._request(task))
        deadline = time.monotonic() + self._settings.short_task_seconds
        beaten_at = time.monotonic()
        while time.monotonic() < deadline:
            line = self._child.next_line(WAIT_SECONDS)
            if line is not None:
                answer = _read_answer(line, task.id)
                if isinstance(answer, ErrorData) or "partial" not in answer:
                    return answer
                self._report(task, answer["partial"])
                beaten_at = time.monotonic()
                continue
            if self._shutdown.is_set():
                return None
            if not self._child.is_alive():
                return DIED
            if time.monotonic() - beaten_at >= self._settings.heartbeat_seconds:
                beaten_at = time.monotonic()
                self._write(beat_short_task, task)
        self.close()
        return TOO_SLOW

    def _report(self, task: ShortTask, state: dict[str, Any]) -> None:  # any JSON value
        self._write(report_partial, task, state)
        self._job_notifier.notify(task.id)

    def _write(self, change: Callable[..., object], task: ShortTask, *values: object) -> None:
        try:
            with self._database.write_relaxed() as session:
                change(session, task.id, task.attempt, *values)
        except Fenced:
            # Otherwise the child's answer to this task would count as its answer to the next task.
            self.close()
            raise

    def _request(self, task: ShortTask) -> dict[str, Any]:  # any JSON value
        request: dict[str, Any] = {"id": task.id, "kind": task.kind, **task.request}  # JSON
        data_dir = self._settings.data_dir.resolve()
        if task.job_id is not None:
            rundir = RunDir(self._settings.job_folder(task.job_id).resolve())
            if task.kind == "submission":
                return request | self._submission(task, rundir)
            if task.kind == "encode":
                request["tokenizer_dir"] = str(rundir.tokenizer)
            else:
                checkpoint = str(request.pop("checkpoint"))
                request["checkpoint_dir"] = str(rundir.checkpoint(checkpoint))
                if task.kind == "evaluate":
                    predictions = rundir.predictions(checkpoint, str(task.request["task"]))
                    request["predictions_file"] = str(predictions)
        if task.kind == "evaluate":
            request["task_dir"] = str(data_dir / EVALUATIONS / str(request.pop("task")))
            # The child does not need these fields; they are for the list of evaluations.
            del request["step"], request["words_seen"]
        if task.kind == "clean_report":
            assert task.dataset is not None
            del request["version"]
            request["dataset_dir"] = str(data_dir / task.dataset)
            request["cache_dir"] = str(self._settings.cache_folder.resolve())
        if task.kind in ("evaluate", "clean_report"):
            request |= {"state": task.state, "slice_seconds": SLICE_SECONDS}
        return request

    def _submission(self, task: ShortTask, rundir: RunDir) -> dict[str, Any]:  # any JSON value
        assert task.job_id is not None
        with self._database.read() as session:
            scores = scores_of_checkpoint(session, task.job_id, str(task.request["checkpoint"]))
        return {
            "run_dir": str(rundir.root),
            "data_dir": str(self._settings.data_dir.resolve()),
            "output_dir": str(rundir.submissions / task.id),
            "scores": scores,
            "state": task.state,
            "slice_seconds": SLICE_SECONDS,
        }


class _ShortTaskProcess:
    """A child process that answers each line of JSON with a line of JSON."""

    def __init__(self, command: Sequence[str]) -> None:
        """Starts `command` with the id of this process as its last argument."""
        self._process = subprocess.Popen(
            [*command, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=child_environment({}),
            text=True,
            start_new_session=True,
        )
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, name="answers", daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)

    def is_alive(self) -> bool:
        """True while the process runs."""
        return self._process.poll() is None

    def ask(self, request: dict[str, Any]) -> None:  # any JSON value
        """Sends a request. If the child has died, the next call of `is_alive` detects it."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except OSError as error:
            log.warning("the process that answers short tasks does not read: %s", error)

    def next_line(self, seconds: float) -> str | None:
        """The next answer, or None if no answer arrives within `seconds`."""
        try:
            return self._lines.get(timeout=seconds)
        except queue.Empty:
            return None

    def close(self) -> None:
        """Kills the process. Only loaded models and unfinished work are lost.

        The state of a sliced task is in the database.
        """
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError as error:
                    log.debug("pipe of the child: %s", error)


def _read_answer(line: str, task_id: str) -> dict[str, Any] | ErrorData:  # any JSON value
    try:
        answer = json.loads(line)
    except ValueError:
        answer = None
    if not isinstance(answer, dict) or answer.get("id") != task_id:
        return ErrorData(
            code="internal_error",
            message=f"the process that answers short tasks answered {line[:200]!r}",
            hint="See the log of the short worker.",
        )
    if "error" in answer:
        return ErrorData.model_validate(answer["error"])
    return {name: value for name, value in answer.items() if name != "id"}
