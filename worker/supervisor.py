"""Supervises an attempt: starts the training process and records its events and its outcome."""

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
from jobs.states import FINAL
from jobs.tables import Job
from worker.attempt import Attempt
from worker.child import Child
from worker.host import keep_log_short, oom_kills
from worker.trackers import replays

log = logging.getLogger(__name__)

STALL_DUMP_SECONDS = 2.0
"""Seconds between SIGABRT and SIGKILL. On SIGABRT the child logs its stack."""

CommandFor = Callable[[Path], Sequence[str]]
"""Returns the command of the training process for a run folder."""


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
        """Runs an attempt of a claimed job; returns after its process group has ended."""
        attempt = Attempt(self._database, self._settings, self._job_notifier, job)
        try:
            if attempt.prepare():
                self._supervise(attempt)
        except Fenced as error:
            log.warning("%s", error)
        except OSError as error:  # if the process was started, it has ended
            log.exception("job %s attempt %d", job.id, job.attempt)
            self._fail_start(attempt, error)

    def _fail_start(self, attempt: Attempt, error: OSError) -> None:
        try:
            attempt.fail_start(error)
        except Fenced as fenced:
            log.warning("%s", fenced)

    def _supervise(self, attempt: Attempt) -> None:
        kills = oom_kills()
        with replays(attempt.rundir, attempt.spec, self._settings, attempt.warn) as trackers:
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
            trackers.has_ended = outcome.verdict in FINAL
        log.info(
            "job %s attempt %d: %s (%s)",
            attempt.job_id,
            attempt.number,
            outcome.verdict,
            outcome.reason,
        )

    def _watch(self, attempt: Attempt, child: Child) -> int:
        """Calls `Attempt.tick` until the process has ended; returns the exit status."""
        escalation = _Escalation(child)
        while (status := child.wait(self._settings.tick_seconds)) is None:
            child.beat(self._allowance(attempt))
            attempt.tick()
            keep_log_short(attempt.rundir.log)
            if self._shutdown.is_set():
                # A shutdown takes precedence over cancel and pause, because its time is limited.
                escalation.escalate(
                    min(self._settings.shutdown_grace_seconds, self._settings.grace_seconds)
                )
            elif attempt.stop_request.cancel or attempt.stop_request.pause:
                escalation.escalate(self._settings.grace_seconds)
            elif attempt.seconds_since_report() > self._settings.stall_seconds:
                self._end_stalled(attempt, child)
        return status

    def _allowance(self, attempt: Attempt) -> float:
        """The time for which the child may run without another heartbeat.

        It is a fraction of the silence limit of `core.process.stop`, 1 at most.

        If workers of other hosts may claim the job, the child must end before they claim it, even
        if this process cannot reach the database. On a single host the lock on the run folder
        already prevents two processes from running one job. There the child always gets the whole
        limit, so it does not stop if the database cannot be reached for long, for example because
        the database is locked.
        """
        if not self._settings.may_span_hosts:
            return 1.0
        return 1.0 - attempt.seconds_since_heartbeat() / (
            self._settings.lease_seconds * SILENCE_SHARE
        )

    def _end_stalled(self, attempt: Attempt, child: Child) -> None:
        log.error("job %s has stopped reporting: ending its process", attempt.job_id)
        attempt.last_error = ErrorData(
            code="stalled",
            message=f"the run reported nothing for {self._settings.stall_seconds:.0f} s",
            hint="The end of the log shows where it hung.",
        )
        child.send(signal.SIGABRT)
        if child.wait(STALL_DUMP_SECONDS) is None:
            child.send(signal.SIGKILL)


class _Escalation:
    """Sends SIGTERM first, and SIGKILL if the process still runs after the grace period."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._asked_at: float | None = None

    def escalate(self, grace_seconds: float) -> None:
        """Sends the signal that is due. The supervisor calls it at every tick."""
        if self._asked_at is None:
            self._asked_at = time.monotonic()
            self._child.send(signal.SIGTERM)
        elif time.monotonic() - self._asked_at > grace_seconds:
            self._child.send(signal.SIGKILL)
