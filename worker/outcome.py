"""Decides the outcome of an attempt from the way in which its process ended."""

import signal
from dataclasses import dataclass
from typing import Literal

from core.errors import DiskFull, ExitCode, OutOfMemory, RankDied
from core.events.types import ErrorData
from jobs.attempts import StopRequest

Verdict = Literal["succeeded", "failed", "cancelled", "paused", "again", "again_later", "died"]
"""`again` requeues the job at its old position, `again_later` after all other queued jobs. `died`
requeues it too, and counts the attempt as failed."""


DISK_FULL = ErrorData(
    code=DiskFull.code,
    message="no space left on the device of the run folder, not even for the journal",
    hint=DiskFull.hint,
)


NO_MEMORY = ErrorData(
    code=OutOfMemory.code,
    message="the host ran out of memory and the kernel killed the training process",
    hint=OutOfMemory.hint,
)


NEXT: dict[Verdict, str] = {
    "succeeded": "the job has succeeded",
    "failed": "the job has failed",
    "cancelled": "the job is cancelled",
    "paused": "the job is paused",
    "again": "the job returns to the queue",
    "again_later": "the job returns to the queue",
    "died": "the job returns to the queue and continues from its newest checkpoint, unless too "
    "many attempts in a row ended without a new one",
}
"""What follows an attempt that was ended, by its verdict."""


@dataclass(frozen=True)
class Outcome:
    """The next state of the job, and the reason."""

    verdict: Verdict
    reason: str
    error: ErrorData | None = None


def judge(
    status: int,
    *,
    stop_request: StopRequest,
    is_shutting_down: bool,
    ran_out_of_memory: bool,
    last_error: ErrorData | None,
) -> Outcome:
    """The outcome of an attempt; a pure function.

    Args:
        status: Exit status of the process, negative for a signal.
        stop_request: The stop request of the user.
        is_shutting_down: Whether the worker shuts down.
        ran_out_of_memory: Whether the kernel killed a process for lack of memory during the
            attempt.
        last_error: The last `error` event of the attempt.
    """
    if status == ExitCode.FINISHED:
        return Outcome("succeeded", "finished")
    if stop_request.cancel:
        return Outcome("cancelled", "cancelled by the user")
    if status == ExitCode.DISK_FULL:
        return Outcome("failed", DiskFull.code, last_error or DISK_FULL)
    if status == ExitCode.FAILED:
        return Outcome(
            "failed",
            last_error.code if last_error else "run_failed",
            last_error or _process_died(status),
        )
    if stop_request.pause:
        return Outcome("paused", "paused by the user")
    if is_shutting_down:
        return Outcome("again", "worker_shutdown")
    if status == ExitCode.LOCKED:
        return Outcome("again_later", "run_locked")
    if status in (ExitCode.STOPPED, ExitCode.ABANDONED):
        return Outcome("again", "stopped")
    was_killed = status == -signal.SIGKILL or (
        last_error is not None and last_error.code == RankDied.code
    )
    if was_killed and ran_out_of_memory:
        return Outcome("died", OutOfMemory.code, NO_MEMORY)
    return Outcome("died", "process_died", last_error or _process_died(status))


def end_line(attempt: int, status: int, outcome: Outcome) -> str | None:
    """The line in the log of the job about an attempt that did not end by itself; else None.

    Args:
        attempt: Number of the attempt.
        status: Exit status of the process, negative for a signal.
        outcome: The outcome of the attempt.
    """
    if status >= 0 and outcome.verdict != "died":
        return None
    what = _process_died(status).message
    if outcome.verdict == "died" and outcome.error is not None and outcome.error.message != what:
        what += f" ({outcome.error.message})"
    return f"attempt {attempt}: {what}; {NEXT[outcome.verdict]}"


def _process_died(status: int) -> ErrorData:
    if status < 0:
        name = signal.Signals(-status).name if -status in set(signal.Signals) else str(-status)
        message = f"the training process was ended by {name}"
    else:
        message = f"the training process ended with exit status {status}"
    return ErrorData(code="process_died", message=message, hint="See the log of the job.")
