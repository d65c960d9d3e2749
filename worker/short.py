"""Short tasks: passed to one warm child that holds the models, so that an answer takes no start."""

import json
import logging
import queue
import subprocess
import threading
import time
from collections.abc import Sequence
from threading import Event
from typing import Any

from core.events import ErrorData
from core.rundir import RunDir
from jobs.database import Database
from jobs.doorbell import Doorbell
from jobs.errors import Fenced
from jobs.settings import Settings
from jobs.short_tasks import (
    beat_short_task,
    fail_short_task,
    requeue_short_task,
    succeed_short_task,
)
from jobs.tables import ShortTask
from worker.child import child_environment

log = logging.getLogger(__name__)

WAIT_SECONDS = 0.2
TOO_SLOW = ErrorData(
    code="time_limit",
    message="the text was not ready in time",
    hint="Ask for fewer tokens, or raise BABYLM_SHORT_TASK_SECONDS.",
)
DIED = ErrorData(
    code="process_died",
    message="the process that generates text died",
    hint="See the log of the short worker.",
)


class ShortRunner:
    """Runs short tasks one after the other in a child that stays."""

    def __init__(
        self,
        *,
        database: Database,
        settings: Settings,
        doorbell: Doorbell,
        command: Sequence[str],
        shutdown: Event,
    ) -> None:
        self._database = database
        self._settings = settings
        self._doorbell = doorbell
        self._command = command
        self._shutdown = shutdown
        self._child: _WarmChild | None = None

    def run(self, task: ShortTask) -> None:
        """Sees a claimed task to its end."""
        try:
            answer = self._answer(task)
            with self._database.write() as session:
                if answer is None:
                    requeue_short_task(session, task.id, task.attempt)
                elif isinstance(answer, ErrorData):
                    fail_short_task(session, task.id, task.attempt, answer)
                else:
                    succeed_short_task(session, task.id, task.attempt, answer)
        except Fenced as error:
            log.warning("%s", error)
        self._doorbell.ring(task.id)

    def close(self) -> None:
        """Ends the child."""
        if self._child is not None:
            self._child.close()
            self._child = None

    def _answer(self, task: ShortTask) -> dict[str, Any] | ErrorData | None:  # Any: JSON
        """The result, the error, or None if the worker ends before there is one."""
        if self._child is None or not self._child.is_alive():
            self.close()
            self._child = _WarmChild(self._command)
        self._child.ask(self._request(task))
        deadline = time.monotonic() + self._settings.short_task_seconds
        beaten_at = time.monotonic()
        while time.monotonic() < deadline:
            line = self._child.next_line(WAIT_SECONDS)
            if line is not None:
                return _read_answer(line, task.id)
            if self._shutdown.is_set():
                return None
            if not self._child.is_alive():
                return DIED
            if time.monotonic() - beaten_at >= self._settings.heartbeat_seconds:
                beaten_at = time.monotonic()
                with self._database.write_relaxed() as session:
                    beat_short_task(session, task.id, task.attempt)
        self.close()
        return TOO_SLOW

    def _request(self, task: ShortTask) -> dict[str, Any]:  # Any: JSON
        rundir = RunDir(self._settings.job_folder(task.job_id).resolve())
        request = dict(task.request)
        folder = rundir.checkpoint(str(request.pop("checkpoint")))
        return {"id": task.id, "checkpoint_dir": str(folder), **request}


class _WarmChild:
    """A child that answers a line with a line."""

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            command,
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
        """True while it runs."""
        return self._process.poll() is None

    def ask(self, request: dict[str, Any]) -> None:  # Any: JSON
        """Sends a request; a child that died in between is seen by the next look."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except OSError as error:
            log.warning("the child does not listen: %s", error)

    def next_line(self, seconds: float) -> str | None:
        """The next answer, if it comes in time."""
        try:
            return self._lines.get(timeout=seconds)
        except queue.Empty:
            return None

    def close(self) -> None:
        """Ends it: it has nothing that could be lost."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError as error:
                    log.debug("pipe of the child: %s", error)


def _read_answer(line: str, task_id: str) -> dict[str, Any] | ErrorData:  # Any: JSON
    try:
        answer = json.loads(line)
    except ValueError:
        answer = None
    if not isinstance(answer, dict) or answer.get("id") != task_id:
        return ErrorData(
            code="internal_error",
            message=f"the process that generates text answered {line[:200]!r}",
            hint="See the log of the short worker.",
        )
    if "error" in answer:
        return ErrorData.model_validate(answer["error"])
    return {name: value for name, value in answer.items() if name != "id"}
