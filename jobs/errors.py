"""What can go wrong in the service, each with a stable code. Knows no HTTP."""


class JobsError(Exception):
    """The base of them all.

    Attributes:
        code: Stable machine-readable name, part of the public API.
    """

    code = "service_error"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class JobNotFound(JobsError):
    """There is no job of that id."""

    code = "job_not_found"

    def __init__(self, job_id: str) -> None:
        super().__init__(f"there is no job {job_id}")


class InvalidTransition(JobsError):
    """The status of the job does not allow what was asked.

    Attributes:
        action: What was asked: cancel, pause, resume, retry or delete.
        status: The status that the job has.
    """

    code = "move_refused"

    def __init__(
        self, *, action: str, status: str, allowed: str, reason: str | None = None
    ) -> None:
        detail = f" {reason};" if reason else ""
        super().__init__(
            f"cannot {action} a job that is {status}:{detail} {action} takes one that is {allowed}"
        )
        self.action = action
        self.status = status


class IdempotencyConflict(JobsError):
    """The idempotency key was used before, for another request."""

    code = "idempotency_conflict"

    def __init__(self, key: str, job_id: str) -> None:
        super().__init__(f"the key {key!r} was used before for another request: job {job_id}")
        self.job_id = job_id


class CheckpointNotFound(JobsError):
    """The job has no checkpoint of that name."""

    code = "checkpoint_not_found"

    def __init__(self, job_id: str, name: str, existing: list[str]) -> None:
        known = ", ".join(existing) if existing else "none so far"
        super().__init__(f"job {job_id} has no checkpoint {name!r}; it has: {known}")


class ShortTaskNotFound(JobsError):
    """There is no short task of that id."""

    code = "short_task_not_found"

    def __init__(self, task_id: str) -> None:
        super().__init__(f"there is no task {task_id}")


class CursorInvalid(JobsError):
    """The cursor of a page was not made by this service."""

    code = "cursor_invalid"

    def __init__(self, cursor: str) -> None:
        super().__init__(f"not a cursor of this list: {cursor!r}; take it from `next` of a page")


class SchemaTooNew(JobsError):
    """The database was made by a newer version of this program."""

    code = "schema_too_new"


class SchemaTooOld(JobsError):
    """The database has yet to be brought up to this version of the program."""

    code = "schema_too_old"


class BrokerUnavailable(JobsError):
    """The broker does not answer; nothing is lost, since it carries only wake-up calls."""

    code = "broker_unavailable"


class Fenced(JobsError):
    """The job is no longer this attempt's: somebody else took it, or it has ended."""

    code = "fenced"

    def __init__(self, job_id: str, attempt: int) -> None:
        super().__init__(f"attempt {attempt} no longer holds job {job_id}")


class PlacementTaken(JobsError):
    """Slurm started two jobs for one placement, or one that is not wanted any more."""

    code = "placement_taken"

    def __init__(self, job_id: str, slurm_id: str | None) -> None:
        super().__init__(
            f"Slurm job {slurm_id} is not the one that was submitted for job {job_id}: another one "
            "is, or the attempt is over; this one ends without claiming anything"
        )


class SlurmError(JobsError):
    """Slurm cannot be used as it was asked."""

    code = "slurm_error"


class SettingsInvalid(JobsError):
    """A settings file that cannot be used."""

    code = "settings_invalid"


class CopyRefused(JobsError):
    """A database that is in use or not empty cannot be copied."""

    code = "copy_refused"
