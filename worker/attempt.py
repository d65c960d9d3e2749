"""An attempt of a job: copies its events, reads stop requests, and records the outcome."""

import json
import logging
import time
from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session

from core.events.journal import read_journal, whole_length
from core.events.types import ErrorData, WarningData, event_of
from core.process.failures import named_failure
from core.storage.rundir import RunDir, publish_file
from jobs.attempts import (
    StopRequest,
    finish,
    heartbeat,
    mark_paused,
    read_stop_request,
    record_error,
    record_events,
    requeue,
    requeue_counted,
    requeue_last,
)
from jobs.database import Database
from jobs.history import last_warning
from jobs.notifier import JobNotifier
from jobs.settings import Settings
from jobs.tables import Job
from worker.host import append_log
from worker.outcome import Outcome, end_line, judge

log = logging.getLogger(__name__)

NO_STOP_REQUEST = StopRequest(cancel=False, pause=False)
LOCKED_WAIT_SECONDS = 1.0
DATABASE_WAIT_SECONDS = 0.5
ATTEMPT_DIED = "attempt_died"


class Attempt:
    """An attempt and its rows in the database."""

    def __init__(
        self, database: Database, settings: Settings, job_notifier: JobNotifier, job: Job
    ) -> None:
        self._database = database
        self._job_notifier = job_notifier
        self._heartbeat_seconds = settings.heartbeat_seconds
        self._copy_seconds = settings.copy_seconds
        self._max_attempts = settings.max_attempts
        self._offset = job.journal_offset
        self.spec = job.spec
        self._reported_at = self._beaten_at = time.monotonic()
        self._copied_at = float("-inf")
        self.job_id, self.number = job.id, job.attempt
        self.rundir = RunDir(settings.job_folder(job.id).resolve())
        self.stop_request = NO_STOP_REQUEST
        self.last_error: ErrorData | None = None
        """The last error that the attempt reported."""

    def prepare(self) -> bool:
        """Prepares the run folder; False if the job has no attempt left and has thus failed."""
        self.rundir.root.mkdir(parents=True, exist_ok=True)
        publish_file(self.rundir.spec, json.dumps(self.spec, indent=2).encode())
        self._job_notifier.notify(self.job_id)
        # After a power failure the journal can be shorter than the number of bytes already copied.
        # An incomplete last line does not count, because the run removes it before it appends.
        self._offset = min(self._offset, whole_length(self.rundir.journal))
        self._copy_all()  # a checkpoint among these events resets attempts_without_checkpoint
        self.last_error = None
        with self._database.read() as session:
            job = session.get(Job, self.job_id)
        if job is None or job.attempts_without_checkpoint < self._max_attempts:
            return True
        with self._database.read() as session:
            last = last_warning(session, self.job_id, ATTEMPT_DIED)
        error = ErrorData(
            code="attempts_exhausted",
            message=f"{self._max_attempts} attempts in a row ended without a new checkpoint"
            + (f"; the last: {last}" if last else ""),
            hint="See the log of the job for the cause; `retry` starts the job again.",
        )
        self._record(Outcome("failed", error.code, error))
        return False

    def warn(self, data: WarningData) -> None:
        """Adds a `warning` event of the service to the events of the run.

        Raises:
            Fenced: If the attempt no longer holds the job.
        """

        def write() -> None:
            with self._database.write() as session:
                self._add(session, data)

        self._write_until_done(write)

    def seconds_since_report(self) -> float:
        """Seconds since the run last wrote an event."""
        return time.monotonic() - self._reported_at

    def seconds_since_heartbeat(self) -> float:
        """Seconds since the last heartbeat that reached the database."""
        return time.monotonic() - self._beaten_at

    def tick(self) -> None:
        """Copies new events of the journal, writes heartbeats and reads the stop request.

        A tick copies events only every `copy_seconds`, because copying notifies all readers of the
        job and takes five times as long as reading the stop request.

        A locked or full database does not end the run: the next tick repeats the work.

        Raises:
            Fenced: If the attempt no longer holds the job.
        """
        try:
            moment = time.monotonic()
            if moment - self._copied_at >= self._copy_seconds:
                self._copied_at = moment
                if self._copy():
                    return
            if moment - self._beaten_at >= self._heartbeat_seconds:
                with self._database.write_relaxed() as session:
                    self.stop_request = heartbeat(session, self.job_id, self.number)
                self._beaten_at = moment  # the time before the write, because the lease begins then
            else:
                with self._database.read() as session:
                    self.stop_request = read_stop_request(session, self.job_id, self.number)
        except SQLAlchemyError as error:
            log.warning("job %s: the database does not answer: %s", self.job_id, error)

    def settle(self, status: int, *, is_shutting_down: bool, ran_out_of_memory: bool) -> Outcome:
        """Records the last events and then the outcome.

        Raises:
            Fenced: If the attempt no longer holds the job.
        """
        self._copy_all()
        self._write_until_done(self._read_stop_request)
        outcome = judge(
            status,
            stop_request=self.stop_request,
            is_shutting_down=is_shutting_down,
            ran_out_of_memory=ran_out_of_memory,
            last_error=self.last_error,
        )
        if (line := end_line(self.number, status, outcome)) is not None:
            append_log(self.rundir.log, line)  # before the status, which ends `logs --follow`
        if outcome.verdict == "again_later":
            time.sleep(LOCKED_WAIT_SECONDS)
        self._record(outcome)
        return outcome

    def fail_start(self, error: OSError) -> Outcome:
        """Records that an attempt could not start, for example because the disk is full.

        Raises:
            Fenced: If the attempt no longer holds the job.
        """
        failure = named_failure(error, self.rundir.root)
        if failure is not None:
            data = ErrorData(code=failure.code, message=failure.message, hint=failure.hint)
            outcome = Outcome("failed", failure.code, data)
        else:
            hint = "See the log of the worker."
            data = ErrorData(
                code="not_started", message=f"the run cannot start: {error}", hint=hint
            )
            outcome = Outcome("died", data.code, data)
            time.sleep(LOCKED_WAIT_SECONDS)  # the cause may be temporary
        self._record(outcome)
        return outcome

    def _copy(self) -> bool:
        """Copies new complete lines of the journal into rows; False if there are no new lines."""
        events = read_journal(self.rundir.journal, offset=self._offset)
        if not events:
            return False
        offset, moment = events[-1][1], time.monotonic()
        with self._database.write_relaxed() as session:
            self.stop_request = record_events(
                session,
                self.job_id,
                self.number,
                [event for event, _ in events],
                journal_offset=offset,
            )
        self._offset = offset
        self._reported_at, self._beaten_at = time.monotonic(), moment
        for event, _ in events:
            if event.type == "error":
                self.last_error = ErrorData.model_validate(event.data)
        self._job_notifier.notify(self.job_id)
        return True

    def _copy_all(self) -> None:
        more = True

        def copy() -> None:
            nonlocal more
            more = self._copy()

        while more:
            self._write_until_done(copy)

    def _read_stop_request(self) -> None:
        with self._database.write_relaxed() as session:
            self.stop_request = heartbeat(session, self.job_id, self.number)

    def _record(self, outcome: Outcome) -> None:
        def write() -> None:
            with self._database.write() as session:
                job_id, attempt = self.job_id, self.number
                match outcome.verdict:
                    case "succeeded":
                        finish(session, job_id, attempt, "succeeded")
                    case "cancelled":
                        finish(session, job_id, attempt, "cancelled", reason=outcome.reason)
                    case "failed":
                        if self.last_error is None and outcome.error is not None:
                            record_error(session, job_id, attempt, outcome.error)
                        finish(session, job_id, attempt, "failed", error=outcome.error)
                    case "paused":
                        mark_paused(session, job_id, attempt, reason=outcome.reason)
                    case "again":
                        requeue(session, job_id, attempt, reason=outcome.reason)
                    case "again_later":
                        requeue_last(session, job_id, attempt, reason=outcome.reason)
                    case "died":
                        self._warn_of_death(session, outcome)
                        requeue_counted(session, job_id, attempt, reason=outcome.reason)

        self._write_until_done(write)
        self._job_notifier.notify(self.job_id)

    def _warn_of_death(self, session: Session, outcome: Outcome) -> None:
        """Adds a `warning` event. It is not an `error` event, because the job is tried again."""
        if outcome.error is not None:
            self._add(session, WarningData(code=ATTEMPT_DIED, message=outcome.error.message))

    def _add(self, session: Session, data: WarningData) -> None:
        record_events(
            session, self.job_id, self.number, [event_of(data)], journal_offset=self._offset
        )

    def _write_until_done(self, write: Callable[[], None]) -> None:
        """Repeats a write until the database is no longer locked or full.

        The job stays `running` meanwhile. If this takes longer than the lease, the lease expires,
        and the job is requeued.
        """
        while True:
            try:
                write()
                return
            except SQLAlchemyError as error:
                log.warning("job %s: the database does not answer: %s", self.job_id, error)
                time.sleep(DATABASE_WAIT_SECONDS)
