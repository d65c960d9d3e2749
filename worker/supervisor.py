"""Supervision of one attempt: starts the training process, records what it reports, sees it end."""

import logging
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event

from core.events.types import ErrorData
from core.process.stop import SILENCE_SHARE
from jobs.database import Database
from jobs.errors import Fenced
from jobs.notifier import JobNotifier
from jobs.settings import Settings
from jobs.tables import Job
from worker.attempt import Attempt
from worker.child import Child
from worker.host import keep_log_short, oom_kills

log = logging.getLogger(__name__)

STALL_DUMP_SECONDS = 2.0
"""Between SIGABRT, at which the child writes down where it hangs, and SIGKILL."""

CommandFor = Callable[[Path], Sequence[str]]
"""The command of the training process, for a run folder."""


class Supervisor:
    """Runs attempts of jobs, one after the other."""

    def __init__(
        self,
        *,
        database: Database,
        settings: Settings,
        job_notifier: JobNotifier,
        command_for: CommandFor,
        shutdown: Event,
        environment: dict[str, str] | None = None,
    ) -> None:
        self._database = database
        self._settings = settings
        self._job_notifier = job_notifier
        self._command_for = command_for
        self._shutdown = shutdown
        self._environment = environment or {}

    def run(self, job: Job) -> None:
        """Sees an attempt of a claimed job to its end; afterwards its process group is gone."""
        attempt = Attempt(self._database, self._settings, self._job_notifier, job)
        try:
            if attempt.prepare():
                self._supervise(attempt)
        except Fenced as error:
            log.warning("%s", error)
        except OSError as error:  # its process, if there was one, is gone
            log.exception("job %s attempt %d", job.id, job.attempt)
            self._give_up(attempt, error)

    def _give_up(self, attempt: Attempt, error: OSError) -> None:
        try:
            attempt.give_up(error)
        except Fenced as fenced:
            log.warning("%s", fenced)

    def _supervise(self, attempt: Attempt) -> None:
        kills = oom_kills()
        child = Child(
            self._command_for(attempt.rundir.root),
            log=attempt.rundir.log,
            environment=self._environment,
        )
        log.info("job %s attempt %d: process %d", attempt.job_id, attempt.number, child.pid)
        try:
            status = self._watch(attempt, child)
        finally:
            child.close()
        outcome = attempt.settle(
            status,
            is_shutting_down=self._shutdown.is_set(),
            ran_out_of_memory=oom_kills() > kills,
        )
        log.info(
            "job %s attempt %d: %s (%s)",
            attempt.job_id,
            attempt.number,
            outcome.verdict,
            outcome.reason,
        )

    def _watch(self, attempt: Attempt, child: Child) -> int:
        """Ticks until the process has ended; returns its exit status."""
        escalation = _Escalation(child)
        while (status := child.wait(self._settings.tick_seconds)) is None:
            child.beat(self._allowance(attempt))
            attempt.tick()
            keep_log_short(attempt.rundir.log)
            if self._shutdown.is_set():
                # Whatever else was asked for: whoever stops the worker does not wait longer.
                escalation.escalate(
                    min(self._settings.shutdown_grace_seconds, self._settings.grace_seconds)
                )
            elif attempt.stop_request.cancel or attempt.stop_request.pause:
                escalation.escalate(self._settings.grace_seconds)
            elif attempt.silent_seconds() > self._settings.stall_seconds:
                self._end_stalled(attempt, child)
        return status

    def _allowance(self, attempt: Attempt) -> float:
        """How much of its silence limit the child has left.

        Where workers of other hosts may take the job, the child must be gone before they do, even
        if this process cannot reach the database. On one host the lock on the run folder keeps
        them apart, and a database that is locked for long ends nothing.
        """
        if not self._settings.may_span_hosts:
            return 1.0
        return 1.0 - attempt.unheard_seconds() / (self._settings.lease_seconds * SILENCE_SHARE)

    def _end_stalled(self, attempt: Attempt, child: Child) -> None:
        log.error("job %s reports nothing: it is ended", attempt.job_id)
        attempt.last_error = ErrorData(
            code="stalled",
            message=f"the run reported nothing for {self._settings.stall_seconds:.0f} s",
            hint="The end of the log says where it hung.",
        )
        child.send(signal.SIGABRT)
        if child.wait(STALL_DUMP_SECONDS) is None:
            child.send(signal.SIGKILL)


class _Escalation:
    """SIGTERM first, then, when the grace period is over, SIGKILL."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._asked_at: float | None = None

    def escalate(self, grace_seconds: float) -> None:
        """One look at where the stop stands; called at every tick."""
        if self._asked_at is None:
            self._asked_at = time.monotonic()
            self._child.send(signal.SIGTERM)
        elif time.monotonic() - self._asked_at > grace_seconds:
            self._child.send(signal.SIGKILL)
